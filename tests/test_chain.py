"""How the words of a chain are dealt to its tricks, and how a trick's options become options of the command line."""

from __future__ import annotations

import itertools
import shlex
from typing import Annotated, Any, Literal

import click
import pytest
from click.shell_completion import ShellComplete
from pydantic import Field

from command_line import run
from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.registry.options import TrickOptions, argument, option
from diffusion_tricks_cli.chain import deal
from diffusion_tricks_cli.commands import SHORTCUTS, link_command, shortcut_command
from diffusion_tricks_cli.common import common_options
from diffusion_tricks_cli.from_options import given, parameters, words
from diffusion_tricks_cli.main import cli

OWN = {spelling: o for o in common_options() for spelling in o.opts}
TRICKS = ["sdedit", "inpaint", "anagram", "hybrid", "guidance", "overlay"]


def dealt(line: str) -> tuple[list[str], list[tuple[str | None, list[str]]]]:
    found = deal(shlex.split(line), OWN, TRICKS, link_command)
    return found.own, [(link.command.name, link.words) for link in found.links]


def test_options_follow_arguments_and_own_options_stand_anywhere() -> None:
    own, links = dealt('-p x anagram "a rabbit" "a duck" --reduction alternate --seed 3 guidance --scale 8 -o out.png')
    assert own == ["-p", "x", "--seed", "3", "-o", "out.png"]
    assert links == [
        ("anagram", ["a rabbit", "a duck", "--reduction", "alternate"]),
        ("guidance", ["--scale", "8"]),
    ]


def test_every_order_of_links_and_own_options_says_the_same() -> None:
    parts = [["--seed", "3"], ["-o", "out.png"], ["hybrid", "--far", "a", "--near", "b"], ["guidance", "--scale", "8"]]
    for order in itertools.permutations(parts):
        own, links = dealt(shlex.join(itertools.chain(*order)))
        assert sorted(own) == ["--seed", "-o", "3", "out.png"]
        assert dict(links) == {"hybrid": ["--far", "a", "--near", "b"], "guidance": ["--scale", "8"]}


def test_an_option_value_that_is_a_tricks_name_is_a_value() -> None:
    own, links = dealt("-p hybrid anagram --view identity overlay --view flip guidance")
    assert own == ["-p", "hybrid"]
    assert links == [("anagram", ["--view", "identity", "overlay", "--view", "flip", "guidance"])]


def test_a_trick_may_come_twice() -> None:
    _, links = dealt("overlay --title a overlay --text b")
    assert links == [("overlay", ["--title", "a"]), ("overlay", ["--text", "b"])]


def test_an_option_belongs_to_its_trick_before_the_whole_command() -> None:
    assert dealt("--negative a guidance --negative b") == (["--negative", "a"], [("guidance", ["--negative", "b"])])


def test_joined_values_and_negative_numbers_are_values() -> None:
    own, links = dealt("-oout.png --seed=4 overlay --shadow -3 4 --title=x --quiet")
    assert own == ["-oout.png", "--seed=4", "--quiet"]
    assert links == [("overlay", ["--shadow", "-3", "4", "--title=x"])]


def test_two_dashes_make_the_rest_arguments() -> None:
    assert dealt("-p a anagram -- overlay -x") == (["-p", "a"], [("anagram", ["--", "overlay", "-x"])])
    with pytest.raises(UsageError, match="'--' must follow a trick"):
        dealt("-p a -- overlay")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("anagrm a b", "unknown trick 'anagrm'; did you mean 'anagram'"),
        ("guidance hybird", "unknown trick 'hybird'; did you mean 'hybrid'"),
        ("sdedit photo.png other.png", "unknown trick 'other.png'; known are: anagram, guidance, .*"),
    ],
)
def test_an_unknown_trick_is_answered_with_the_nearest(line: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        dealt(line)


def test_an_option_nobody_has_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match="no option '--sclae' of 'guidance', nor of the whole command; did you mean '--scale'"
    ):
        dealt("guidance --sclae 8")


def test_a_mistyped_trick_among_arguments_is_pointed_out() -> None:
    outcome = run("make", "anagram", "a", "b", "guidnce", "-p", "x")
    assert outcome.code == 2
    assert "expected two prompts, for identity and flip, got 3" in outcome.err
    assert "did you mean the trick 'guidance' by 'guidnce'?" in outcome.err


class Everything(TrickOptions):
    """Every kind of option."""

    names: list[str] = argument([], "names")
    needed: str = option(..., "needed")
    share: Annotated[float, Field(ge=0, le=1)] = option(0.5, "share")
    maybe: Annotated[int, Field(gt=2)] | None = option(None, "maybe")
    on: bool = option(True, "on")
    off: bool = option(False, "off")
    pairs: list[tuple[str, int]] = option([], "pairs", flag="pair")
    corner: tuple[int, int] = option((0, 0), "corner")
    kind: Literal["a", "b"] = option("a", "kind")


def parsed(*line: str) -> dict[str, Any]:
    params = parameters(Everything)
    command = click.Command("everything", params=params)
    return given(command.make_context("everything", list(line)), params)


def test_every_kind_of_option_is_read_and_only_what_was_said_is_kept() -> None:
    assert parsed("--needed", "x") == {"needed": "x"}
    line = "--needed x --share 0.25 --maybe 3 --no-on --off --pair p 1 --pair q 2 --corner -1 2 --kind b n1 n2"
    assert parsed(*line.split()) == {
        "needed": "x", "share": 0.25, "maybe": 3, "on": False, "off": True, "pairs": [["p", 1], ["q", 2]],
        "corner": [-1, 2], "kind": "b", "names": ["n1", "n2"],
    }  # fmt: skip
    assert Everything(**parsed(*line.split())).pairs == [("p", 1), ("q", 2)]


def test_values_go_back_to_the_words_that_say_them() -> None:
    line = "--needed x --share 0.25 --no-on --off --pair p 1 --pair q 2 --corner -1 2 n1 -- -n2"
    values = parsed(*shlex.split(line))
    assert parsed(*words(parameters(Everything), values)) == values
    assert words(parameters(Everything), {"names": ["anagram"]}, ["anagram"]) == ["--", "anagram"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--share 1.5", "Invalid value for '--share': 1.5 is not in the range 0<=x<=1"),
        ("--maybe 2", "Invalid value for '--maybe': 2 is not in the range x>2"),
        ("--kind c", "Invalid value for '--kind': 'c' is not one of 'a', 'b'"),
        ("--pair p", "Option '--pair' requires 2 arguments"),
    ],
)
def test_a_wrong_value_names_the_option_what_was_expected_and_what_came(line: str, message: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        parsed("--needed", "x", *line.split())
    assert message in raised.value.format_message()


def test_help_shows_ranges_defaults_and_choices() -> None:
    command = click.Command("everything", params=parameters(Everything))
    text = command.get_help(click.Context(command))
    assert "[default: 0.5; 0<=x<=1]" in text
    assert "--on / --no-on" in text
    assert "[a|b]" in text
    assert "--pair TEXT INTEGER" in text


def test_no_built_in_trick_takes_an_option_from_the_shortcuts() -> None:
    wanted = {o.name for o in common_options()}
    for name in SHORTCUTS:
        names = [p.name for p in shortcut_command(name).params]
        assert len(names) == len(set(names))
        assert wanted <= set(names)


def completions(line: str, incomplete: str) -> list[str]:
    complete = ShellComplete(cli, {}, "diffusion-tricks", "_DIFFUSION_TRICKS_COMPLETE")
    return [item.value for item in complete.get_completions(shlex.split(line), incomplete)]


def test_tricks_complete_also_after_others_and_again() -> None:
    assert completions("", "ana") == ["anagram"]
    assert completions("make", "ov") == ["overlay"]
    assert completions("make overlay --title x", "ov") == ["overlay"]
    assert completions('make anagram "a rabbit" "a duck"', "gui")[0] == "guidance"


def test_options_and_their_values_complete() -> None:
    assert completions("make guidance", "--var") == ["--variant"]
    assert completions("make guidance --variant", "ap") == ["apg"]
    assert "--seed" in completions("make guidance --scale 8", "--se")
    assert completions("make guidance --scheduler", "euler") == ["euler", "euler-a"]
    assert completions("anagram a b --reduction", "al") == ["alternate"]


def test_completing_never_fails_on_what_is_half_written() -> None:
    for line in ("make anagrm", "make --nonsense", "make guidance --scale", "make hybrid --far"):
        assert isinstance(completions(line, ""), list)


def test_every_registered_trick_has_a_link_with_help_that_ends_with_an_example() -> None:
    for name in host().entries("trick"):
        command = link_command(name)
        text = command.get_help(click.Context(command, info_name=name))
        assert text.splitlines()[-1].strip().startswith("diffusion-tricks make ")
