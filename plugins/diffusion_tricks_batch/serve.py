"""A warm process: jobs come by standard input, one a line, and each is answered by one line, at once.

    {"id": "j1", "prompt": "a rabbit"}   ->   {"id": "j1", "paths": ["out/j1.png"], "seed": 7, "score": 0.31}
    {"quit": true}, or the end of the input, ends it

The first line may be a base that all begin with. What is noted, and what is kept of it, is as with lists.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import DiffusionTricksError, Ledger, OutputError, UsageError, check_save
from diffusion_tricks_batch.asked import AUTO, HERE, Asked
from diffusion_tricks_batch.groups import Group, Item
from diffusion_tricks_batch.lists.jobs import Job, job_from
from diffusion_tricks_batch.lists.names import check_names
from diffusion_tricks_batch.lists.places import places
from diffusion_tricks_batch.lists.rows import Base, base_in, base_of
from diffusion_tricks_batch.models import Models
from diffusion_tricks_batch.outcome import Outcome, failure_of
from diffusion_tricks_batch.plan import (
    check_folder,
    check_settings,
    check_traits,
    item_of,
    run_begun,
    seed_of,
    with_seed,
)
from diffusion_tricks_batch.records import Records, Run, task_of
from diffusion_tricks_batch.run import check_alone, refused, written_failures
from diffusion_tricks_batch.say import Teller, in_flags

QUIT = {"quit": True}
PICTURES = 1  # in a batch: none waits for another
WHERE = "standard input"


def served(asked: Asked, tell: Teller, lines: Iterable[bytes | str] | None = None) -> bool:
    """Answers jobs until there are no more; gives whether one failed. Raises UsageError, OutputError as `batch`.

    lines: instead of those of standard input.
    """
    check_asked(asked)
    check_settings(asked)
    records = Records(tell.home)
    check_alone(asked, records)
    run = run_begun(replace(asked, pictures=0), records) or Run(seed_of(asked), PICTURES)
    check_folder(records.home)
    if records.begun and not asked.resume:
        records.forget()
    run = records.begin(run)
    with records.mine(HERE) as ledger:
        ledger.note({"began": {"warm": True}})
        desk = Desk(asked, tell, records, ledger, run)
        try:
            for line in sys.stdin.buffer if lines is None else lines:
                if desk.answered(line) or (asked.stop and desk.went_wrong):
                    break
        finally:
            failed = list(desk.failed.values())
            if not written_failures(records, ledger, failed, asked, others=True, problems=desk.problems):
                tell.not_listed()
            ledger.note({"ended": {}})
    return desk.went_wrong


def check_asked(asked: Asked) -> None:
    """Raises UsageError for what is of lists alone."""
    if asked.grid:
        raise UsageError("a `grid` is over a recipe or a list in a file, and - reads jobs as they come; leave it out")
    who = {"shard": asked.shard, "devices": asked.devices, "workers": asked.workers, "engine": asked.engine != HERE}
    if said := next((name for name, value in who.items() if value), None):
        raise UsageError(f"jobs that come by - are made by this process alone; leave `{said}` out")
    if asked.pictures not in (AUTO, PICTURES):
        raise UsageError(f"jobs that come by - are made one by one, got `pictures={asked.pictures}`; leave it out")


class Desk:
    """Takes jobs in, one at a time, and answers them.

    failed: jobs whose last try failed, by id. problems: of those of them that could not be begun.
    failed: jobs whose last try failed, by id. refused: whether a job was, for the id of another.
    """

    def __init__(self, asked: Asked, tell: Teller, records: Records, ledger: Ledger, run: Run):
        from diffusion_tricks_batch.work import Worker  # here, as it needs torch

        self.asked, self.tell, self.records, self.ledger, self.run = asked, tell, records, ledger, run
        self.worker, self.models = Worker(asked.how, ledger, HERE), Models()
        self.failed: dict[str, Job] = {}
        self.problems: dict[str, DiffusionTricksError] = {}
        self.refused = False
        self._made: dict[str, Job] = {}
        self._base, self._count, self._lines = Base(), 0, 0
        self._used = set(places(asked.output))
        self._places: dict[str, str] = {}

    @property
    def went_wrong(self) -> bool:
        """Whether a job failed, or was refused."""
        return bool(self.failed) or self.refused

    def answered(self, line: bytes | str) -> bool:
        """Answers a line, as far as it asks anything; gives whether it ends all."""
        self._lines += 1
        text = (line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")).strip()
        if _object(text) == QUIT:
            return True
        if not self._count and (said := base_in(text)) is not None:
            self._base = base_of(said, WHERE, Path())
        elif text:
            where = f"line {self._lines} of {WHERE}"
            job = job_from(text, self._count, self._base, {}, where=where, used=self._used)
            self._count += 1
            self._tell(with_seed(job, self.run.seed))
        return False

    def _tell(self, job: Job) -> None:
        """Makes a job, unless it is there, and answers."""
        self.problems.pop(job.id, None)
        first = self._made.get(job.id)
        if first and first.recipe != job.recipe:
            self._refuse(job)
            return
        try:
            outcome, kept = self._outcome(job)
        except DiffusionTricksError as error:
            self.problems[job.id] = error
            outcome, kept = refused(self.ledger, job.id, error), False
        if outcome.failure:
            self.failed[job.id] = job
            said = {"error": in_flags(outcome.failure.message), "kind": outcome.failure.kind}
        else:
            self.failed.pop(job.id, None)
            self._made[job.id] = job
            self.tell.made += not kept
            said = self._facts(outcome) | ({"kept": True} if kept else {})
        self.tell.print({"id": job.id, **said})

    def _refuse(self, job: Job) -> None:
        """Answers a job whose id is that of another, of which nothing is noted: what was made stands."""
        self.refused = True
        failure = failure_of(job.problem or UsageError(
            f"the id {job.id!r} is that of another job, which was made already; give each one of its own"))  # fmt: skip
        self.tell.print({"id": job.id, "error": in_flags(failure.message), "kind": failure.kind})

    def _facts(self, outcome: Outcome) -> dict[str, Any]:
        """What is said of pictures: those of the first, and of all where there are more."""
        pictures = [self.tell.from_here(facts) for facts in outcome.facts]
        said: dict[str, Any] = {"paths": [one["path"] for one in pictures]}
        said |= {name: pictures[0][name] for name in ("seed", "score") if name in pictures[0]}
        return said | ({"pictures": pictures} if pictures[1:] else {})

    def _outcome(self, job: Job) -> tuple[Outcome, bool]:
        """What comes of a job, and whether it was there already. Raises what it fails with before it is begun."""
        item, kept = self._judged(job)
        if kept is not None:
            return Outcome(job.id, HERE, kept), True
        (outcome,) = self.worker.outcomes([Group(self._count, (item,))])
        return outcome, False

    def _judged(self, job: Job) -> tuple[Item, Mapping[str, Any] | None]:
        """The job as it is to be made, and the line of the ledger where it is there. Raises what it fails with."""
        if job.recipe is None:
            assert job.problem is not None
            raise job.problem
        names = check_names([job], self.asked.output, (), self.records.others)
        check_traits(job.traits)
        self._take(job.id, names[job.id])
        item = item_of(job, names[job.id], self.asked, self.models)
        verdict = self.ledger.verdict(task_of(item), force=self.asked.force)
        ours = verdict.ours or self.asked.force
        for path in () if verdict.kept else item.paths:
            if Path(path).parent.is_dir():
                check_save(path, force=ours, inputs=list(item.inputs), metadata=self.asked.how.metadata)
        return replace(item, make=True, ours=ours), verdict.line if verdict.kept else None

    def _take(self, key: str, paths: Sequence[Path]) -> None:
        """Raises OutputError for the file of another job."""
        for path in paths:
            if self._places.setdefault(str(path), key) != key:
                other = self._places[str(path)]
                raise OutputError(f"{path} is the file of job {other!r}; put more into the name, as {{id}}")


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
