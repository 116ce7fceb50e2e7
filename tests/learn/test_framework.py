"""What every lesson shares: words, files, commands, interrupts, notebooks."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from command_line import run
from diffusion_tricks_cli.main import cli, commands_of_plugins
from diffusion_tricks_learn import teach as teaching
from diffusion_tricks_learn.course import lesson, lessons
from diffusion_tricks_learn.findings import Findings, last
from diffusion_tricks_learn.lesson_commands import PARAMETERS
from diffusion_tricks_learn.report import plain
from diffusion_tricks_learn.session import Clock, duration

NAMES = list(PARAMETERS)


def found(done: float = 1.0) -> Findings:
    return Findings(lambda: Image.new("RGB", (40, 30), "red"), [{"t": 250, "psnr_db": math.inf}], done=done)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(path)
    return path


def test_every_lesson_has_words_a_command_and_an_experiment() -> None:
    assert set(lessons()) == set(PARAMETERS)
    for name in lessons():
        assert callable(teaching.experiment(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_words_are_what_the_course_promises(name: str) -> None:
    one = lesson(name)
    assert one.exercise.strip().rstrip(".").replace("e.g.", "").count(". ") == 2, "three sentences"
    assert one.formula
    assert one.source
    assert one.question.strip().endswith("?")
    assert len(one.summary) <= 90
    assert not one.summary.endswith(".")
    assert 0 < one.quick <= one.full


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_says_in_its_help_what_it_does_and_how_long_it_takes(name: str) -> None:
    help_ = run("learn", name, "--help")
    assert help_.code == 0
    said = " ".join(help_.out.split())
    assert "--out DIR" in said
    assert "--quick" in said
    assert f"about {duration(lesson(name).quick)}" in said


def test_the_list_names_every_lesson_and_its_time() -> None:
    rows = [json.loads(line) for line in run("learn", "list", "--json").lines]
    assert [row["name"] for row in rows] == list(lessons())
    assert all(row["quick_seconds"] > 0 for row in rows)
    assert len(run("learn", "list").lines) == len(lessons()) + 1


def test_a_lesson_leaves_its_files_and_the_line_that_repeats_it(tmp_path: Path, picture: Path) -> None:
    made = run("learn", "forward", picture, "--t", "100,900", "--seed", "7", "--out", tmp_path / "a")
    assert (made.code, made.out) == (0, f"{tmp_path / 'a' / 'report.html'}\n")
    numbers = json.loads((tmp_path / "a" / "numbers.json").read_text())
    again = shlex.split(numbers["command"])
    assert again[:3] == ["diffusion-tricks", "learn", "forward"]
    again[again.index("--out") + 1] = str(tmp_path / "b")
    assert run(*again[1:]).code == 0
    other = json.loads((tmp_path / "b" / "numbers.json").read_text())
    assert numbers["table"] == other["table"]
    assert [row["t"] for row in other["table"]][:2] == [100, 900]
    assert (tmp_path / "a" / "figure.png").read_bytes() == (tmp_path / "b" / "figure.png").read_bytes()
    assert "<link" not in (tmp_path / "a" / "report.html").read_text().replace('<link rel="icon" href="data:,">', "")


def test_nothing_that_stands_there_is_replaced_unless_asked(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "numbers.json").write_text("mine")
    refused = run("learn", "forward", picture, "--out", tmp_path)
    assert refused.code == 2
    assert "numbers.json exists" in refused.err
    assert "--force" in refused.err
    assert (tmp_path / "numbers.json").read_text() == "mine"
    assert run("learn", "forward", picture, "--out", tmp_path, "--force").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("forwrd", "x.png"), "did you mean 'forward'?"),
        (("forward", "none.png"), "none.png"),
        (("forward", "{picture}", "--t", "1,x"), "expected whole numbers with commas"),
        (("forward", "{picture}", "--t", "1000"), "t must be between 0 and 999"),
        (("notebook", "forwrd"), "did you mean 'forward'?"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, picture: Path, words: tuple[str, ...], said: str) -> None:
    out = [] if words[0] == "notebook" else ["--out", tmp_path / "out"]
    refused = run("learn", *(word.format(picture=picture) for word in words), *out)
    assert refused.code == 2
    assert said in refused.err
    assert not (tmp_path / "out" / "numbers.json").exists()


def test_an_interrupt_leaves_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    def broken_off(session: Any, **options: Any) -> Iterator[Findings]:
        yield found(done=0.25)
        raise KeyboardInterrupt

    monkeypatch.setattr(teaching, "experiment", lambda name: broken_off)
    ended = run("learn", "forward", picture, "--out", tmp_path / "out")
    assert ended.code == 130
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert numbers["done"] == 0.25
    assert numbers["table"] == [{"t": 250, "psnr_db": "inf"}]
    assert "Interrupted" in (tmp_path / "out" / "report.html").read_text()


def test_an_interrupt_before_anything_is_found_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Path
) -> None:
    def broken_off(session: Any, **options: Any) -> Iterator[Findings]:
        raise KeyboardInterrupt
        yield found()

    monkeypatch.setattr(teaching, "experiment", lambda name: broken_off)
    assert run("learn", "forward", picture, "--out", tmp_path / "out").code == 130
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_course_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Path
) -> None:
    done: list[str] = []

    def experiment(name: str) -> Any:
        def finds(session: Any, **options: Any) -> Iterator[Findings]:
            yield found(done=0.5)
            if not done:
                done.append(name)
                raise KeyboardInterrupt
            done.append(name)
            yield found()

        return finds

    monkeypatch.setattr(teaching, "experiment", experiment)
    words = ("learn", "all", picture, "--out", tmp_path / "course", "--seed", "3")
    assert run(*words).code == 130
    assert run(*words).code == 0
    names = list(PARAMETERS)
    assert sorted(done) == sorted([*names, names[0]]), "only the one that was interrupted is done again"
    index = (tmp_path / "course" / "index.html").read_text()
    assert all(f'href="{name}/report.html"' in index for name in names)
    for name in names:
        command = json.loads((tmp_path / "course" / name / "numbers.json").read_text())["command"]
        assert command.startswith(f"diffusion-tricks learn {name} ")
        assert "--seed 3" in command


def test_what_a_report_is_told_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    evil = "<script>alert(1)</script>"

    def finds(session: Any, **options: Any) -> Iterator[Findings]:
        yield Findings(found().draw, [{"prompt": evil}], says=[evil])

    monkeypatch.setattr(teaching, "experiment", lambda name: finds)
    assert run("learn", "forward", picture, "--out", tmp_path / "out").code == 0
    assert evil not in (tmp_path / "out" / "report.html").read_text()


def test_the_clock_foretells_once_from_the_first_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said: list[str] = []
    clock = Clock(said.append)
    clock.expect(101)
    now[0] = 30.0  # loading
    for _ in range(101):
        clock.tick()
        now[0] += 2.0
    assert said == ["about 3 min to go, as the first steps took"]


def test_json_holds_what_is_no_number() -> None:
    assert plain({"a": math.inf, "b": (math.nan, 1), 3: Path("x")}) == {"a": "inf", "b": ["nan", 1], "3": "x"}


def test_a_session_is_silent_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    from diffusion_tricks_learn.session import Session

    Session().say("hello")
    assert capsys.readouterr() == ("", "")


def test_the_last_findings_count() -> None:
    assert last([found(0.5), found(1.0)]).done == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_and_shows_the_experiment(tmp_path: Path, name: str) -> None:
    import nbformat

    assert run("learn", "notebook", name, "-o", tmp_path / "x.ipynb").code == 0
    book = nbformat.read(tmp_path / "x.ipynb", as_version=4)
    nbformat.validate(book)
    cells = [cell.source for cell in book.cells if cell.cell_type == "code"]
    for cell in cells:
        compile(cell, name, "exec")
    code = "\n".join(cells)
    assert f"def {name.replace('-', '_')}(" in code
    assert lesson(name).question in book.cells[-1].source


def test_commands_that_are_found_again_and_again_are_wrapped_once() -> None:
    """Tests and scripts call the command line often in one process; the plugin hands on the same group each time."""
    for _ in range(sys.getrecursionlimit() + 1):
        commands_of_plugins(click.Context(cli))
    assert run("learn", "list").code == 0
