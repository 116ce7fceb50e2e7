"""What a search has found, kept on the disk line by line, so that nothing is lost when it is stopped. No torch here.

`scores.jsonl`: first what was asked; then, in the order they came, `pictures` (how many a time is worth), a line for
each picture that was tried, `made` for each that was made in full, and `ranked`, the names of these at the end.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from diffusion_tricks.plugin import Journal, OutputError, UsageError
from diffusion_tricks_search.asked import Asked, asked_from

FILE = "scores.jsonl"
VERSION = 1


class Log(Journal):
    """The journal of one search; `asked` stands in its first line."""

    @cached_property
    def asked(self) -> Asked:
        """What was asked. Raises UsageError for a first line that says something else."""
        first = self.lines[0] if self.lines else {}
        if first.get("search") != VERSION:
            raise UsageError(f"{self.path} is no search of this program's; expected what was asked in its first line")
        asked = asked_from(first.get("asked", {}))
        if asked.hash != first.get("hash"):
            raise UsageError(f"{self.path} was changed: what was asked does not fit its hash; begin another search")
        return asked


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
    return Log.begun(home / FILE, [{"search": VERSION, "hash": asked.hash, "asked": asked.data()}])


def found(home: Path) -> Log:
    """The search that was begun in a folder; a last line that was cut off is removed.

    Raises UsageError for a folder without one, and for a file that is damaged.
    """
    if not (home / FILE).is_file():
        raise UsageError(f"{home} holds no search to go on with: there is no {FILE} that can be read")
    log = Log.found(home / FILE)
    log.asked  # noqa: B018 (a file that is none is told of here)
    return log
