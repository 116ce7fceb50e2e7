"""What a running batch tells: rates of late, the time left, lines on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import io
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from diffusion_tricks_batch.outcome import Failure, Outcome
from diffusion_tricks_batch.telling import progress
from diffusion_tricks_batch.telling.pace import WINDOW, Pace, clock, seconds_left
from diffusion_tricks_batch.telling.progress import Board, Progress, State


def ready(jobs: int, kept: int = 0, problems: int = 0, pictures: int = 1) -> Any:
    """A list of jobs, the first of them kept, the last with problems."""
    names = [f"j{n}" for n in range(jobs - problems)]
    return SimpleNamespace(
        jobs=range(jobs), kept=kept, problems={f"bad{n}": ValueError() for n in range(problems)},
        items={name: SimpleNamespace(paths=("p",) * pictures) for name in names},
        verdicts={name: SimpleNamespace(kept=n < kept) for n, name in enumerate(names)},
    )  # fmt: skip


def outcome(key: str, worker: str = "here", failed: bool = False) -> Outcome:
    return Outcome(key, worker, {}, Failure("ModelError", "no") if failed else None)


class Screen(io.StringIO):
    """A terminal: what is seen on it after all that was written."""

    def isatty(self) -> bool:
        return True

    @property
    def seen(self) -> list[str]:
        lines, row = [""], 0
        for part in re.findall(r"\x1b\[\d*[AJ]|\r|\n|[^\x1b\r\n]+", self.getvalue()):
            if part.endswith("A") and part[0] == "\x1b":
                row -= int(part[2:-1])
            elif part == "\x1b[J":
                lines = [*lines[:row], ""]
            elif part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part != "\r":
                lines[row] += part
        return lines


def test_the_rate_is_that_of_late() -> None:
    """Slow at first, then two a second: after the window that is all that counts."""
    pace = Pace(0.0)
    assert pace.rate is None
    pace.add(100.0)
    assert pace.rate == pytest.approx(0.01)
    for n in range(1, 4 * int(WINDOW)):
        pace.add(100 + n / 2)
    assert pace.rate == pytest.approx(2.0, rel=0.01)
    assert pace.pictures == 4 * WINDOW


@pytest.mark.parametrize("at_once", [2, 8, 64])
def test_pictures_that_come_together_do_not_bias_the_rate(at_once: int) -> None:
    """Batches of several pictures that each take 8 s, finished one after the other within a fraction of a second."""
    pace = Pace(0.5)
    for batch in range(1, 40):
        for n in range(at_once):
            pace.add(0.5 + 8 * batch + 0.001 * n)
    assert pace.rate == pytest.approx(at_once / 8, rel=0.01)


def test_a_slow_model_has_a_rate_too() -> None:
    pace = Pace(0.0)
    for n in range(1, 4):
        pace.add(10 * WINDOW * n)
    assert pace.rate == pytest.approx(1 / (10 * WINDOW))


def test_the_time_left_is_that_of_what_is_left() -> None:
    assert seconds_left(30, 2.0) == 15.0
    assert seconds_left(0, None) == 0.0
    assert seconds_left(3, None) is None
    assert [clock(None), clock(205.4), clock(3661)] == ["?", "03:25", "1:01:01"]


def test_what_is_kept_or_failed_is_no_speed() -> None:
    """100 jobs of 2 pictures, 60 kept, 1 with a problem: 10 made in 20 s, and 1 failed, leave 28 jobs."""
    state = State(ready(100, kept=60, problems=1, pictures=2), 1000.0)
    for n in range(10):
        state.take(outcome(f"j{60 + n}"), 1002.0 + 2 * n)
    state.take(outcome("j70", failed=True), 1020.0)
    state.take(outcome("bad0", failed=True), 1020.0)
    assert state.line() == "70/100 jobs, 2 failed, 1 pictures/s, 00:56 left"


def test_each_of_several_workers_has_a_line() -> None:
    state = State(ready(4), 0.0)
    state.take(outcome("j0", "b"), 1.0)
    assert len(state.lines()) == 1
    state.take(outcome("j1", "a"), 2.0)
    assert state.lines() == [
        "[############            ] 2/4 jobs, 1 pictures/s, 00:02 left",
        "  a: 1 made, 0.5 pictures/s", "  b: 1 made, 1 pictures/s",
    ]  # fmt: skip
    assert state.line() == "2/4 jobs, 1 pictures/s, 00:02 left; a: 1 made, 0.5 pictures/s; b: 1 made, 1 pictures/s"


def test_lines_take_the_place_of_those_before() -> None:
    screen = Screen()
    board = Board(screen)
    board.show(["one"])
    board.show(["two", "three", "four"])
    board.show(["five", "six"])
    assert screen.seen == ["five", "six"]
    board.clear()
    assert screen.seen == [""]
    screen.write("a note\n")
    board.show(["seven"])
    assert screen.seen == ["a note", "seven"]


def test_lines_are_as_wide_and_high_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: (20, 4))
    screen = Screen()
    Board(screen).show(["x" * 50] * 9)
    assert screen.seen == ["x" * 19] * 3


def test_on_a_terminal_results_are_printed_above_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BLINK", 0.01)
    screen, seconds = Screen(), iter(range(100))
    with Progress(screen, now=lambda: float(next(seconds))) as told:
        tell = told.beside(lambda _: lambda one: print(one.key, file=screen))(ready(2))
        for key in ("j0", "j1"):
            tell(outcome(key))
            _wait_for(screen, f"{int(key[1]) + 1}/2 jobs")
        last = screen.seen
    assert last == ["j0", "j1", "[########################] 2/2 jobs, 1 pictures/s, 00:00 left"]
    assert screen.seen == ["j0", "j1", ""]


def _wait_for(screen: Screen, text: str) -> None:
    end = time.monotonic() + 10
    while text not in screen.getvalue() and time.monotonic() < end:
        time.sleep(0.005)
    assert text in screen.getvalue()


def test_elsewhere_a_line_a_minute_the_first_after_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.MINUTE == 60.0
    stream = io.StringIO()
    with Progress(stream) as told:
        told.begin(ready(1))(outcome("j0"))
    assert stream.getvalue() == ""  # it took less
    monkeypatch.setattr(progress, "MINUTE", 0.01)
    with Progress(stream, now=iter([0.0, 4.0]).__next__) as told:
        told.begin(ready(2))(outcome("j0"))
        _wait_for(stream, "1/2 jobs, 0.25 pictures/s, 00:04 left\n")  # type: ignore[arg-type]


def test_quiet_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BLINK", 0.001)
    screen = Screen()
    with Progress(screen, shown=False) as told:
        told.begin(ready(1))(outcome("j0"))
        time.sleep(0.02)
    assert screen.getvalue() == ""
    assert told.state is not None
    assert told.state.done == 1
