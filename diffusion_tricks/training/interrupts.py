"""Ctrl-C in a training: the step is finished, a checkpoint is saved, and only then is it over. No torch here."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

# of a terminal, of a system, of a terminal that is closed; the last is not known to Windows
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
AGAIN = 2.0  # seconds; a second Ctrl-C after that does not wait


class Interrupted(KeyboardInterrupt):
    """A training was stopped and saved; the message says how to go on."""


def heeded() -> list[int]:
    """The signals that end a training; not one that is to be ignored, as nohup has it."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


class Interrupts:
    """While it is entered, Ctrl-C and its like only set `asked`; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in heeded():
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
