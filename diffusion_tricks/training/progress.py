"""The progress of a training on stderr: one line, rewritten on a terminal, else one now and then. No torch here."""

from __future__ import annotations

import sys
import time
from typing import IO

from diffusion_tricks.io.terminal import Line, meter

PAUSE = {True: 0.2, False: 30.0}  # seconds between two lines, on a terminal and elsewhere


class Progress:
    """Shows steps as they are made. shown: whether at all."""

    def __init__(self, shown: bool = True, stream: IO[str] | None = None):
        self.stream = stream or sys.stderr
        self.shown = shown
        self.line = Line(self.stream) if self.stream.isatty() else None
        self.last = 0.0

    def __call__(self, text: str) -> None:
        """Shows a line, unless the last is too fresh."""
        now = time.monotonic()
        if self.shown and now - self.last >= PAUSE[self.line is not None]:
            self.last = now
            if self.line:
                self.line.show(text)
            else:
                self._write(text)

    def say(self, text: str) -> None:
        """A remark that stays."""
        if self.shown:
            self.clear()
            self._write(text)

    def clear(self) -> None:
        """Takes the line away."""
        if self.shown and self.line:
            self.line.clear()

    def _write(self, text: str) -> None:
        self.stream.write(f"{text}\n")
        self.stream.flush()


def spoken(seconds: float) -> str:
    """A time in words.

    >>> spoken(40), spoken(200), spoken(20_000)
    ('40 seconds', '3 minutes', '5.6 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def line(done: float, step: int, epoch: float, loss: float, rate: float, seconds: float) -> str:
    """The line. done: share of the run, 0 to 1; rate: pictures a second; seconds: since the run began.

    >>> line(0.25, 50, 1.5, 0.0421, 310.0, 20.0)
    '[######                  ] step 50  epoch 1.5  loss 0.0421  310 images/s  01:00 left'
    """
    speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
    return meter(done, seconds, f"step {step}  epoch {epoch:.1f}  loss {loss:.4f}  {speed} images/s")
