"""How a run stands, as its ledger says it: to be read in any process, on any host, while it runs and after. No torch.

The journals are read on from where they were read to; a last line that is being written, or was cut off, waits.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from diffusion_tricks.plugin import Journal, Line, OutputError
from diffusion_tricks_batch.engines.leases import every_lease
from diffusion_tricks_batch.job_list import Listed, kept_list
from diffusion_tricks_batch.records import Records
from diffusion_tricks_batch.telling.pace import Pace

YOUNG = 120.0  # seconds: who wrote so lately on another host is taken to be at work
STATES = ("done", "failed", "begun")


@dataclass
class Seen:
    """A worker, by its journal.

    pace: of its pictures in the present session. last: when its last line was noted, in seconds since 1970; 0: never.
    touched: when it last touched what it has leased, likewise.
    began: when it began with its session; ended: whether it said that it ended. warm: whether its jobs come one by one.
    at_work: jobs begun and not finished.
    """

    name: str
    journal: Journal
    host: str = ""
    process: int | None = None
    last: float = 0.0
    touched: float = 0.0
    began: float | None = None
    ended: bool = False
    kept: int | None = None
    warm: bool = False
    pace: Pace | None = None
    at_work: set[str] = field(default_factory=set)

    def goes_on(self, now: float) -> bool:
        """Whether it is at work: its process lives here and holds its journal, or wrote lately on another host."""
        if self.ended:
            return False
        if self.host == socket.gethostname() and self.process and sys.platform != "win32":
            return is_alive(self.process) and is_held(self.journal)
        return now - self.sign < YOUNG

    @property
    def sign(self) -> float:
        """When it last gave a sign of life, in seconds since 1970."""
        return max(self.last, self.touched)

    def is_stale(self, now: float) -> bool:
        """Whether it left jobs undone, and is gone without a word; who was interrupted says so at its end."""
        return bool(self.at_work) and not self.ended and not self.goes_on(now)


class Standing:
    """All that the ledger in a folder says. Raises UsageError where there is none, or it is damaged.

    last: the last line of each job. refused: later lines, why jobs that were done cannot be made now.
    session: when the present or the last session began, in seconds since 1970.
    """

    def __init__(self, home: Path):
        self.records = Records(home)
        self.records.run()
        listed = kept_list(self.records)
        self.listed = listed is not None
        self.jobs: dict[str, Listed] = {one.id: one for one in listed or ()}
        self.workers: dict[str, Seen] = {}
        self.last: dict[str, Line] = {}
        self.refused: dict[str, Line] = {}
        self.session = 0.0
        self.read()

    def read(self) -> list[tuple[Seen, Line]]:
        """Takes in what was noted since the last time, and gives it, in its order."""
        new = [(worker, line) for worker in self._journals() for line in worker.journal.follow()]
        new.sort(key=lambda pair: float(pair[1].get("at", 0)))
        for worker, line in new:
            self._take(worker, line)
        self._look_at_leases()
        self.session = self._session()
        return new

    def _look_at_leases(self) -> None:
        """Workers on one disk touch the files of their leases, which are called `WORKER.TOKEN`."""
        for path in every_lease(self.records.leases):
            worker = self.workers.get(path.name.partition(".")[0])
            with contextlib.suppress(OSError):  # given back meanwhile
                if worker:
                    worker.touched = max(worker.touched, path.stat().st_mtime)

    def _journals(self) -> list[Seen]:
        for path in sorted(self.records.folder.glob("*.jsonl")):
            self.workers.setdefault(path.stem, Seen(path.stem, Journal(path)))
        return list(self.workers.values())

    def _take(self, worker: Seen, line: Line) -> None:
        at = float(line.get("at", 0))
        if "host" in line:
            worker.host, worker.process = line["host"], line.get("process")
            worker.began, worker.pace, worker.ended, worker.kept, worker.warm = None, None, False, None, False
        worker.last = max(worker.last, at)
        if "began" in line:
            worker.began, worker.ended, worker.pace = at, False, Pace(at)
            worker.kept, worker.warm = line["began"].get("kept"), line["began"].get("warm", False)
            worker.at_work.clear()
        worker.ended = worker.ended or "ended" in line
        for key in (line[state] for state in STATES if state in line):
            self.last[key] = line
            self.refused.pop(key, None)
            if worker.warm or not self.listed:
                self.jobs.setdefault(key, Listed(key))
            self._count(worker, key, line, at)
        if "refused" in line:
            self.refused[line["refused"]] = line

    def _count(self, worker: Seen, key: str, line: Line, at: float) -> None:
        worker.began = at if worker.began is None else worker.began
        worker.pace = worker.pace or Pace(at)
        if "begun" in line:
            worker.at_work.add(key)
            return
        worker.at_work.discard(key)
        if "done" in line:
            worker.pace.add(at, len(line.get("facts", ())))

    def _session(self) -> float:
        """When the sessions began of which the last is one: those that were at work at one time."""
        spans = [(one.last, one.began) for one in self.workers.values() if one.began is not None]
        since = float("inf")
        for last, began in sorted(spans, reverse=True):
            if last >= since or since == float("inf"):
                since = min(since, began)
        return since

    def state(self, job: Listed) -> str:
        """What came of a job: made or kept, failed, or left."""
        line = self._end(job)
        if not line:
            return "failed" if job.problem else "left"
        now = float(line.get("at", 0)) >= self.session
        if "done" in line:
            return "made" if now else "kept"
        return "failed" if "failed" in line and now else "left"

    def _end(self, job: Listed) -> Line:
        """The line that counts of a job; an empty one where there is none."""
        refused = self.refused.get(job.id)
        if refused and float(refused.get("at", 0)) >= self.session:
            return {"failed": job.id} | refused
        return self.last.get(job.id, {})

    def states(self) -> Counter[str]:
        """How many jobs there are of each."""
        counted = Counter(self.state(job) for job in self.jobs.values())
        said = [one.kept for one in self.workers.values() if one.kept is not None and self._now(one)]
        gone = max(0, counted["kept"] - max(said, default=counted["kept"]))  # done once, and to be made again
        return counted + Counter(left=gone) - Counter(kept=gone)

    def _now(self, worker: Seen) -> bool:
        return worker.began is not None and worker.began >= self.session

    def failures(self) -> Iterator[tuple[Listed, str]]:
        """The jobs that failed, and the kind of their error."""
        for job in self.jobs.values():
            if self.state(job) == "failed":
                yield job, str((self._end(job) or job.problem or {}).get("kind", "?"))

    def at_work(self, now: float) -> list[Seen]:
        """The workers that go on."""
        return [one for one in self.workers.values() if one.goes_on(now)]


def is_alive(process: int) -> bool:
    """Whether there is a process of that number on this host."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_held(journal: Journal) -> bool:
    """Whether a process holds a journal. Ask of living workers alone: one that just begins must find it free."""
    try:
        journal.check_free()
    except OutputError:
        return True
    return False
