"""Files of text that others wrote: regular ones only, of a size that settings have, read without waiting for more."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MOST = 16 * 2**20  # bytes


class Unreadable(ValueError):
    """A file that is not what it should be; the message goes on from its name: `f"{file} {error}"`."""


def read_text(file: Path, most: int = MOST) -> str:
    """The text (UTF-8) of a file of at most `most` bytes. Raises Unreadable, also for a pipe, a device or a folder."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as opened:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            data = opened.read(most + 1) if regular else b""
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise Unreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not regular:
        raise Unreadable("cannot be read: it is no regular file")
    if len(data) > most:
        raise Unreadable(f"cannot be read: it holds more than {most:,} bytes, which is no file of this kind")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"cannot be read as text in UTF-8: {error.reason} at byte {error.start}") from None
