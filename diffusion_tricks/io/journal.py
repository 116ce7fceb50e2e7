"""A journal: what has been done, kept on the disk line by line, so that nothing is lost when a run is stopped.

Each line is an object of JSON. Lines are only ever added, each safe on the disk before the next is made; of a last one
that was cut off nothing counts.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from diffusion_tricks.errors import OutputError, OutputFailed, UsageError
from diffusion_tricks.io.atomic import FULL, sync_folder
from diffusion_tricks.io.leftovers import alone, is_free

Line = dict[str, Any]
_one_at_a_time = threading.Lock()


class Journal:
    """The lines of one file. `begun` makes one, `found` reads one."""

    def __init__(self, path: Path, lines: Iterable[Line] = ()):
        self.path, self.lines = path, list(lines)
        self._followed = 0  # bytes

    @classmethod
    def begun(cls, path: Path, lines: Iterable[Line]) -> Self:
        """A new file that begins with these lines. Raises OutputError where there is one, or none can be written."""
        journal = cls(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            journal.append(lines)
        except FileExistsError:
            raise OutputError(f"{path} exists; choose another name, or remove it") from None
        except OSError as error:
            raise OutputError(
                f"nothing can be written to {path.parent}: {error.strerror}; choose another folder"
            ) from None
        sync_folder(path.parent)
        return journal

    @classmethod
    def found(cls, path: Path) -> Self:
        """What a file holds; a last line that was cut off is removed from it.

        Raises UsageError for a file that cannot be read or is damaged.
        """
        lines, size = _read(path)
        if size < path.stat().st_size:
            os.truncate(path, size)
        return cls(path, lines)

    @classmethod
    def seen(cls, path: Path) -> Self:
        """What a file holds that others may write to meanwhile; a last line that is not whole is left out, and alone.

        Raises as `found`.
        """
        journal = cls(path)
        journal.follow()
        return journal

    def follow(self) -> list[Line]:
        """Takes in the whole lines that others have added to a file that was `seen`; gives them. Raises as `found`."""
        lines, size = _read(self.path, self._followed, len(self.lines))
        self._followed += size
        self.lines += lines
        return lines

    def append(self, lines: Iterable[Line]) -> None:
        """Adds lines in one piece; when this returns, they are safe on the disk.

        Raises OutputFailed where they cannot be written; the file is then as it was.
        """
        new = list(lines)
        with _one_at_a_time, self.path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                _written(file, b"".join(_encoded(line) for line in new))
                os.fsync(file.fileno())
            except OSError as error:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                reason = "the disk is full; free some space and run again" if error.errno in FULL else error.strerror
                raise OutputFailed(f"{self.path} could not be written: {reason}") from error
            self.lines += new

    def of(self, key: str) -> list[Line]:
        """The lines that have a key."""
        return [line for line in self.lines if key in line]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts, nobody else holds this file so, in whatever process. Raises OutputError where one does."""
        with alone(self.path) as mine:
            self._check(mine)
            yield

    def check_free(self) -> None:
        """Raises OutputError where somebody holds this file `alone`. Any number may ask at once."""
        self._check(is_free(self.path))

    def _check(self, free: bool) -> None:
        if not free:
            raise OutputError(f"another run writes to {self.path} just now; wait for it, or choose another folder")


def _written(file: io.FileIO, data: bytes) -> None:
    """Writes all of it: a disk that is nearly full takes a part first."""
    while data:
        data = data[file.write(data) :]


def _read(path: Path, start: int = 0, before: int = 0) -> tuple[list[Line], int]:
    """The whole lines of a file from a byte on, behind so many lines, and how many bytes they are."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    whole = data[: data.rfind(b"\n") + 1]
    return [_decoded(line, number, path) for number, line in enumerate(whole.splitlines(), before + 1)], len(whole)


def _encoded(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _decoded(line: bytes, number: int, path: Path) -> Line:
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"{path} is damaged: line {number} is no object of JSON; begin anew with another name")
    return data
