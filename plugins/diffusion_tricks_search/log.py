"""What a search has found, kept on the disk line by line, so that nothing is lost when it is stopped. No torch here.

`scores.jsonl`: first what was asked; then, in the order they came, `pictures` (how many a time is worth), a line for
each picture that was tried, `made` for each that was made in full, and `ranked`, the names of these at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import OutputError, UsageError
from diffusion_tricks_search.asked import Asked, asked_from

FILE = "scores.jsonl"
VERSION = 1
Line = dict[str, Any]


class Log:
    """The file of one search. `begin` makes one, `found` reads one."""

    def __init__(self, path: Path, asked: Asked, lines: Iterable[Line] = ()):
        self.path, self.asked, self.lines = path, asked, list(lines)

    def append(self, lines: Iterable[Line]) -> None:
        """Adds lines in one piece; when this returns, they are safe on the disk."""
        new = list(lines)
        with self.path.open("ab") as file:
            file.write(b"".join(_encoded(line) for line in new))
            file.flush()
            os.fsync(file.fileno())
        self.lines += new

    def of(self, key: str) -> list[Line]:
        """The lines that have a key."""
        return [line for line in self.lines if key in line]


def check_free(home: Path) -> None:
    """Raises OutputError for a folder that holds anything, and for what is none."""
    if (home / FILE).exists():
        raise OutputError(f"{home} holds a search; go on with it by `resume`, or choose another folder")
    if home.is_dir() and any(home.iterdir()):
        raise OutputError(f"{home} is not empty; choose a folder that is, or that does not exist yet")
    if home.exists() and not home.is_dir():
        raise OutputError(f"{home} is a file, expected a folder; choose one that is empty, or does not exist yet")


def begin(home: Path, asked: Asked) -> Log:
    """A new search in a folder that is empty, or not there yet. Raises OutputError as `check_free`."""
    check_free(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        log = Log(home / FILE, asked)
        log.append([{"search": VERSION, "hash": asked.hash, "asked": asked.data()}])
    except OSError as error:
        raise OutputError(f"nothing can be written to {home}: {error.strerror}; choose another folder") from None
    return log


def found(home: Path) -> Log:
    """The search that was begun in a folder; a last line that was cut off is removed.

    Raises UsageError for a folder without one, and for a file that is damaged.
    """
    path = home / FILE
    try:
        data = path.read_bytes()
    except OSError:
        raise UsageError(f"{home} holds no search to go on with: there is no {FILE} that can be read") from None
    whole = data[: data.rfind(b"\n") + 1]
    lines = [_decoded(line, number, path) for number, line in enumerate(whole.splitlines(), 1)]
    if not lines or lines[0].get("search") != VERSION:
        raise UsageError(f"{path} is no search of this program's; expected what was asked in its first line")
    asked = asked_from(lines[0].get("asked", {}))
    if asked.hash != lines[0].get("hash"):
        raise UsageError(f"{path} was changed: what was asked does not fit its hash; begin another search")
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return Log(path, asked, lines)


def _encoded(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _decoded(line: bytes, number: int, path: Path) -> Line:
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"{path} is damaged: line {number} is no object of JSON; begin another search")
    return data
