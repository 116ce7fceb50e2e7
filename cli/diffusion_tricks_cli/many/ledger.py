"""What has been done of many pictures: a ledger whose tasks are jobs of the command line. No torch here.

`manifest.jsonl`: first the command and its seed; then the lines of the jobs. Paths are as from its folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.journal import Line
from diffusion_tricks.io.ledger import Ledger, Task
from diffusion_tricks.recipes.paths import mapped
from diffusion_tricks_cli.many.failures import failure
from diffusion_tricks_cli.many.jobs import Job

FILE = "manifest.jsonl"
VERSION = 1
# settings that change what is written
WRITTEN = (
    "dtype", "quantize", "scorer", "no_metadata", "no_provenance", "keep_gps", "quality", "steps_out", "show", "every",
    "save_recipe",
)  # fmt: skip
CALLED = ("steps_out", "save_recipe")  # of these, which are names of files, the ending
FACTS = (
    "path", "seed", "width", "height", "steps", "rows_total", "changed_outside", "seam", "loss", "score",
)  # fmt: skip


class Manifest(Ledger):
    """The ledger of one run over many pictures."""

    @classmethod
    def found(cls, path: Path) -> Self:
        """As `Journal.found`; raises UsageError also for a file that is something else."""
        manifest = super().found(path)
        if manifest.lines and manifest.lines[0].get("manifest") != VERSION:
            raise UsageError(f"{path} is no manifest of this program's; name another with `manifest`")
        return manifest

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

    def task(self, job: Job) -> Task:
        """A job as a task, called as its first picture is."""
        inputs = None if job.problem else list(job.output.hashes.values())
        return Task(self.relative(job.output.pictures[0]), asked(job), inputs, job.output.files)

    def made(self, job: Job, facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Notes what a job made; gives the facts as they are noted."""
        said = [{name: one[name] for name in FACTS if name in one} for one in facts]
        said = [one | {"path": self.relative(Path(one["path"]))} for one in said]
        self.done(self.task(job), facts=said)
        return said

    def from_here(self, facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Facts as they are noted, with paths as from the current folder."""
        return [dict(one) | {"path": os.path.normpath(self.home / one["path"])} for one in facts]

    def unmade(self, job: Job, error: Exception) -> Line:
        """Notes why a job could not be done; gives the line."""
        return self.failed(self.task(job), failure(job.name, error) | dict(job.about))


def asked(job: Job) -> str:
    """SHA-256 of what a job was asked: its recipe, whatever its files are called, and what decides what is written."""
    settings = {name: value for name, value in asdict(job.settings).items() if name in WRITTEN}
    settings |= {name: Path(settings[name]).suffix for name in CALLED if settings[name] is not None}
    data = [mapped(job.recipe, lambda path: "").data(), settings]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
