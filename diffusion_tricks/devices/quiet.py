"""Keeps the libraries' remarks and bars off the screen where they say nothing a user could act on. No torch here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

_turn = threading.Lock()
_before: list[tuple[Any, int, bool]] = []  # the libraries' loggers, and what they said before they were kept quiet
_inside = 0  # how many keep them so, in all threads


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """diffusers and transformers say errors only inside, and draw no progress bars, until the last one is out."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    with _turn:
        _inside += 1
        if _inside > 1:
            return
        for logging in (diffusers_logging, transformers_logging):
            _before.append((logging, logging.get_verbosity(), logging.is_progress_bar_enabled()))
            logging.set_verbosity_error()
            logging.disable_progress_bar()


def _leave() -> None:
    global _inside
    with _turn:
        _inside -= 1
        while not _inside and _before:
            logging, level, bars = _before.pop()
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
