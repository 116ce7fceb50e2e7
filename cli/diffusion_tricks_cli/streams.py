"""Streams that outlive their readers: what was asked for is made, even if nobody can be told. No torch here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO, Any, TypeVar

from diffusion_tricks.errors import OutputFailed, UsageError

T = TypeVar("T")


class Lasting:
    """A text stream that goes silent where it cannot be written to, as a pipe whose reader has gone or a full disk.

    lost: what it could not be written for, once that has happened.
    """

    def __init__(self, stream: IO[str] | None):
        self.stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (a closed one, for the whole run)
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Writes, or forgets."""
        try:
            return self.stream.write(text)
        except OSError as error:
            self._silenced(error)
            return len(text)

    def flush(self) -> None:
        """Flushes, or forgets."""
        try:
            self.stream.flush()
        except OSError as error:
            self._silenced(error)

    def _silenced(self, error: OSError) -> None:
        """What is buffered goes to nowhere from now on; else the interpreter would fail on it as it ends."""
        self.lost = self.lost or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def check_stdout(pictures: int) -> None:
    """Raises UsageError where standard output cannot take so many pictures."""
    if pictures > 1:
        raise UsageError(f"-o - writes one picture to standard output, got {pictures}; name files, or make one")
    if sys.stdout.isatty():
        raise UsageError("-o - writes a picture to standard output, which is a terminal; redirect it to a file")


def written_to_stdout(data: bytes) -> None:
    """Writes the bytes of a picture to standard output, which then carries nothing else. Raises OutputFailed."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputFailed(f"the picture could not be written to standard output: {error.strerror}") from error


def apart(results: Iterable[T]) -> Iterator[T]:
    """The results one by one; what is printed while one is made goes to stderr, as stdout holds results alone."""
    rest = iter(results)
    while True:
        with redirect_stdout(sys.stderr):
            try:
                result = next(rest)
            except StopIteration:
                return
        yield result


@contextmanager
def lasting_streams() -> Iterator[None]:
    """stdout and stderr that outlive their readers; what stdout lost is told on stderr."""
    before = sys.stdout, sys.stderr
    out, err = Lasting(sys.stdout), Lasting(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        out.flush()
        if out.lost is not None and not isinstance(out.lost, BrokenPipeError):
            err.write(f"Note: results could not be written to stdout: {out.lost.strerror}\n")
        err.flush()
        sys.stdout, sys.stderr = (stream or mine.stream for stream, mine in zip(before, (out, err), strict=True))
