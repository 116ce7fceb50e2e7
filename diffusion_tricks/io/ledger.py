"""What has been done of many tasks, in a journal, and what of it still holds: by hashes, never names or times.

A task has lines `begun`, then `done` or `failed`, each with its key; its last line counts. What it wrote, if in part,
and what it is about to put in the place of its earlier files, stands in `outputs` of a line. Paths are as from the
folder of the journal. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import OutputError, PictureError
from diffusion_tricks.io.hashes import sha256
from diffusion_tricks.io.journal import Journal, Line
from diffusion_tricks.io.pictures import read_picture

STATES = ("begun", "done", "failed")


@dataclass(frozen=True)
class Task:
    """One of many.

    key: what it is called. asked: SHA-256 of what was asked. inputs: SHA-256 of each file that it reads; None where it
    cannot be done as they are. files: all that it may write.
    """

    key: str
    asked: str
    inputs: Sequence[str] | None
    files: Sequence[Path]


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a task. kept: it is as it was asked for. why: it is made. ours: its files are replaced.

    line: that says what was made, where it is kept.
    """

    kept: bool
    why: str
    ours: bool = False
    line: Line = field(default_factory=dict)


class Ledger(Journal):
    """The journal of one run over many tasks.

    beside: journals of the same run, by others; what they say counts as well, in the order of the times (`at`) that
    their lines say.
    """

    def __init__(self, path: Path, lines: Iterable[Line] = (), beside: Sequence[Journal] = ()):
        super().__init__(path, lines)
        self.beside = beside

    @property
    def home(self) -> Path:
        """The folder that its paths start from."""
        return self.path.parent

    def relative(self, path: Path) -> str:
        """A path as its lines say it."""
        return Path(os.path.relpath(os.path.abspath(path), os.path.abspath(self.home))).as_posix()

    def written(self) -> set[str]:
        """Whole paths of all files that tasks have made."""
        return {os.path.realpath(self.home / path) for path in self._digests}

    def last(self, key: str) -> Line:
        """The last line of a task; an empty one where there is none."""
        return self._last.get(key, {})

    def verdict(self, task: Task, *, force: bool = False) -> Verdict:
        """What is to be done with a task. Raises OutputError for a whole file in its place that is somebody's.

        That is one that no line says; where a task was begun and not finished, only if lines say others in its place.
        force: such a file is made anew.
        """
        last, done = self._last.get(task.key), self._done.get(task.key)
        if last is None:
            return Verdict(False, "new")
        standing = [path for path in task.files if path.is_file()]
        begun = "begun" in last
        for path in () if force else standing:
            self._check_ours(path, begun)
        if not done or "done" not in last:
            return Verdict(False, "was not finished" if begun else "had failed", bool(standing))
        if why := self._changed(task, done):
            return Verdict(False, why, bool(standing))
        return Verdict(True, "as it was", line=done)

    def _changed(self, task: Task, done: Line) -> str:
        if task.inputs is None or done["inputs"] != list(task.inputs):
            return "an input has changed"
        if done["recipe"] != task.asked:
            return "other options"
        if not done["outputs"].keys() <= {self.relative(path) for path in task.files}:
            return "other names"
        for name, digest in done["outputs"].items():
            path = self.home / name
            if not path.is_file():
                return "a file is gone"
            if sha256(path) != digest:
                return "a file is damaged"
        return ""

    def _check_ours(self, path: Path, begun: bool) -> None:
        known = self._digests.get(self.relative(path), set())
        if (begun and not known) or sha256(path) in known or is_damaged(path):
            return
        what = "has been changed since it was made, by" if known else "was made by"
        raise OutputError(
            f"{path} {what} none of these runs{', or by one that was killed' if begun else ''}; keep it under another "
            "name, or give `force` to make it anew"
        )

    def begin(self, *tasks: Task) -> None:
        """Notes that the files of tasks, as far as there are any, are their own from now on."""
        self.note(*({"begun": task.key} for task in tasks))

    def foretell(self, files: Mapping[Path, bytes]) -> None:
        """Notes what will stand in the place of files that tasks made: it is theirs, should all end before `done`."""
        told = {name: data for path, data in files.items() if (name := self.relative(path)) in self._digests}
        if told:
            self.note({"outputs": {name: hashlib.sha256(data).hexdigest() for name, data in told.items()}})

    def done(self, task: Task, **facts: Any) -> Line:
        """Notes what a task was made from, and what it made; gives the line."""
        said = {"done": task.key, "inputs": list(task.inputs or ()), "recipe": task.asked}
        line: Line = said | {"outputs": self._outputs(task)} | facts
        self.note(line)
        return line

    def failed(self, task: Task, why: Mapping[str, Any]) -> Line:
        """Notes why a task could not be done, and what it made nevertheless; gives the line."""
        outputs = self._outputs(task)
        line: Line = {"failed": task.key, **why} | ({"outputs": outputs} if outputs else {})
        self.note(line)
        return line

    def _outputs(self, task: Task) -> dict[str, str]:
        return {self.relative(path): sha256(path) for path in task.files if path.is_file()}

    def note(self, *lines: Line) -> None:
        """Adds lines, safe on the disk."""
        self.append(lines)
        for line in lines:
            _index(line, *self._indexed)

    def look(self, beside: Iterable[Journal] = ()) -> list[tuple[Journal, Line]]:
        """Takes in what others have noted since it was last looked at, in more journals as well; gives each line."""
        indexed = self._indexed
        self.beside = [*self.beside, *beside]
        new = [(journal, line) for journal in self.beside for line in journal.follow()]
        for _, line in new:
            _index(line, *indexed)
        return new

    @property
    def _last(self) -> dict[str, Line]:
        """The last line of each task."""
        return self._indexed[0]

    @property
    def _done(self) -> dict[str, Line]:
        """The last line of each task that says what it made."""
        return self._indexed[1]

    @property
    def _digests(self) -> dict[str, set[str]]:
        """All that each file has been, as it was written."""
        return self._indexed[2]

    @cached_property
    def _indexed(self) -> tuple[dict[str, Line], dict[str, Line], dict[str, set[str]]]:
        indexed: tuple[dict[str, Line], dict[str, Line], dict[str, set[str]]] = ({}, {}, {})
        every = [line for journal in (*self.beside, self) for line in journal.lines]
        for line in sorted(every, key=lambda line: float(line.get("at", 0))):
            _index(line, *indexed)
        return indexed


def _index(line: Line, last: dict[str, Line], done: dict[str, Line], digests: dict[str, set[str]]) -> None:
    key = next((line[state] for state in STATES if state in line), None)
    if key is not None:
        last[key] = line
    if "done" in line:
        done[line["done"]] = line
    for name, digest in line.get("outputs", {}).items():
        digests.setdefault(name, set()).add(digest)


def is_damaged(path: Path) -> bool:
    """Whether a file is no whole picture, nor a whole object of JSON."""
    try:
        if path.suffix.lower() == ".json":
            json.loads(path.read_bytes())
        elif path.suffix.lower() != ".toml":
            read_picture(path)
    except (PictureError, ValueError):
        return True
    return path.stat().st_size == 0
