"""The pictures that a batch has made, each with its job and its scores, in the order of the list. No torch here."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diffusion_tricks_batch.job_list import Listed
from diffusion_tricks_batch.records import FOLDER
from diffusion_tricks_batch.telling.standing import Standing

SCORES = ("alignment", "concealment", "sep_min")


@dataclass(frozen=True)
class Made:
    """A picture.

    path: from the folder of the batch. digest: SHA-256 of its file. size: width and height. score: as `Score.data`.
    """

    job: Listed
    path: str
    digest: str
    index: int
    seed: int | None
    size: tuple[int, int]
    score: Mapping[str, Any] | None

    @property
    def views(self) -> list[Mapping[str, Any]]:
        """What the score says of each view."""
        return list(self.score["views"]) if self.score else []

    def scores(self) -> dict[str, float]:
        """The scores of the whole picture, as far as there are any."""
        return {name: self.score[name] for name in SCORES if self.score and name in self.score}


def pictures(standing: Standing) -> Iterator[Made]:
    """Every picture that was made, whenever that was."""
    for job in standing.jobs.values():
        line = standing.last.get(job.id, {})
        for number, facts in enumerate(line.get("facts", ()) if "done" in line else ()):
            path = posixpath.normpath(posixpath.join(FOLDER, facts["path"]))
            digest = line["outputs"].get(facts["path"], "")
            size = facts.get("width", 0), facts.get("height", 0)
            yield Made(job, path, digest, facts.get("index", number), facts.get("seed"), size, facts.get("score"))
