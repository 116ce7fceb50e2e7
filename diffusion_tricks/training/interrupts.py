"""Ctrl-C in a training: the step is finished, a checkpoint is saved, and only then is it over. No torch here."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

AGAIN = 2.0  # seconds; a second Ctrl-C after that does not wait


class Interrupted(KeyboardInterrupt):
    """A training was stopped and saved; the message says how to go on."""


class Interrupts:
    """While it is entered, Ctrl-C and SIGTERM only set `asked`; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked and time.monotonic() - self._when > AGAIN:
            raise KeyboardInterrupt
        if not self.asked:
            self._when = time.monotonic()
        self.asked = True
