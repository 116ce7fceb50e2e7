"""One trick on a command line: the command that parses it, its entry in a recipe, and tricks in the place of a prompt.

    anagram --view identity [ hybrid --far "a skull" --near "a mushroom" ] --view flip "a duck"

A word `[` begins tricks, and `]` ends them; before them may stand the prompt that they shape. No torch here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import click

from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks_cli.chain import Link, deal, is_option
from diffusion_tricks_cli.common import Sectioned, example
from diffusion_tricks_cli.from_options import given, parameters, words
from diffusion_tricks_cli.plain import in_plain_words

OPEN, CLOSE = "[", "]"
SWEEP = "--sweep"
NAMED = re.compile(r"[\w.-]+=")
SWEEPING = re.compile(rf"{SWEEP}={NAMED.pattern}")


def grouped(line: Iterable[str]) -> list[str]:
    """The words of a command line, those from each `[` to its `]` as one, quoted as for a shell.

    Raises UsageError for a `[` that is never closed, and for a `]` that closes nothing.
    """
    levels: list[list[str]] = [[]]
    for word in line:
        if word == OPEN:
            levels.append([])
        elif word == CLOSE:
            if len(levels) == 1:
                raise UsageError("']' closes nothing; tricks in the place of a prompt begin with '['")
            inside = shlex.join(levels.pop())
            levels[-1].append(f"{OPEN} {inside} {CLOSE}")
        else:
            levels[-1].append(word)
    if len(levels) > 1:
        raise UsageError(f"'[' before {' '.join(levels[-1][:3])!r} is never closed; end the tricks with ']'")
    return levels[0]


def swept(line: Sequence[str]) -> list[str]:
    """The words with `--sweep NAME=VALUES` spelt out, as a trick may have a `--sweep` of its own, without a value."""
    words = [f"{SWEEP}-over{word[len(SWEEP) :]}" if SWEEPING.match(word) else word for word in line]
    for i, word in enumerate(words[1:]):
        if words[i] == SWEEP and NAMED.match(word):
            words[i] = f"{SWEEP}-over"
    return words


class Branches(click.ParamType):  # type: ignore[type-arg]
    """A prompt, or tricks in its place."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The prompt as it is, or the tricks as they stand in a recipe."""
        if not isinstance(value, str) or not _holds_tricks(value):
            return value
        try:
            return branch(grouped(shlex.split(value[1:-1])), ctx or click.Context(click.Command("branch")))
        except ValueError as error:
            self.fail(f"{value!r} cannot be read as tricks: {error}", param, ctx)
        except click.UsageError as error:
            raise UsageError(f"in {_as_typed(value)}: {in_plain_words(error).format_message()}") from None
        except DiffusionTricksError as error:
            raise UsageError(f"in {_as_typed(value)}: {error}") from None

    def words(self, value: Any) -> list[str]:
        """The words that stand for a value."""
        if isinstance(value, str):
            return [value]
        tricks = value.get("tricks", [value])
        prompt = [value["prompt"]] if value.get("prompt") is not None else []
        inside = [word for one in tricks for word in entry_words(TrickEntry.model_validate(one))]
        return [OPEN, *prompt, *inside, CLOSE]


def _as_typed(value: str) -> str:
    """A bracket with one space inside, as it is typed."""
    return f"{OPEN} {value[1:-1].strip()} {CLOSE}"


BRANCHES = Branches()


def _holds_tricks(value: str) -> bool:
    """Whether a word is tricks between brackets, and not a prompt between two, such as `[a cat:a dog:0.4]`."""
    if not (value.startswith(OPEN) and value.endswith(CLOSE)):
        return False
    inside = value[1:-1]
    return inside[:1].isspace() or bool(set(host().entries("trick")) & set(inside.split()))


def branch(inside: Sequence[str], ctx: click.Context) -> dict[str, Any]:
    """The tricks between brackets, as a recipe holds them."""
    tricks = list(host().entries("trick"))
    if not inside:
        raise UsageError("'[' and ']' hold nothing; put tricks between them")
    prompt = {} if inside[0] in tricks else {"prompt": inside[0]}
    if prompt and len(inside) > 1 and is_option(inside[1]):  # a prompt has none
        raise host().unknown("trick", inside[0], tricks)
    dealt = deal(inside[1:] if prompt else inside, {}, tricks, link_command)
    entries = [entry_of(link, ctx).model_dump() for link in dealt.links]
    if not entries:
        raise UsageError("a prompt alone needs no brackets; leave them out, or put tricks behind it")
    return entries[0] if len(entries) == 1 and not prompt else {**prompt, "tricks": entries}


def link_command(name: str) -> click.Command:
    """The command that parses one trick of a chain. Raises PluginError for a trick that cannot be loaded."""
    entry = host().find("trick", name)
    trick = entry.load()
    own = parameters(trick.Options, BRANCHES)
    needed = [f" {one.opts[0]} ..." for one in own if one.required and isinstance(one, click.Option)]
    shown = entry.notes.get("example", f'make -p "a rabbit" {name}{"".join(needed)}')
    about = f"{entry.summary[:1].upper()}{entry.summary[1:]}.\n\n{(trick.__doc__ or '').strip()}"
    return Sectioned(name, params=own, help=about, epilog=example(shown))


def entry_of(link: Link, parent: click.Context) -> TrickEntry:
    """What a link's words say, as an entry of a recipe."""
    command = link.command
    resilient = parent.resilient_parsing
    ctx = command.make_context(command.name, list(link.words), parent=parent, resilient_parsing=resilient)
    return TrickEntry(trick=str(command.name), **given(ctx, command.params))


def entry_words(entry: TrickEntry) -> list[str]:
    """The words that say an entry in a chain."""
    params = parameters(host().trick(entry.trick).Options, BRANCHES)
    return [entry.trick, *words(params, entry.options, host().entries("trick"))]
