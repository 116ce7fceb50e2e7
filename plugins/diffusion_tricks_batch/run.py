"""A batch, from its list of jobs to its pictures; it may be stopped anywhere, and goes on as if it had not been."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import Ledger, Line, OutputFailed, atomic_write, host, sha256
from diffusion_tricks_batch.asked import HERE, Asked
from diffusion_tricks_batch.chosen import chosen, worker_of
from diffusion_tricks_batch.engines.protocol import Engine, Site
from diffusion_tricks_batch.job_list import keep_list, kept_list
from diffusion_tricks_batch.lists.again import row_of
from diffusion_tricks_batch.lists.jobs import Job
from diffusion_tricks_batch.lists.names import home_of
from diffusion_tricks_batch.outcome import Failure, Outcome, failure_of
from diffusion_tricks_batch.plan import Ready, planned
from diffusion_tricks_batch.ranks import Ranks
from diffusion_tricks_batch.records import FAILED, Records, task_of

Tell = Callable[[Outcome], None]
WROTE = "failures"  # in a line of the ledger: SHA-256 of the list of failures that is written next


def silent(outcome: Outcome) -> None:
    """Says it to nobody."""


@dataclass
class Tally:
    """What came of a batch. made: outcomes by id. failures: by id. ready: the list.

    seconds: that all took. denoised: seconds that workers spent in the loop. workers: their names. listed: whether
    `failed.jsonl` lists the failures; another's file in its place is left as it is.
    """

    ready: Ready
    made: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    seconds: float = 0.0
    denoised: float = 0.0
    workers: set[str] = field(default_factory=set)
    listed: bool = True

    def add(self, outcome: Outcome) -> None:
        """Takes an outcome in."""
        self.denoised += outcome.seconds
        if outcome.failure:
            self.failures[outcome.key] = outcome.failure
        else:
            self.made[outcome.key] = outcome
        if outcome.seconds:
            self.workers.add(outcome.worker)

    @property
    def left(self) -> int:
        """Jobs that were not begun, or not finished."""
        return len(self.ready.jobs) - self.ready.kept - len(self.made) - len(self.failures)

    @property
    def share(self) -> float:
        """Of the time of all workers, what they spent in the loop, 0..1."""
        return self.denoised / (self.seconds * max(1, len(self.workers))) if self.seconds else 0.0

    @property
    def kinds(self) -> Counter[str]:
        """How many failures there are of each kind."""
        return Counter(failure.kind for failure in self.failures.values())

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "jobs": len(self.ready.jobs), "made": len(self.made), "kept": self.ready.kept,
            "failed": len(self.failures), "left": self.left, "kinds": dict(self.kinds),
            "seconds": round(self.seconds, 3), "denoised": round(self.denoised, 3), "share": round(self.share, 4),
        }  # fmt: skip


def batch(asked: Asked, begin: Callable[[Ready], Tell] = lambda ready: silent) -> Tally:
    """Makes what is asked, as far as it is not there yet.

        tally = batch(Asked("jobs.jsonl", "out/{id}.png", resume=True))
        print(len(tally.made), tally.kinds)

    begin: is told what there is to do, and gives what is told each outcome.
    Whatever becomes of one job, the others are made; see `Tally`. Raises UsageError and OutputError for what cannot be
    as asked, before anything is made, and OutputFailed where nothing can be noted, as on a full disk. When it is
    interrupted, what is finished is kept.
    """
    asked = chosen(asked)
    ranks = Ranks(asked.how.device)
    asked = ranks.own(asked)
    records = Records(home_of(asked.output))
    with ranks.main_first():
        check_alone(asked, records) if ranks.main else None
        todo = begun(asked, records)
        retried = is_own(asked, records)  # and so a part of a list
        keep_list(records, todo, (kept_list(records) or ()) if retried else ())
    asked = ranks.worker(asked)
    with records.mine(worker_of(asked)) as ledger:
        ledger.note({"began": {"jobs": len(todo.jobs)} | ({} if retried else {"kept": todo.kept})})
        tally, tell, start = Tally(todo), begin(todo), time.perf_counter()
        try:
            for outcome in _outcomes(asked, site_of(asked, records, ledger), tally):
                tell(outcome)
            ranks.wait()
        finally:
            for outcome in _finished_unseen(records, tally):
                tell(outcome)
            tally.seconds = time.perf_counter() - start
            with contextlib.suppress(OutputFailed):  # of that, what ended the run speaks
                if ranks.main:
                    tally.listed = written_failures(records, ledger, todo.jobs, asked, problems=todo.problems)
            with contextlib.suppress(OutputFailed):
                ledger.note({"ended": tally.data()})
    ranks.part()
    return tally


def site_of(asked: Asked, records: Records, ledger: Ledger) -> Site:
    """What an engine is made with."""
    return Site(asked.how, records, ledger, asked.workers, asked.devices, asked.address, asked.collect,
                worker_of(asked), asked.shard)  # fmt: skip


def check_alone(asked: Asked, records: Records) -> None:
    """Raises OutputError where others work in the folder just now with whom this process takes no leases."""
    for journal in records.journals():
        if not (asked.shard and journal.path.stem.startswith("shard-")):
            journal.check_free()


def begun(asked: Asked, records: Records) -> Ready:
    """What is to be done, once it is sure that it can be; what holds for all jobs is then on the disk."""
    todo = planned(asked, records)
    if asked.force and not asked.resume:
        records.forget()
    run = records.begin(todo.run)
    return todo if run == todo.run else planned(asked, records)  # another process was faster


def engine_for(asked: Asked, site: Site) -> Engine:
    """The engine of that name. Raises UnknownName, and PluginError for one that cannot be loaded."""
    engine: Engine = host().find("engine", asked.engine).load()(site)
    return engine


def _outcomes(asked: Asked, site: Site, tally: Tally) -> Iterator[Outcome]:
    """What comes of the jobs, put into the tally; ends early with a failure where that is asked."""
    for outcome in _refused(tally.ready, site.ledger):
        tally.add(outcome)
        yield outcome
    if tally.failures and asked.stop:
        return
    with closing(engine_for(asked, site)) as engine:
        for group in tally.ready.groups:
            engine.submit(group)
        for outcome in engine.results():
            tally.add(outcome)
            yield outcome
            if outcome.failure and asked.stop:
                return


def _refused(todo: Ready, ledger: Ledger) -> Iterator[Outcome]:
    """The outcomes of jobs that cannot be made."""
    yield from (refused(ledger, key, error) for key, error in todo.problems.items())


def refused(ledger: Ledger, key: str, error: Exception) -> Outcome:
    """Notes that a job cannot be made, and why; what an earlier run made of it still counts."""
    failure, done = failure_of(error), "done" in ledger.last(key)
    line = {"refused" if done else "failed": key, **failure.data()}
    ledger.note(line)
    return Outcome(key, HERE, line, failure)


def _finished_unseen(records: Records, tally: Tally) -> Iterator[Outcome]:
    """Outcomes of what was finished while all ended, put into the tally."""
    if not tally.left:
        return
    ledger = records.every()
    for job, item in tally.ready.todo:
        if job.id not in tally.made and job.id not in tally.failures and ledger.verdict(task_of(item), force=True).kept:
            outcome = Outcome(job.id, "", ledger.last(job.id))
            tally.add(outcome)
            yield outcome


def is_own(asked: Asked, records: Records) -> bool:
    """Whether the list is the one of what failed before in the same folder."""
    path = records.home / FAILED
    return asked.source is not None and os.path.realpath(asked.source) == os.path.realpath(path)


def written_failures(
    records: Records, ledger: Ledger, jobs: Sequence[Job], asked: Asked, *, others: bool = False,
    problems: Mapping[str, Exception] | None = None,
) -> bool:  # fmt: skip
    """`failed.jsonl`: a job list of what failed, and why; of such a list, what is left of it.

    others: what it lists beside these jobs, and has not been made since, stays. problems: of jobs that could not be
    made now, by id. Gives whether it tells of all: a file that none of these runs has written is left as it is.
    """
    path, every, own = records.home / FAILED, records.every(), is_own(asked, records)
    lines = _listed_still(path, every, {job.id for job in jobs}) if others else []
    now = {key: {"failed": key, **failure_of(error).data()} for key, error in (problems or {}).items()}
    for job in jobs:
        last = now.get(job.id, every.last(job.id))
        if "failed" in last or (own and "done" not in last):
            lines.append(_row(job, last, records))
    if os.path.lexists(path) and not (_is_ours(path, records) or (asked.force and not own)):
        return not lines
    data = b"".join(lines)
    if data:
        ledger.note({WROTE: hashlib.sha256(data).hexdigest()})
        atomic_write(path, data, force=True)
    else:
        path.unlink(missing_ok=True)
    return True


def _is_ours(path: Path, records: Records) -> bool:
    """Whether a run here has written the file so: each notes the digest in its journal before it writes."""
    known = {line[WROTE] for journal in records.journals() for line in journal.lines if WROTE in line}
    return path.is_file() and sha256(path) in known


def _listed_still(path: Path, ledger: Ledger, but: set[str]) -> list[bytes]:
    """The lines of a list of failures whose jobs have failed and not been made since, but for some."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        lines = path.read_bytes().splitlines(keepends=True)
        return [one for one in lines if (key := json.loads(one)["id"]) not in but and "failed" in ledger.last(key)]
    return []


def _row(job: Job, last: Line, records: Records) -> bytes:
    why = {"failed": {name: last[name] for name in ("kind", "message")}} if "failed" in last else {}
    row = {"id": job.id, "number": job.number, **row_of(job, records.home), **why}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"
