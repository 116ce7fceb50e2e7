"""A file takes its place in one step, and never that of another which appeared meanwhile."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

UNKNOWN_HERE = {
    errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.EINVAL,
}  # fmt: skip
HERE, EXCLUSIVELY = -100, 1  # AT_FDCWD and RENAME_NOREPLACE of Linux
EXCLUSIVELY_ON_MACOS = 4  # RENAME_EXCL


def take_free_place(temporary: Path, path: Path) -> None:
    """Gives the file `temporary` the name `path`, if that is free. Raises FileExistsError if it is not.

    By a hard link, which fails where there is a file; else by a rename that does; else, where a file system knows
    neither, by looking first. Whenever the process ends, there is nothing at `path`, or the whole file.
    """
    for take in (os.link, _renamed_exclusively):
        try:
            take(temporary, path)
            return
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in UNKNOWN_HERE:
                raise
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    os.rename(temporary, path)


def _renamed_exclusively(temporary: Path, path: Path) -> None:
    """Renames by what a system has for that, which Python does not offer. Raises OSError."""
    if os.name == "nt":
        os.rename(temporary, path)  # fails there as it should
        return
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(temporary), os.fsencode(path)
    if hasattr(library, "renameat2"):
        failed = library.renameat2(HERE, names[0], HERE, names[1], EXCLUSIVELY)
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, EXCLUSIVELY_ON_MACOS)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
