"""Which pictures are meant: a folder, a pattern, or a list, `@list.txt`. No torch here."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.named import file_of

LIST = "@"  # before the name of a list; `@-` is one from standard input
WILD = re.compile(r"[*?]|\[(?!\d+\]$)")  # `file.tif[2]` is a page
PICTURES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".jp2", ".j2k",
    ".jpx", ".heic", ".heif",
}  # fmt: skip
RECORDS = {".json", ".jsonl"}  # beside pictures: how they were made
NAMED = 3  # of the files that are left out, so many are named


@dataclass(frozen=True)
class Input:
    """A picture of many. path: as the user would write it. folder: of it, below what all have in common."""

    path: str
    folder: Path = Path()

    @property
    def file(self) -> Path:
        """The file, without the number of a page."""
        return file_of(self.path)


@dataclass(frozen=True)
class Inputs:
    """The pictures that are meant, in their order, and what is to be said of files that are left out."""

    pictures: tuple[Input, ...]
    notes: tuple[str, ...] = ()


def is_many(said: str) -> bool:
    """Whether a name stands for any number of pictures: a list, a folder or a pattern, unless a file is called so."""
    if os.path.isfile(file_of(said)):
        return False
    return said.startswith(LIST) or os.path.isdir(said) or bool(WILD.search(said))


def pictures_of(said: str) -> Inputs:
    """The pictures of a list, a folder (with those within it) or a pattern; of any other name, the one itself.

    Raises UsageError where there is none.
    """
    if not is_many(said):
        return Inputs((Input(said),))
    if said.startswith(LIST):
        return _of_list(said)
    folder = os.path.isdir(said)
    root = Path(said) if folder else _root(said)
    found = _below(root) if folder else sorted(glob.glob(said, recursive=True))
    files = [path for path in found if os.path.isfile(path)]
    pictures = [path for path in files if Path(path).suffix.lower() in PICTURES]
    if not pictures:
        what = "holds no picture" if folder else "fits no picture"
        raise UsageError(f"{said} {what}; expected files that end in {', '.join(sorted(PICTURES))}")
    others = [path for path in files if Path(path).suffix.lower() not in PICTURES | RECORDS]
    return Inputs(tuple(Input(path, _beneath(path, root)) for path in pictures), tuple(_left_out(others)))


def _below(root: Path) -> list[str]:
    """All files of a folder and of those within it, but for hidden ones, whose names begin with a dot."""
    found = []
    for folder, within, names in os.walk(root):
        within[:] = sorted(name for name in within if not name.startswith("."))
        found += [str(Path(folder, name)) for name in names if not name.startswith(".")]
    return sorted(found)


def _root(pattern: str) -> Path:
    """The folder before the first wildcard of a pattern."""
    fixed = pattern[: WILD.search(pattern).start()]  # type: ignore[union-attr]
    return Path(os.path.dirname(fixed))


def _beneath(path: str, root: Path) -> Path:
    return Path(os.path.relpath(Path(path).parent, root))


def _left_out(paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    named = ", ".join(paths[:NAMED]) + (", ..." if len(paths) > NAMED else "")
    return [f"{len(paths)} files that are no pictures, by their names, are left out: {named}"]


def _of_list(said: str) -> Inputs:
    """The pictures of a list, a name in each line, as from the current folder; empty lines and # lines say nothing."""
    lines = [line.strip() for line in _lines(said[len(LIST) :])]
    paths = [line for line in lines if line and not line.startswith("#")]
    if not paths:
        raise UsageError(f"{said} names no picture; expected the name of one in each line")
    if twice := next((path for i, path in enumerate(paths) if path in paths[:i]), None):
        raise UsageError(f"{said} names {twice} twice; name each picture once")
    root = Path(os.path.commonpath([os.path.abspath(file_of(path).parent) for path in paths]))
    return Inputs(tuple(Input(path, _beneath(os.path.abspath(file_of(path)), root)) for path in paths))


def _lines(name: str) -> list[str]:
    try:
        return (sys.stdin.read() if name == "-" else Path(name).read_text("utf-8-sig")).splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{LIST}{name} is no text in UTF-8; expected the name of a picture in each line") from None
    except OSError as error:
        raise UsageError(f"{LIST}{name} cannot be read: {error.strerror}") from None
