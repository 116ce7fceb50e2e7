"""The progress of a training on stderr: one line, rewritten on a terminal, else one now and then. No torch here."""

from __future__ import annotations

import sys
import time
from typing import IO

WIDTH = 24
CLEAR = "\r\x1b[K"
PAUSE = {True: 0.2, False: 30.0}  # seconds between two lines, on a terminal and elsewhere


class Progress:
    """Shows steps as they are made. shown: whether at all."""

    def __init__(self, shown: bool = True, stream: IO[str] | None = None):
        self.stream = stream or sys.stderr
        self.shown = shown
        self.live = self.stream.isatty()
        self.last = 0.0

    def __call__(self, text: str) -> None:
        """Shows a line, unless the last is too fresh."""
        now = time.monotonic()
        if self.shown and now - self.last >= PAUSE[self.live]:
            self.last = now
            self._write(f"{CLEAR}{text}" if self.live else f"{text}\n")

    def say(self, text: str) -> None:
        """A remark that stays."""
        if self.shown:
            self._write(f"{CLEAR if self.live else ''}{text}\n")

    def clear(self) -> None:
        """Takes the line away."""
        if self.shown and self.live:
            self._write(CLEAR)

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def line(done: float, step: int, epoch: float, loss: float, rate: float, seconds: float) -> str:
    """The line. done: share of the run, 0 to 1; rate: pictures a second; seconds: since the run began.

    >>> line(0.25, 50, 1.5, 0.0421, 310.0, 20.0)
    '[######                  ] step 50  epoch 1.5  loss 0.0421  310 images/s  1:00 left'
    """
    bar = "#" * round(WIDTH * min(done, 1.0))
    left = round(seconds * (1 - done) / done) if done > 0 else 0
    clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}" if left >= 3600 else f"{left // 60}:{left % 60:02}"
    speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
    return f"[{bar:<{WIDTH}}] step {step}  epoch {epoch:.1f}  loss {loss:.4f}  {speed} images/s  {clock} left"
