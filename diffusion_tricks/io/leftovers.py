"""Temporary files and folders whose process was killed: later ones sweep them away, as soon as nobody holds them.

Who holds one has it locked (flock), and a lock goes with its process, wherever that ran.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

AGE = 60.0  # seconds; a younger one may not be locked yet


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """While it lasts, `sweep` leaves a file or folder alone, in whatever process."""
    descriptor = _opened(path)
    try:
        if descriptor is not None:
            _locked(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this process is the only one that holds a file so; while it lasts, it stays so.

    True also where that cannot be told.
    """
    descriptor = _opened(path)
    try:
        yield descriptor is None or _locked(descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def sweep(folder: Path, pattern: str) -> None:
    """Removes the files and folders in a folder that are called so, are older than `AGE`, and that nobody holds."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            kind = path.lstat()
            if time.time() - kind.st_mtime > AGE and not _is_held(path, kind.st_mode):
                shutil.rmtree(path) if stat.S_ISDIR(kind.st_mode) else path.unlink()


def _is_held(path: Path, mode: int) -> bool:
    """Whether it is, or is none of ours, or where that cannot be told."""
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return True
    descriptor = _opened(path)
    if descriptor is None:
        return True
    try:
        return not _locked(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    """A descriptor to lock; None on Windows, which renames and removes no file that is open."""
    if sys.platform == "win32":
        return None
    with contextlib.suppress(OSError):
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return None


def _locked(descriptor: int) -> bool:
    """Locks it, or says that it cannot be."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False
