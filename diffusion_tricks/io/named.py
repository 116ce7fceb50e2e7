"""What the name of a picture means: a file, a page of one, or standard input. No NumPy here."""

from __future__ import annotations

import io
import os
import re
import sys
from functools import lru_cache
from pathlib import Path

from diffusion_tricks.errors import PictureError

STDIN = "-"  # the name of a picture that comes by standard input
PAGE = re.compile(r"(.+)\[(\d+)\]", re.DOTALL)


def page_of(path: str | Path | io.BytesIO) -> tuple[Path | io.BytesIO, int | None]:
    """The file that a name means, and which page of it: `photo.tif[2]` is the third, unless a file is called so."""
    if isinstance(path, io.BytesIO):
        return path, None
    if str(path) == STDIN:
        return io.BytesIO(_standard_input()), None
    found = PAGE.fullmatch(str(path))
    if found is None or os.path.lexists(path):
        return Path(path), None
    return Path(found[1]), int(found[2])


def file_of(path: str | Path) -> Path:
    """The file that a name means, without the page; of standard input, its name."""
    file, _ = page_of(path) if str(path) != STDIN else (Path(STDIN), None)
    return file if isinstance(file, Path) else Path(path)


@lru_cache(maxsize=1)
def _standard_input() -> bytes:
    """All of standard input, which can be read but once. Raises PictureError where there is nothing to read."""
    if sys.stdin is None or sys.stdin.isatty():
        raise PictureError("`-` reads a picture from standard input, which is a terminal; redirect a file to it")
    data = sys.stdin.buffer.read()
    if not data:
        raise PictureError("`-` reads a picture from standard input, which is empty; redirect a file to it")
    return data
