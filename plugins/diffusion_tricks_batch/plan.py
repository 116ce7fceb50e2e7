"""A list of jobs made ready: seeds, files, what an earlier run has done of it, and batches. No torch here."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import DiffusionTricksError, Ledger, Verdict, check_save, hashes_of
from diffusion_tricks_batch.asked import AUTO, Asked
from diffusion_tricks_batch.grid import axis_from
from diffusion_tricks_batch.groups import Group, Item, grouped
from diffusion_tricks_batch.how import asked_of
from diffusion_tricks_batch.jobs import Job, read_jobs
from diffusion_tricks_batch.names import check_names, name_of
from diffusion_tricks_batch.records import Records, Run, task_of

PICTURES = 8  # in a batch, where memory is no matter


@dataclass(frozen=True)
class Ready:
    """A list of jobs, ready to be worked on.

    items: of the jobs that can be made, by id. verdicts: on them. groups: with something to make. problems: by id, of
    the others.
    """

    jobs: Sequence[Job]
    items: dict[str, Item]
    verdicts: dict[str, Verdict]
    groups: Sequence[Group]
    problems: dict[str, DiffusionTricksError]

    @property
    def kept(self) -> int:
        """Jobs of which nothing is to be made."""
        return sum(verdict.kept for verdict in self.verdicts.values())

    @property
    def again(self) -> Counter[str]:
        """Why jobs that an earlier run has begun are made anew."""
        return Counter(one.why for one in self.verdicts.values() if not one.kept and one.why != "new")


def jobs_of(asked: Asked) -> list[Job]:
    """The jobs, whose files have names of their own in the folder of the output."""
    jobs = read_jobs(asked.source, [axis_from(said) for said in asked.grid])
    check_names(jobs, asked.output)
    return jobs


def begun(asked: Asked, records: Records) -> Run:
    """What holds for all jobs: of the run to go on with, or a new one that is on the disk now."""
    seed = int.from_bytes(os.urandom(4), "big") if asked.seed is None else asked.seed
    return records.begin(Run(seed, asked.pictures if asked.pictures != AUTO else PICTURES))


def ready(jobs: Sequence[Job], run: Run, asked: Asked, ledger: Ledger) -> Ready:
    """What is to be done. Raises OutputError for files that stand in the way."""
    made = [(job, settled(job.recipe, job.id, run.seed)) for job in jobs if job.recipe is not None]
    items = [(recipe, item_of(job, recipe, asked)) for job, recipe in made]
    verdicts = {item.key: ledger.verdict(task_of(item), force=asked.force) for _, item in items}
    marked = {item.key: _marked(item, verdicts[item.key], asked) for _, item in items}
    groups = grouped([(recipe, marked[item.key]) for recipe, item in items], run.pictures)
    problems = {job.id: job.problem for job in jobs if job.problem is not None}
    return Ready(jobs, marked, verdicts, [one for one in groups if any(i.make for i in one.items)], problems)


def settled(recipe: Recipe, key: str, seed: int) -> Recipe:
    """The recipe with a seed: its own, or one that follows from the run's and its id, wherever it stands."""
    if recipe.seed is not None or recipe.picture is not None:
        return recipe
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return recipe.model_copy(update={"seed": int.from_bytes(digest[:4], "big")})


def item_of(job: Job, recipe: Recipe, asked: Asked) -> Item:
    """A job with its files."""
    names = tuple(str(path) for path in _names(job, recipe, asked.output))
    return Item(job.id, recipe.data(), asked_of(recipe, asked.how), hashes_of(recipe), names)


def _names(job: Job, recipe: Recipe, template: str) -> Iterator[os.PathLike[str]]:
    seeds: list[int | None] = [None] if recipe.picture is not None else [*recipe.seeds]
    for index, seed in enumerate(seeds):
        yield name_of(template, job, seed, index)


def _marked(item: Item, verdict: Verdict, asked: Asked) -> Item:
    """The job with what is to be done. Raises OutputError for a file in its way."""
    ours = verdict.ours or asked.force
    for path in () if verdict.kept else item.paths:
        if os.path.isdir(os.path.dirname(path) or "."):
            check_save(path, force=ours, inputs=list(item.inputs), metadata=asked.how.metadata)
    return replace(item, make=not verdict.kept, ours=ours)
