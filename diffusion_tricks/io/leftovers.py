"""Temporary files and folders whose process was killed: later ones sweep them away, as soon as nobody holds them.

Who holds one has it locked (flock), and a lock goes with its process, wherever that ran.
"""

from __future__ import annotations

import contextlib
import errno
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
HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}  # what flock says where another has the lock


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """While it lasts, `sweep` leaves a file or folder alone, in whatever process."""
    descriptor = _opened(path)
    try:
        if descriptor is not None:
            _failed(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this process is the only one that holds a file so; while it lasts, it stays so.

    True also where that cannot be told.
    """
    descriptor = _opened(path, os.O_RDWR)  # over NFS only a file open for writing can be locked
    descriptor = _opened(path) if descriptor is None else descriptor
    try:
        yield descriptor is None or _is_free(descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_free(path: Path) -> bool:
    """Whether nobody holds a file `alone`; True also where that cannot be told. Any number may ask at once."""
    descriptor = _opened(path)
    if descriptor is None:
        return True
    try:
        return _is_free(descriptor, shared=True)
    finally:
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
        return _failed(descriptor) is not None
    finally:
        os.close(descriptor)


def _opened(path: Path, mode: int = os.O_RDONLY) -> int | None:
    """A descriptor to lock; None on Windows, which renames and removes no file that is open."""
    if sys.platform == "win32":
        return None
    with contextlib.suppress(OSError):
        return os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return None


def _is_free(descriptor: int, *, shared: bool = False) -> bool:
    """Locks it, or says that another has it."""
    error = _failed(descriptor, shared=shared)
    return error is None or error.errno not in HELD


def _failed(descriptor: int, *, shared: bool = False) -> OSError | None:
    """Locks it, or says why it cannot be."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            return error
    return None
