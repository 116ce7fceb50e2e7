"""SDEdit of pictures and drawings: where it starts, where it ends, and what is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from command_line import run
from diffusion_tricks import UsageError
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.experiments.edit import edit
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.sessions import pattern, saved, session_of

SUN = "background #87ceeb\ncircle 50 50 30 gold\n"


def test_distance_and_start_are_those_of_the_formula(tmp_path: Path) -> None:
    """The exact model ends in what it knows, from wherever it starts."""
    x0, known = pattern(), pattern(1)
    aimed, plain = exact_model({"a rocket": known, "": known, None: known}), pattern(2)
    pictures = [saved(x0, tmp_path / "photo.png"), saved(plain, tmp_path / "plain.png")]
    found = last(edit(session_of(aimed), pictures))
    assert [row["i_start"] for row in found.table[:6]] == [1, 3, 5, 7, 10, 20]
    assert [row["t"] for row in found.table[:6]] == [960, 900, 840, 780, 690, 390]
    assert [(row["picture"], row["prompt"]) for row in found.table[::6]] == [
        ("photo", "none"), ("photo", "a rocket"), ("plain", "none"), ("plain", "a rocket"),
    ]  # fmt: skip
    for row in found.table:
        original = x0 if row["picture"] == "photo" else plain
        far = np.sqrt(np.mean((known.numpy() - original.numpy()) ** 2)) / 2
        assert row["distance"] == pytest.approx(far, abs=1e-4)
    assert found.figure.width > 600


def test_a_drawing_is_edited_as_a_picture_is(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "sun.txt").write_text(SUN)
    made = run("learn", "edit", "--draw", tmp_path / "sun.txt", "--i-start", "30,32", "-m", tiny, "-p", "a sun",
               "--out", tmp_path / "out")  # fmt: skip
    assert made.code == 0, made.err
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert {row["picture"] for row in numbers["table"]} == {"sun, drawn"}
    assert [row["prompt"] for row in numbers["table"]] == ["none", "none", "a sun", "a sun"]
    assert "--draw" in numbers["command"]


def test_rows_are_given_as_they_are_made(tmp_path: Path) -> None:
    parts = list(edit(session_of(exact_model(pattern())), [saved(pattern(), tmp_path / "x.png")], i_start=(30,)))
    assert [(part.done, len(part.table)) for part in parts] == [(0.5, 1), (1, 2)]
    assert not parts[0].says, "one start says nothing of how it matters"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "edit: a picture is missing; give one or more, or a drawing as text with --draw"),
        (("--draw", "none.txt"), "the drawing none.txt cannot be read"),
        (("--draw", "{bad}"), "line 2: expected one of background"),
        (("{picture}", "--i-start", "34"), "i_start must be between 0 and 33, got 34"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "bad.txt").write_text("background white\ncirle 1 2 3 red\n")
    names = {"bad": tmp_path / "bad.txt", "picture": saved(pattern(), tmp_path / "x.png")}
    refused = run("learn", "edit", *(word.format(**names) for word in words), "--out", tmp_path / "out")
    assert refused.code == 2
    assert said in " ".join(refused.err.split())


@pytest.mark.parametrize("kind", ["tiny_sd", "tiny_flow", "tiny_plain"])
def test_other_kinds_of_models(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    session = Session(str(request.getfixturevalue(kind)))
    found = last(edit(session, [saved(pattern(), tmp_path / "x.png")], i_start=(30,)))
    assert len(found.table) == (1 if kind == "tiny_plain" else 2)


def test_nothing_to_edit_is_refused_in_python_too() -> None:
    with pytest.raises(UsageError, match="`draw`"):
        last(edit(Session()))
