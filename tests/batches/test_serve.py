"""A warm process: a job a line in, an answer a line out, with one load of the model."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from command_line import Outcome, run
from diffusion_tricks_batch import work

WORDS = ["batch", "-", "-o", "out/{id}-{index}.png", "--seed", "5"]
COUNTED = """
import sys
from diffusion_tricks_batch import work
real = work.load_model
def loaded(*arguments, **named):
    print("loaded")  # on stdout, which is for answers
    return real(*arguments, **named)
work.load_model = loaded
from diffusion_tricks_cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def here(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, "tiny")


def job(**more: Any) -> dict[str, Any]:
    return {"prompt": "a rabbit", "seed": 1, "steps": 1, "model": "./tiny", **more}


class Process:
    """The command in a process of its own, asked and answered by pipes."""

    def __init__(self, *more: str):
        command = [sys.executable, "-c", COUNTED, *WORDS, *more]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, said: Any) -> Any:
        """The answer to a line; the next is not given before it is there."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write((said if isinstance(said, str) else json.dumps(said)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self, last: str = "") -> tuple[int, str, str]:
        """How it ends, and what else it said."""
        out, err = self.process.communicate(last)
        return self.process.returncode, out, err


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.process.kill()
    made.process.wait()


def test_each_line_is_answered_at_once_by_one_line(process: Process) -> None:
    first = process.ask(job(id="a"))
    assert first["paths"] == ["out/a-0.png"]
    assert (first["id"], first["seed"]) == ("a", 1)
    assert -1 <= first["score"]["alignment"] <= 1
    assert Path("out/a-0.png").is_file()
    wrong = process.ask("no JSON")
    assert (wrong["id"], wrong["kind"]) == ("1", "UsageError")
    assert "line 2 of standard input is not valid JSON" in wrong["error"]
    several = process.ask(job(count=2))
    assert several["id"] == "2"
    assert several["paths"] == ["out/2-0.png", "out/2-1.png"]
    assert [one["seed"] for one in several["pictures"]] == [1, 2]
    unknown = process.ask(job(id="b", stepps=1))
    assert "did you mean 'steps'" in unknown["error"]
    assert process.ask(job(id="a")) == first | {"kept": True}
    code, out, err = process.end('{"quit": true}\n{"id": "never", "prompt": "a"}\n')
    assert (code, out) == (1, ""), err
    assert err.count("loaded") == 1
    assert [json.loads(line)["id"] for line in Path("out/failed.jsonl").read_text().splitlines()] == ["1", "b"]


def answered(monkeypatch: pytest.MonkeyPatch, lines: list[Any], *more: str) -> tuple[Outcome, list[Any]]:
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    outcome = run(*WORDS, "--no-scores", *more)
    return outcome, [json.loads(line) for line in outcome.lines]


def test_a_wrong_line_does_not_undo_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, said = answered(monkeypatch, [job(id="a"), job(id="a", stepps=1), job(id="a"), job(id="a", stepps=1)])
    assert ["error" in one for one in said] == [False, True, False, True]
    assert said[2]["kept"]
    assert outcome.code == 1
    assert "stepps" in said[1]["error"]
    assert not Path("out/failed.jsonl").exists()  # what was made stands


def test_a_path_that_cannot_be_looked_at_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    edit = [{"trick": "sdedit", "image": "x" * 300 + ".png"}]
    outcome, told = answered(monkeypatch, [job(id="a", tricks=edit), job(id="b")])
    assert (outcome.code, told[0]["kind"], told[1]["id"]) == (1, "PictureError", "b")


def test_what_is_asked_again_is_answered_from_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, first = answered(monkeypatch, [job(id="a"), job(id="b", seed=None)])
    assert outcome.code == 0
    assert run(*WORDS).code == 2  # an earlier batch, and neither --resume nor --force
    with mock.patch.object(work, "load_model", side_effect=AssertionError):
        outcome, again = answered(monkeypatch, [job(id="b", seed=None), job(id="a")], "--resume")
    assert again == [one | {"kept": True} for one in reversed(first)]
    outcome, other = answered(monkeypatch, [job(id="a", seed=3)], "--resume")
    assert other == [{"id": "a", "paths": ["out/a-0.png"], "seed": 3}]


def test_the_pictures_are_those_of_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, [job(id="a"), job(id="b", seed=None)])
    Path("jobs.jsonl").write_text("".join(json.dumps(job(id=name, seed=seed)) + "\n" for name, seed in
                                          (("a", 1), ("b", None))))  # fmt: skip
    words = ["batch", "jobs.jsonl", "-o", "list/{id}-{index}.png", "--seed", "5", "--batch", "1", "--no-scores"]
    assert run(*words).code == 0
    for name in ("a-0.png", "b-0.png"):
        assert Path("list", name).read_bytes() == Path("out", name).read_bytes()


def test_a_first_line_may_be_what_all_begin_with(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"base": {"prompt": "a {thing}", "steps": 1, "model": "./tiny"}}
    _, answers = answered(monkeypatch, [base, "", {"thing": "duck", "seed": 4}])
    assert answers == [{"id": "0", "paths": ["out/0-0.png"], "seed": 4}]


@pytest.mark.parametrize(
    ("lines", "kinds", "said"),
    [
        ([job(id="a", model="./nothing")], ["UnknownName"], "unknown model"),
        (["[1]", '"x"', "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")], ["UsageError"] * 3, ""),
        ([job(id="../x")], ["UsageError"], "leads out of its folder"),
        ([job(tricks=[{"trick": "sdedit", "image": "gone.png"}])], ["PictureError"], "gone.png"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_answered_too(
    lines: list[Any], kinds: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, answers = answered(monkeypatch, [*lines, job(id="good")])
    assert [one.get("kind") for one in answers] == [*kinds, None]
    assert said in answers[0]["error"]
    assert outcome.code == 1


def test_a_warm_session_leaves_what_a_list_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in
                                          (job(id="x"), job(id="y", stepps=1), job(id="z", stepps=1))))  # fmt: skip
    assert run("batch", "jobs.jsonl", *WORDS[2:], "--batch", "1", "--no-scores").code == 1
    outcome, _ = answered(monkeypatch, [job(id="a"), job(id="z")], "--resume")
    assert outcome.code == 0, outcome.err
    assert [json.loads(line)["id"] for line in Path("out/failed.jsonl").read_text().splitlines()] == ["y"]
    data = run("status", "out", "--json").json
    assert [data[name] for name in ("jobs", "made", "kept")] == [4, 2, 1]


def test_two_jobs_never_write_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(
        "".join(json.dumps(job(id=name)) + "\n" for name in "ab").encode())))  # fmt: skip
    outcome = run("batch", "-", "-o", "out/{prompt:slug}.png", "--no-scores")
    first, second = map(json.loads, outcome.lines)
    assert first["paths"] == ["out/a-rabbit.png"]
    assert "out/a-rabbit.png is the file of job 'a'" in second["error"]


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize("more", [["--grid", "seed=1-3"], ["--engine", "other"], ["--batch", "4"], ["--workers", "2"]])
def test_what_is_of_lists_alone_is_refused(more: list[str], dry: list[str]) -> None:
    assert "and - reads jobs" in (err := run(*WORDS, *more, *dry).err) or "that come by -" in err


@pytest.mark.parametrize(("option", "value"), [("--device", "cdua")])
def test_settings_are_checked_before_the_first_job(option: str, value: str) -> None:
    outcome = run(*WORDS, option, value)
    assert outcome.code in (2, 3)
    assert value in outcome.err
    assert not Path("out").exists()


def test_stop_ends_with_the_first_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, answers = answered(monkeypatch, [job(id="a", stepps=1), job(id="b")], "--on-error", "stop")
    assert (outcome.code, [one["id"] for one in answers]) == (1, ["a"])


def test_an_id_is_that_of_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [job(id="a"), job(id="a", seed=2), job(id="a", stepps=1), job(id="a")]
    outcome, (first, other, wrong, again) = answered(monkeypatch, asked)
    assert other == {"id": "a", "kind": "UsageError", "error": (
        "the id 'a' is that of another job, which was made already; give each one of its own")}  # fmt: skip
    assert "did you mean 'steps'" in wrong["error"]
    assert again == first | {"kept": True}
    assert outcome.code == 1
    assert not Path("out/failed.jsonl").exists()
