"""A progress line on stderr: step, rows and time left. It is shown on a terminal only. No torch here."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run, Step

WIDTH = 24
CLEAR = "\r\x1b[K"


class Progress:
    """Called with every step of a run over `count` pictures; batches follow each other."""

    def __init__(self, count: int, shown: bool, stream: IO[str] | None = None):
        self.stream = stream or sys.stderr
        self.shown = shown and self.stream.isatty()
        self.count, self.finished = count, 0
        self.run: Run | None = None
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """Puts `text` in the place of the line."""
        if self.shown:
            self.stream.write(f"{CLEAR}{text}")
            self.stream.flush()

    def clear(self) -> None:
        """Takes the line away, before something else is printed."""
        self.say("")

    def __call__(self, step: Step) -> None:
        """Shows a step."""
        if step.run is not self.run:
            another = self.run is not None and step.run.previous is not self.run
            self.finished += self.run.count if self.run and another else 0
            self.began = self.began if self.run else time.monotonic()
            self.run = step.run
        total = len(step.run.timesteps) - step.run.first
        done = step.index - step.run.first + 1
        of_these = (step.stage - 1 + done / total) / step.run.stage_count
        share = (self.finished + step.run.count * of_these) / self.count
        self.say(line(done, total, step.rows, share, time.monotonic() - self.began))


def line(done: int, total: int, rows: int, share: float, seconds: float) -> str:
    """The progress line. share: of all the work, 0 to 1; seconds: since the work began.

    >>> line(5, 20, 4, 0.25, 2.0)
    '[######                  ] step 5/20  rows 4  0:06 left'
    """
    left = round(seconds * (1 - share) / share) if share else 0
    bar = "#" * round(WIDTH * share)
    return f"[{bar:<{WIDTH}}] step {done}/{total}  rows {rows}  {left // 60}:{left % 60:02} left"
