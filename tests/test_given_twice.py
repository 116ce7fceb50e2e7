"""An option that holds for the whole is given once: a second value never takes the place of the first in silence."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from command_line import run
from diffusion_tricks.hosting.host import host
from diffusion_tricks_cli.commands import link_command
from diffusion_tricks_cli.main import COMMANDS, cli


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and every trick of a chain, with the words that lead to it."""
    with click.Context(cli) as ctx:
        for name in COMMANDS:
            command = cli.get_command(ctx, name)
            assert command is not None
            yield (name,), command
            if isinstance(command, click.Group):
                yield from (((name, sub), each) for sub, each in command.commands.items())
    yield from ((("make", "-p", "a", trick), link_command(trick)) for trick in host().entries("trick"))


def values(option: click.Option) -> list[str]:
    """Words that the option takes as its value."""
    kinds = option.type.types if isinstance(option.type, click.Tuple) else [option.type] * option.nargs
    return [] if option.is_flag else ["1" for _ in kinds]


OPTIONS = [
    (words, option)
    for words, command in commands()
    for option in command.params
    if isinstance(option, click.Option) and not option.multiple and (not option.is_flag or option.secondary_opts)
]


def test_the_options_are_found() -> None:
    assert len(OPTIONS) > 300


@pytest.mark.parametrize(("words", "option"), OPTIONS, ids=[f"{' '.join(w)} {o.name}" for w, o in OPTIONS])
def test_an_option_given_twice_is_refused(words: tuple[str, ...], option: click.Option) -> None:
    flag = option.opts[-1]
    outcome = run(*words, flag, *values(option), *option.secondary_opts, flag, *values(option))
    times = 3 if option.secondary_opts else 2
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{flag} is given {times} times, and holds for all; give it once" in outcome.err.replace(
        "/".join([flag, *option.secondary_opts]), flag
    )


def test_before_and_behind_a_chain_are_two_times() -> None:
    outcome = run("make", "--seed", 1, "hybrid", "--far", "a", "--near", "b", "--seed", 2)
    assert (outcome.code, outcome.err) == (2, "Error: --seed is given 2 times, and holds for all; give it once\n")
    assert (
        "--feather is given 2 times" in run("inpaint", "a.png", "--feather", 1, "--mask", "b.png", "--feather", 2).err
    )


def test_what_says_the_same_or_may_repeat_is_no_repetition() -> None:
    assert run("plan", "-p", "a", "-p", "b", "--json", "--json", "guidance", "guidance").err.count("given") == 0
    assert (
        run("plan", "guidance", "--scale", 2, "overlay", "--title", "a", "overlay", "--title", "b", "-p", "a").code == 0
    )
    assert run("views", "--json", "--json").code == 0
