"""A chain of tricks on one command line: `make [OPTIONS] TRICK [OPTIONS] TRICK [OPTIONS] ...`.

Click's own chains take no option after an argument, no option of the group after the chain, and do not complete. So
the words are dealt out here, each to its trick or to the command itself, before Click parses them. No torch here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import click

from diffusion_tricks.errors import UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks_cli.hints import hint

Find = Callable[[str], click.Command]


@dataclass
class Link:
    """One trick of the chain: the command that parses it, and the words dealt to it."""

    command: click.Command
    words: list[str] = field(default_factory=list)
    places: float = 0  # arguments it can still take

    def __post_init__(self) -> None:
        arguments = [p for p in self.command.params if isinstance(p, click.Argument)]
        self.places = sum(math.inf if a.nargs < 0 else a.nargs for a in arguments)


@dataclass
class Dealt:
    """The words of a command line: the command's own, those of each link, and an option that still lacks a value."""

    own: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    pending: click.Option | None = None


def deal(words: Sequence[str], own: dict[str, click.Option], tricks: Collection[str], find: Find) -> Dealt:
    """Deals the words out, to the trick that stands before them or to the command itself.

    A word that is a trick's name begins a link, unless it is the value of an option. An option goes to its trick if
    the trick has it, else to the command (`own`). After `--` all words are arguments of the last trick.
    Raises UnknownName where a trick was expected, UsageError for an option that nobody has.
    """
    dealt, rest = Dealt(), list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            _last(dealt, rest).words += ["--", *rest]
            break
        if is_option(word):
            _deal_option(word, rest, dealt, own, tricks)
        elif word in tricks:
            dealt.links.append(Link(find(word)))
        else:
            _deal_argument(word, dealt, tricks)
    return dealt


def is_option(word: str) -> bool:
    """Whether a word looks like an option and not like a value; `-` alone and `-5` are values."""
    return len(word) > 1 and word[0] == "-" and not word[1].isdigit() and word[1] != "."


def flags(command: click.Command, ctx: click.Context) -> dict[str, click.Option]:
    """Every spelling of every option of a command, help included."""
    options = [p for p in command.get_params(ctx) if isinstance(p, click.Option)]
    return {spelling: option for option in options for spelling in (*option.opts, *option.secondary_opts)}


def _deal_option(
    word: str, rest: list[str], dealt: Dealt, own: dict[str, click.Option], tricks: Collection[str]
) -> None:
    link = dealt.links[-1] if dealt.links else None
    theirs = flags(link.command, click.Context(link.command)) if link else {}
    head, joined = _head(word, {**own, **theirs})
    option = theirs.get(head) or own.get(head)
    if option is None:
        whose = f" of {link.command.name!r}, nor of the whole command" if link else ""
        advice = hint(head, [*theirs, *own])
        raise UsageError(f"no option {head!r}{whose}{advice}{mistyped(link, tricks) if link else ''}")
    values = 0 if option.is_flag or option.count else option.nargs - joined
    check_values(word, rest[:values], {**own, **theirs})
    (link.words if link and head in theirs else dealt.own).extend([word, *rest[:values]])
    dealt.pending = option if len(rest) < values else None
    del rest[:values]


def check_values(option: str, values: Iterable[str], known: Collection[str]) -> None:
    """Raises UsageError where an option's value would be the next option, as the value itself was left out."""
    if swallowed := next((value for value in values if value.startswith("--") and value in known), None):
        raise UsageError(f"{option} is without its value, as {swallowed} follows it; give one, or write"
                         f" {option}={swallowed} where that is meant")  # fmt: skip


def _head(word: str, known: dict[str, click.Option]) -> tuple[str, int]:
    """The option's spelling, and how many values are joined to it: `--view=flip`, `-oout.png`."""
    if not word.startswith("--") and word not in known and word[:2] in known:
        return word[:2], 1
    head, equals, _ = word.partition("=")
    return head, len(equals)


def _deal_argument(word: str, dealt: Dealt, tricks: Collection[str]) -> None:
    if not dealt.links or dealt.links[-1].places < 1:
        raise host().unknown("trick", word, tricks)
    dealt.links[-1].words.append(word)
    dealt.links[-1].places -= 1


def _last(dealt: Dealt, rest: list[str]) -> Link:
    if not dealt.links:
        raise UsageError(f"'--' must follow a trick whose arguments come after it, got {' '.join(['--', *rest])!r}")
    return dealt.links[-1]


def mistyped(link: Link, tricks: Collection[str]) -> str:
    """Advice for a link that failed: an argument of it that looks like a mistyped trick, or nothing."""
    for word in link.words:
        near = difflib.get_close_matches(word, tricks, n=1, cutoff=0.8)
        if near and word not in tricks:
            return f" (or did you mean the trick {near[0]!r} by {word!r}?)"
    return ""
