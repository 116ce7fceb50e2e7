"""Keeps the libraries' remarks and bars off the screen where they say nothing a user could act on. No torch here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """diffusers and transformers say errors only inside, and draw no progress bars."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    loggers = (diffusers_logging, transformers_logging)
    before = [(logging.get_verbosity(), logging.is_progress_bar_enabled()) for logging in loggers]
    for logging in loggers:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        yield
    finally:
        for logging, (level, bars) in zip(loggers, before, strict=True):
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
