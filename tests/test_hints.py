"""What was meant: near words, what other programs call it, values that are missing, and what stands in brackets."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.hosting.host import host
from diffusion_tricks_cli.hints import COMMANDS, PEERS
from diffusion_tricks_cli.main import cli
from diffusion_tricks_cli.plain import limits


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("verfy a b", "unknown command 'verfy'; did you mean 'verify'?"),
        ("upscale a.png", "unknown command 'upscale'; here it is --size with an upscaler, or --enlarge"),
        ("img2img a.png x", "unknown command 'img2img'; here it is edit"),
        ("zzz", "unknown command 'zzz'; diffusion-tricks --help lists them"),
        ("cover a.png --subtitel x", "no option '--subtitel'; did you mean '--subtitle'?"),
        ("edit a.png x --denoise 0.4", "no option '--denoise'; here it is --strength"),
        ("edit a.png x --denoising_strength 0.4", "no option '--denoising_strength'; here it is --strength"),
        ("edit a.png x --init-image-strength 0.4", "here it is --strength, which counts the other way"),
        ("generate x --denoise 0.4", "no option '--denoise'; did you mean '--device'?"),
        ("generate x --cfg 3", "no option '--cfg'; here it is --guidance"),
        ("generate x --seeds 3", "here it is --seed, which takes lists: --seed 1-8,20"),
        ("cover a.png --title x --font-size 9", "here it is --title-size, --author-size and --text-size"),
        ("generate x -s 4", "no option '-s'; here it is --steps, or --seed"),
        ("generate x -n 4", "no option '-n'; here it is --count for how many"),
        ("generate x --sampler euler", "here it is --scheduler"),
        ("generate x -W 64", "no option '-W'; here it is --size, as --size 96x64"),
        ("generate x --negative-prompt y", "here it is --negative"),
        ("make guidance --cfg_scale 3", "no option '--cfg_scale' of 'guidance', nor of the whole command; here it is"),
    ],
)
def test_what_was_meant_is_named(line: str, message: str) -> None:
    refused = run(*line.split())
    assert (refused.code, message in refused.err) == (2, True), refused.err


def test_every_hint_names_an_option_or_a_command_that_is_there() -> None:
    ctx = click.Context(cli)
    every = [command for name in cli.list_commands(ctx) if (command := cli.get_command(ctx, name))]
    params = [param for command in every for param in command.params if isinstance(param, click.Option)]
    options = {name for param in params for name in (*param.opts, *param.secondary_opts)}
    named = {word.rstrip(",:") for meant in PEERS.values() for word in meant.split() if word.startswith("-")}
    assert named <= options
    there = {*cli.list_commands(ctx), *host().entries("trick")}
    assert all(any(word.strip(",") in there or word.startswith("-") for word in m.split()) for m in COMMANDS.values())
    assert not COMMANDS.keys() & {*cli.list_commands(ctx)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cover a.png --title --author X", "--title is without its value, as --author follows it; give one, or write"),
        ("generate --prompt --seed 3", "--prompt is without its value, as --seed follows it"),
        ("make overlay --title --author X", "--title is without its value, as --author follows it"),
        ("make -p x overlay --title --seed 3", "--title is without its value, as --seed follows it"),
        ("cover a.png --title", "--title is without its value; give it, or leave --title out"),
        ("anagram --view flip", "--view is without its value"),
    ],
)
def test_an_option_does_not_swallow_the_next_one(line: str, message: str) -> None:
    refused = run(*line.split())
    assert (refused.code, message in refused.err) == (2, True), refused.err


def test_a_value_that_looks_like_an_option_can_be_joined() -> None:
    assert run("generate", "--prompt=--seed", "--dry-run", "--seed", 1).code == 0
    assert run("generate", "--dry-run", "--seed", 1, "--", "--prompt").code == 0


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("hybird --far a --near b", "in [ hybird --far a --near b ]: unknown trick 'hybird'; did you mean 'hybrid'?"),
        ("hybrid --far a", "in [ hybrid --far a ]: Missing option '--near'"),
        ("hybrid --far a --near", "in [ hybrid --far a --near ]: --near is without its value"),
        ("hybrid --far a --near b --sigma x", "in [ hybrid --far a --near b --sigma x ]: Invalid value for '--sigma'"),
        ("a guidance --scale -1", "in [ a guidance --scale -1 ]: Invalid value for '--scale': expected a number"),
    ],
)
def test_what_is_wrong_in_brackets_names_them(inside: str, message: str) -> None:
    refused = run("make", "anagram", "--view", "identity", "[", *inside.split(), "]", "--view", "flip", "x")
    assert (refused.code, message in refused.err) == (2, True), refused.err


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (click.IntRange(1), " of at least 1"), (click.FloatRange(0, 1), " from 0 to 1"),
        (click.IntRange(max=9), " at most 9"),
        (click.FloatRange(0, 1, max_open=True), " of at least 0 and below 1"), (click.FLOAT, ""),
        (click.FloatRange(0, min_open=True), " above 0"),
    ],
)  # fmt: skip
def test_ranges_are_said_in_words(kind: object, said: str) -> None:
    assert limits(kind) == said


def test_a_prompt_that_names_a_file_is_told_of() -> None:
    Path("cat.png").write_bytes(b"x")
    for line in (
        "generate cat.png",
        "hybrid --far cat.png --near y",
        "make anagram a [ hybrid --far cat.png --near b ]",
    ):
        told = run(*line.split(), "--dry-run")
        assert told.code == 0, told.err
        assert (
            "the prompt 'cat.png' names a file, but is asked as words; in a trick picture:cat.png asks for" in told.err
        )
    assert "names a file" not in run("generate", "dog.png", "--dry-run").err


def test_a_list_of_seeds_is_a_picture_each(tmp_path: Path) -> None:
    made = run("generate", "a rabbit", "--seed", "1-3,20", "--dry-run")
    assert "same as: diffusion-tricks make -p 'a rabbit' --seed 1-3,20 --dry-run" in made.err
    assert "seed = [\n    1,\n    2,\n    3,\n    20,\n]" in made.out
    assert "count = 4" in made.out
    line = ["generate", "a rabbit", "--steps", 1, "--guidance", 1]
    listed = run(*line, "--seed", "2,20", "-o", "a{seed}.png", "--json")
    assert [json.loads(one)["seed"] for one in listed.lines] == [2, 20], listed.err
    alone = run(*line, "--seed", "20", "-o", "b.png")
    assert alone.code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("a20.png")), np.asarray(Image.open("b.png")))
    assert run("rerun", "a20.png", "-o", "c.png", "--dry-run").out.count("seed = 20") == 1
