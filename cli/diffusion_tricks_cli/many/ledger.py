"""What has been done of many pictures, in a journal, and what of it still holds: by hashes, never names or times.

`manifest.jsonl`: first the command and its seed; then, for each job, `begun`, and `done` or `failed`. The last line of
a job counts. Paths are as from the folder of the manifest. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from diffusion_tricks.errors import OutputError, PictureError, UsageError
from diffusion_tricks.io.journal import Journal, Line
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.recipes.inputs import sha256
from diffusion_tricks.recipes.paths import mapped
from diffusion_tricks_cli.many.failures import failure
from diffusion_tricks_cli.many.jobs import Job

FILE = "manifest.jsonl"
VERSION = 1
STATES = ("begun", "done", "failed")
# settings that change what is written
WRITTEN = (
    "dtype", "quantize", "scorer", "no_metadata", "no_provenance", "keep_gps", "quality", "steps_out", "show", "every",
    "save_recipe",
)  # fmt: skip
CALLED = ("steps_out", "save_recipe")  # of these, which are names of files, the ending
FACTS = (
    "path", "seed", "width", "height", "steps", "rows_total", "changed_outside", "seam", "loss", "score",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a job. kept: it is as it was asked for. why: it is made. ours: its files are replaced."""

    kept: bool
    why: str
    ours: bool = False
    facts: Sequence[Mapping[str, Any]] = ()


class Ledger(Journal):
    """The journal of one run over many pictures."""

    @classmethod
    def found(cls, path: Path) -> Self:
        """As `Journal.found`; raises UsageError also for a file that is something else."""
        ledger = super().found(path)
        if ledger.lines and ledger.lines[0].get("manifest") != VERSION:
            raise UsageError(f"{path} is no manifest of this program's; name another with `manifest`")
        return ledger

    @property
    def home(self) -> Path:
        """The folder that its paths start from."""
        return self.path.parent

    @property
    def failures(self) -> Path:
        """Where the list of failures stands."""
        stem = self.path.stem
        return self.path.with_name("failed.jsonl" if self.path.name == FILE else f"{stem}-failed.jsonl")

    @property
    def command(self) -> str:
        """That it is of."""
        return str(self.lines[0].get("command"))

    @property
    def seed(self) -> int | None:
        """Of the run."""
        seed: int | None = self.lines[0]["seed"]
        return seed

    def key(self, job: Job) -> str:
        """The name of a job: that of its first picture."""
        return self._relative(job.output.pictures[0])

    def written(self) -> set[str]:
        """Whole paths of all files that jobs have made."""
        return {os.path.realpath(self.home / path) for line in self.of("outputs") for path in line["outputs"]}

    def verdict(self, job: Job) -> Verdict:
        """What is to be done with a job. Raises OutputError for a file of it that somebody has changed since."""
        last, done = self._last.get(self.key(job)), self._done.get(self.key(job))
        if last is None:
            return Verdict(False, "new")
        standing = [path for path in job.output.files if path.is_file()]
        begun = "begun" in last
        for path in () if begun or job.settings.force else standing:
            self._check_ours(path)
        if not done or "done" not in last:
            return Verdict(False, "was not finished" if begun else "had failed", bool(standing))
        if why := self._changed(job, done):
            return Verdict(False, why, bool(standing))
        return Verdict(True, "as it was", facts=done["facts"])

    def _changed(self, job: Job, done: Line) -> str:
        if job.problem or done["inputs"] != list(job.output.hashes.values()):
            return "an input has changed"
        if done["recipe"] != asked(job):
            return "other options"
        for name, digest in done["outputs"].items():
            path = self.home / name
            if not path.is_file():
                return "a file is gone"
            if sha256(path) != digest:
                return "a file is damaged"
        return ""

    def _check_ours(self, path: Path) -> None:
        """Raises OutputError for a file that is whole, and that no job has written so."""
        known = self._digests.get(self._relative(path))
        if known and sha256(path) not in known and not is_damaged(path):
            raise OutputError(
                f"{path} has been changed since it was made, by none of these runs; keep it under another name, or "
                "give `force` to make it anew"
            )

    def begin(self, job: Job) -> None:
        """Notes that the files of a job, as far as there are any, are its own from now on."""
        self._note({"begun": self.key(job)})

    def done(self, job: Job, facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Notes what a job was made from, and what it made; gives the facts as they are noted."""
        outputs = {self._relative(path): sha256(path) for path in job.output.files if path.is_file()}
        said = [{name: one[name] for name in FACTS if name in one} for one in facts]
        said = [one | {"path": self._relative(Path(one["path"]))} for one in said]
        inputs = list(job.output.hashes.values())
        self._note({"done": self.key(job), "inputs": inputs, "recipe": asked(job), "outputs": outputs, "facts": said})
        return said

    def from_here(self, facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Facts as they are noted, with paths as from the current folder."""
        return [dict(one) | {"path": os.path.normpath(self.home / one["path"])} for one in facts]

    def failed(self, job: Job, error: Exception) -> Line:
        """Notes why a job could not be done; gives the line."""
        self._note(line := {"failed": self.key(job), **failure(job.name, error), **job.about})
        return line

    def _note(self, line: Line) -> None:
        self.append([line])
        _index(line, self._last, self._done, self._digests)

    @cached_property
    def _last(self) -> dict[str, Line]:
        """The last line of each job."""
        return self._indexed[0]

    @cached_property
    def _done(self) -> dict[str, Line]:
        """The last line of each job that says what it made."""
        return self._indexed[1]

    @cached_property
    def _digests(self) -> dict[str, set[str]]:
        """All that each file has been, as it was written."""
        return self._indexed[2]

    @cached_property
    def _indexed(self) -> tuple[dict[str, Line], dict[str, Line], dict[str, set[str]]]:
        indexed: tuple[dict[str, Line], dict[str, Line], dict[str, set[str]]] = ({}, {}, {})
        for line in self.lines:
            _index(line, *indexed)
        return indexed

    def _relative(self, path: Path) -> str:
        return Path(os.path.relpath(os.path.abspath(path), os.path.abspath(self.home))).as_posix()


def _index(line: Line, last: dict[str, Line], done: dict[str, Line], digests: dict[str, set[str]]) -> None:
    key = next((line[state] for state in STATES if state in line), None)
    if key is not None:
        last[key] = line
    if "done" in line:
        done[line["done"]] = line
        for name, digest in line["outputs"].items():
            digests.setdefault(name, set()).add(digest)


def asked(job: Job) -> str:
    """SHA-256 of what a job was asked: its recipe, whatever its files are called, and what decides what is written."""
    settings = {name: value for name, value in asdict(job.settings).items() if name in WRITTEN}
    settings |= {name: Path(settings[name]).suffix for name in CALLED if settings[name] is not None}
    data = [mapped(job.recipe, lambda path: "").data(), settings]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


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
