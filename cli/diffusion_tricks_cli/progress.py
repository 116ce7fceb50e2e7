"""A progress line on stderr: step, rows and time left. It is shown on a terminal only. No torch here."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING

from diffusion_tricks.io.terminal import Line, meter

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run
    from diffusion_tricks.sampling.step import Step


class Progress:
    """Called with every step of a run over `count` pictures; batches follow each other. ahead: said before all."""

    def __init__(self, count: int, shown: bool, stream: IO[str] | None = None, ahead: str = ""):
        stream = stream or sys.stderr
        self.line = Line(stream) if shown and stream.isatty() else None
        self.count, self.finished, self.ahead = count, 0, ahead
        self.run: Run | None = None
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """Puts `text` in the place of the line."""
        if self.line:
            self.line.show(text)

    def clear(self) -> None:
        """Takes the line away, before something else is printed."""
        if self.line:
            self.line.clear()

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
        self.say(meter(share, time.monotonic() - self.began, f"{self.ahead}step {done}/{total}  rows {step.rows}"))
