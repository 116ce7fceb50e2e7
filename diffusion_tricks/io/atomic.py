"""Files that are written whole or not at all: a temporary file in the same folder, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from diffusion_tricks.errors import OutputError, OutputFailed
from diffusion_tricks.io.leftovers import held, sweep
from diffusion_tricks.io.publish import take_free_place

Data = bytes | Callable[[BinaryIO], object]
Before = Callable[[Mapping[Path, bytes]], object]  # is given files before they take their places
FULL = {errno.ENOSPC, errno.EDQUOT}
PREFIX = ".diffusion-tricks-"
_swept: set[str] = set()


def atomic_write(path: str | Path, data: Data, *, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Write one file whole or not at all; `data` is bytes, or a function that writes to a binary file.

    Without `force` a file that exists is never replaced, even one that appears while this one is written; a file
    of `inputs` is never replaced at all. Raises `OutputError` where the path may not be written and `OutputFailed`
    where writing failed (disk full); in both cases the folder is left as it was.
    """
    atomic_write_all({Path(path): data}, force=force, inputs=inputs)


def atomic_write_all(files: Mapping[Path, Data], *, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Write several files that belong together: all of them, or none; else as `atomic_write`.

    They take their places in the order given; should a later one fail, the earlier ones are put back as they were.
    """
    inputs = list(inputs)
    for path in files:
        check_place(path, force=force, inputs=inputs)
    for folder in {path.parent for path in files}:
        _sweep_once(folder)
    last = list(files)[-1] if files else None
    with contextlib.ExitStack() as staged, contextlib.ExitStack() as undo:
        ready = {path: staged.enter_context(_temporary(path, data)) for path, data in files.items()}
        for path, temporary in ready.items():
            with _explained(path):
                previous = path.read_bytes() if path != last and path.is_file() else None
                _publish(temporary, path, force)
            undo.callback(_put_back, path, previous)
        undo.pop_all()
    for folder in {path.parent for path in files}:
        sync_folder(folder)


def _sweep_once(folder: Path) -> None:
    """Removes what killed processes left in a folder; once in each process, as folders may be large."""
    whole = os.path.abspath(folder)
    if whole not in _swept:
        _swept.add(whole)
        sweep(folder, f"{PREFIX}*.tmp")


def check_place(path: str | Path, *, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Raise `OutputError` unless a file may be written at `path`: call it before any long work.

    The folder must exist and be writable, the path must not be a folder, nor a file unless `force`, nor ever one of
    the `inputs`, be it through a symbolic or a hard link.
    """
    path = Path(path)
    _check_folder(path)
    for source in inputs:
        if _same_file(path, Path(source)):
            raise OutputError(f"{path} is the input {source}, and an input is never overwritten; choose another output")
    if path.is_dir():
        raise OutputError(f"{path} is a folder, expected the name of a file; write to {path / 'name.png'}, say")
    if os.path.lexists(path) and not force:
        raise OutputError(f"{path} exists; pass `force=True` to overwrite it, or choose another name")


def _check_folder(path: Path) -> None:
    folder = path.parent
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        raise OutputError(f"{folder} is not a folder, so {path.name} cannot be written in it") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another output") from None
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist; make it first, or choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} is not writable; choose another output")


def _same_file(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:  # one of them does not exist
        return False


@contextlib.contextmanager
def _temporary(path: Path, data: Data) -> Iterator[Path]:
    """The data in a temporary file beside `path`, safe on the disk; gone at the end unless it was renamed.

    It has the permissions of a file that it may replace.
    """
    temporary = path.parent / f"{PREFIX}{secrets.token_hex(8)}.tmp"
    try:
        with _explained(path):
            mode = _mode_of(path)
            # os.open, not tempfile: its mode 0o600 would outlive the rename, this one honours the umask
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode | 0o600))
        with held(temporary):
            with _explained(path):
                _fill(temporary, data)
                if mode is not None:
                    os.chmod(temporary, mode)
            yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _mode_of(path: Path) -> int | None:
    """The permissions of a file, None where there is none."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode) & 0o777
    return None


def _fill(temporary: Path, data: Data) -> None:
    with temporary.open("wb") as file:
        if isinstance(data, bytes):
            file.write(data)
        else:
            data(file)
        file.flush()
        os.fsync(file.fileno())


def _publish(temporary: Path, path: Path, force: bool) -> None:
    if force:
        os.replace(temporary, path)
        return
    try:
        take_free_place(temporary, path)
    except FileExistsError:
        raise OutputError(f"{path} exists by now; pass `force=True` to overwrite it, or choose another name") from None


def _put_back(path: Path, previous: bytes | None) -> None:
    if previous is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(previous)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder safe on the disk, where the system can."""
    with contextlib.suppress(OSError):  # not every system can open a folder; the file itself is safe already
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full; free some space and run again" if error.errno in FULL else error.strerror or error
        raise OutputFailed(f"{path} could not be written: {reason}") from error
