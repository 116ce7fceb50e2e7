"""Animated GIFs of any length, written frame by frame: none is kept in memory, and nothing partial is ever to be seen.

A frame is what Pillow makes of a picture of its own, with the best 256 colours for it. The format: GIF89a, W3C.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO

from PIL import Image

from diffusion_tricks.io.atomic import Before, atomic_write

HEAD, DESCRIPTOR = 13, 10  # bytes: of a file before its table of colours, of a frame before its own
FLAGS, TABLE, SIZE = 10, 0x80, 0x07  # where a file's flags stand; there is a table of colours; of 2 ** (size + 1)
FOREVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
CONTROL, LONGEST = b"!\xf9\x04\0%b\0\0", 0xFFFF  # a frame's duration, in hundredths of a second
END = b";"
PREFIX = ".diffusion-tricks-"  # where a system shows temporary files


class Animation:
    """A film in the making, in a temporary file beside its place, which is gone when it is closed or the process ends.

    duration, last: for which a frame and the last one are shown, in milliseconds. A disk that fails is told of by
    `save`, so that a film costs no run.
    """

    def __init__(self, path: Path, duration: int, last: int):
        self.path, self.duration, self.last = path, duration, last
        self.length = 0
        self._file: IO[bytes] | None = None
        self._waiting: tuple[bytes, bytes, int] | None = None  # head, body and duration, which may be prolonged
        self._failure: OSError | None = None

    def add(self, frame: Image.Image, duration: int | None = None) -> None:
        """Adds a frame (RGB), as large as the first; one that looks as the last makes that last longer.

        duration: for which it is shown, in milliseconds; None is the film's own.
        """
        head, body = _parts(frame)
        before = 0
        if self._waiting and self._waiting[:2] == (head, body):
            before = self._waiting[2]
        else:
            self._write_waiting()
        self._waiting = head, body, before + (self.duration if duration is None else duration)
        self.length += 1

    def save(
        self, *, force: bool = False, inputs: Iterable[str | Path] = (),
        before: Before | None = None,
    ) -> None:  # fmt: skip
        """Puts the film in its place and closes it; there must be a frame. Raises as `atomic_write` does.

        before: is given the file before it takes its place.
        """
        self._write_waiting(self.last - self.duration)
        try:
            if before and not self._failure:
                self._copy(whole := io.BytesIO())
                before({self.path: whole.getvalue()})
            atomic_write(self.path, self._copy, force=force, inputs=inputs)
        finally:
            self.close()

    def close(self) -> None:
        """Gives the temporary file up."""
        if self._file:
            with contextlib.suppress(OSError):  # what was buffered, a full disk does not take
                self._file.close()
        self._file = None

    def _copy(self, target: BinaryIO) -> None:
        if self._failure or self._file is None:
            raise self._failure or ValueError("a film needs a frame")
        self._file.seek(0)
        shutil.copyfileobj(self._file, target)
        target.write(END)

    def _write_waiting(self, longer: int = 0) -> None:
        if self._waiting is None or self._failure:
            return
        head, body, duration = self._waiting
        self._waiting = None
        control = CONTROL % min((duration + longer) // 10, LONGEST).to_bytes(2, "little")
        flags = TABLE | head[FLAGS] & SIZE
        own = body[: DESCRIPTOR - 1] + bytes([flags]) + head[HEAD:] + body[DESCRIPTOR:]  # with its own table of colours
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.path.parent, prefix=PREFIX)  # noqa: SIM115 - see close
                self._file.write(head + FOREVER + control + body)
            else:
                self._file.write(control + own)
        except OSError as error:
            self._failure = error


def _parts(frame: Image.Image) -> tuple[bytes, bytes]:
    """A frame as a GIF of its own: the head with its table of colours, and the picture from its descriptor on."""
    file = io.BytesIO()
    frame.save(file, "GIF", interlace=0)
    data = file.getvalue()
    end = HEAD + 3 * 2 ** ((data[FLAGS] & SIZE) + 1)
    return b"GIF89a" + data[6:end], data[end : -len(END)]
