"""A batch, from its list of jobs to its pictures; it may be stopped anywhere, and goes on as if it had not been."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import OutputError, atomic_write, host
from diffusion_tricks_batch.asked import Asked
from diffusion_tricks_batch.engines.protocol import Engine, Site
from diffusion_tricks_batch.job_list import keep_list
from diffusion_tricks_batch.names import home_of
from diffusion_tricks_batch.outcome import Failure, Outcome, failure_of
from diffusion_tricks_batch.plan import Ready, begun, jobs_of, ready
from diffusion_tricks_batch.records import Records

FAILED = "failed.jsonl"
Tell = Callable[[Outcome], None]


def silent(outcome: Outcome) -> None:
    """Says it to nobody."""


@dataclass
class Tally:
    """What came of a batch. made: outcomes by id. failures: by id. ready: the list."""

    ready: Ready
    made: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Jobs that were not begun."""
        return len(self.ready.jobs) - self.ready.kept - len(self.made) - len(self.failures)


def batch(asked: Asked, begin: Callable[[Ready], Tell] = lambda ready: silent) -> Tally:
    """Makes what is asked, as far as it is not there yet.

    begin: is told what there is to do, and gives what is told each outcome.
    Raises UsageError and OutputError for what cannot be, before anything is made.
    """
    jobs = jobs_of(asked)
    records = Records(home_of(asked.output))
    opened(records, asked)
    run = begun(asked, records)
    with records.mine("here") as ledger:
        todo = ready(jobs, run, asked, ledger)
        keep_list(records, todo)
        tally = Tally(todo, failures={key: failure_of(error) for key, error in todo.problems.items()})
        ledger.note({"began": {"jobs": len(jobs), "kept": todo.kept}})
        tell = begin(todo)
        site = Site(asked.how, records, ledger, asked.workers, asked.devices, asked.address, asked.collect)
        with closing(engine_for(asked, site)) as engine:
            for outcome in _outcomes(engine, todo, asked, tally):
                tell(outcome)
        ledger.note({"ended": {"failed": len(tally.failures), "left": tally.left}})
    written_failures(records.home, tally)
    return tally


def opened(records: Records, asked: Asked) -> None:
    """Raises OutputError where another run stands in the way, and forgets it where it is to be begun anew."""
    if records.begun and asked.force and not asked.resume:
        records.forget()
    elif records.begun and not asked.resume:
        raise OutputError(f"{records.home} holds an earlier batch; go on with it by `resume`, begin anew by `force`, "
                          "or choose another folder")  # fmt: skip


def engine_for(asked: Asked, site: Site) -> Engine:
    """The engine of that name. Raises UnknownName, and PluginError for one that cannot be loaded."""
    engine: Engine = host().find("engine", asked.engine).load()(site)
    return engine


def _outcomes(engine: Engine, todo: Ready, asked: Asked, tally: Tally) -> Iterator[Outcome]:
    """What comes of the groups, put into the tally; ends early with a failure where that is asked."""
    if asked.stop and tally.failures:
        return
    for group in todo.groups:
        engine.submit(group)
    for outcome in engine.results():
        if outcome.failure:
            tally.failures[outcome.key] = outcome.failure
        else:
            tally.made[outcome.key] = outcome
        yield outcome
        if outcome.failure and asked.stop:
            return


def written_failures(home: Path, tally: Tally) -> None:
    """`failed.jsonl`: a job list of what failed, and why."""
    path = home / FAILED
    lines = [_failed(job.fields, tally.failures[job.id]) for job in tally.ready.jobs if job.id in tally.failures]
    if lines:
        atomic_write(path, b"".join(lines), force=True)
    else:
        path.unlink(missing_ok=True)


def _failed(fields: Any, failure: Failure) -> bytes:
    return json.dumps({**fields, "failed": failure.data()}, ensure_ascii=False).encode() + b"\n"
