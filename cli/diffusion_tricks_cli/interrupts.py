"""Ctrl-C, whenever it comes. No torch here."""

from __future__ import annotations

import os
import signal
from types import FrameType

INTERRUPTED = 130  # exit code, as of a shell
SAID = "Interrupted; nothing is left half-written."
IMPORTING = "<frozen importlib._bootstrap>"


def listen() -> None:
    """Lets Ctrl-C end the program with its exit code also while libraries are imported, which do not stand it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    if _imports(frame):
        os.write(2, f"{SAID}\n".encode())
        os._exit(INTERRUPTED)
    signal.default_int_handler(number, frame)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported where a frame stands."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False
