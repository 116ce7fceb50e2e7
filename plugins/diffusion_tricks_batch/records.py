"""What was done, on the disk: the folder `ledger` in the folder of the pictures, with one journal for each worker.

`run.json` says what holds for all jobs: the seed of those that have none, and how many pictures share a batch. Each
`WORKER.jsonl` is a ledger of the core's. In `foretold` a worker whose lines are noted by another says what it is about
to put in the place of earlier pictures. No torch here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import Journal, Ledger, Line, OutputError, Task, UsageError, atomic_write, sidecar_path

if TYPE_CHECKING:
    from diffusion_tricks_batch.groups import Item

FOLDER = "ledger"
RUN = "run.json"
JOBS, WORK, SETTINGS, AFTER = "jobs.json", "work.json", "launch.json", "after.json"
LEASES, GALLERY, FORETOLD = "leases", "gallery", "foretold"  # folders
NOTED = (JOBS, WORK, SETTINGS, AFTER, "*.jsonl", "*.log", RUN)  # the last says whose they are
WITHIN = (LEASES, GALLERY, FORETOLD)
FAILED, SCORES = "failed.jsonl", "scores.csv"  # beside the pictures: what is left to do, and what was scored
VERSION = 1
TICK = 1e-6  # seconds, between lines of which one was seen before the other was noted


@dataclass(frozen=True)
class Run:
    """What holds for all jobs. seed: of those that have none. pictures: in one batch at the most.

    sharing: what all its shards are asked, as a hash; empty where it has none.
    """

    seed: int
    pictures: int
    sharing: str = ""


class Timed(Ledger):
    """A ledger whose lines say when they were noted, in seconds since 1970, and always after what it has seen noted."""

    latest = 0.0

    def note(self, *lines: Line) -> None:
        """Adds lines, safe on the disk."""
        for line in lines:
            line["at"] = self.latest = round(max(time.time(), self.latest + TICK), 6)  # clocks differ, and are set back
        super().note(*lines)

    def look(self, beside: Iterable[Journal] = ()) -> list[tuple[Journal, Line]]:
        """As of any ledger; the journals of workers that have begun since come in by themselves."""
        known = {self.path, *(journal.path for journal in self.beside)}
        joined = [Journal(path) for path in sorted(self.home.glob("*.jsonl")) if path not in known]
        new = super().look([*joined, *beside])
        self.latest = max([self.latest, *(float(line.get("at", 0)) for _, line in new)])
        return new


class Records:
    """The ledgers of one run. home: the folder that it writes to."""

    def __init__(self, home: Path):
        self.home, self.folder = home, home / FOLDER

    @property
    def leases(self) -> Path:
        """The folder of the leases on groups."""
        return self.folder / LEASES

    @property
    def others(self) -> list[Path]:
        """What the run writes beside the pictures; of a folder, all that is in it."""
        return [self.home / FAILED, self.home / SCORES, self.folder]

    @property
    def begun(self) -> bool:
        """Whether a run has begun here."""
        return (self.folder / RUN).exists()

    def begin(self, run: Run) -> Run:
        """Begins a run, unless another process has just begun it; gives what holds for all.

        Raises OutputError for a folder that cannot be made, and for one that is not ours.
        """
        self._check_ours()
        data = json.dumps({"batch": VERSION, **asdict(run)}, indent=1).encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {self.folder} cannot be made: {error.strerror}; choose another") from None
        with contextlib.suppress(OutputError):
            atomic_write(self.folder / RUN, data)
        return self.run()

    def run(self) -> Run:
        """What holds for all. Raises UsageError where no run has begun here, or its file is damaged."""
        path = self.folder / RUN
        try:
            data = json.loads(path.read_bytes())
            if data.pop("batch") != VERSION:
                raise ValueError
            return Run(**data)
        except OSError:
            raise UsageError(f"{self.home} holds no batch to go on with: there is no {FOLDER}/{RUN} in it") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UsageError(f"{path} is damaged, or of another version; begin anew with `force`") from None

    def forget(self) -> None:
        """Removes what an earlier run here has noted; its pictures stay. Raises OutputError where others' files are."""
        self._check_ours()
        if not self.begun:
            return
        for name in WITHIN:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for path in [path for name in NOTED for path in self.folder.glob(name)]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # of what is hidden in it
            self.folder.rmdir()

    def _check_ours(self) -> None:
        """Raises OutputError where the folder holds what no run has noted."""
        there = sorted(path.name for path in self.folder.glob("[!.]*"))  # looked at before `begun`: others begin, too
        ours = (*NOTED, *WITHIN) if self.begun else ()
        if others := [name for name in there if not any(fnmatch(name, one) for one in ours)]:
            raise OutputError(
                f"{self.folder / others[0]} is of no batch, and the ledger needs that folder for itself; keep it "
                "elsewhere, or choose another output"
            )

    def journals(self, but: str = "") -> list[Journal]:
        """Those of all workers but one, as they stand; a last line that is being written is left out."""
        every = sorted(path for path in self.folder.glob("*.jsonl") if path.stem != but)
        return [Journal.seen(path) for path in [*every, *sorted((self.folder / FORETOLD).glob("*.jsonl"))]]

    @contextlib.contextmanager
    def mine(self, worker: str) -> Iterator[Ledger]:
        """The ledger of a worker, which nobody else writes to meanwhile. Raises OutputError where somebody does."""
        path = self.folder / f"{worker}.jsonl"
        try:
            Journal.begun(path, ())
        except OutputError:
            if not path.exists():
                raise
        with Journal(path).alone():
            ledger = Timed.found(path)
            ledger.beside = self.journals(but=worker)
            noted = [line for journal in (*ledger.beside, ledger) for line in journal.lines]
            ledger.latest = max([float(line.get("at", 0)) for line in noted], default=0.0)
            ledger.note({"worker": worker, "host": socket.gethostname(), "process": os.getpid()})
            yield ledger

    def every(self) -> Ledger:
        """All that was noted, to be read."""
        return Ledger(self.folder / "every.jsonl", (), self.journals())


def task_of(item: Item) -> Task:
    """A job as a task of the ledger."""
    pictures = [Path(path) for path in item.paths]
    return Task(item.key, item.asked, list(item.inputs.values()), [*pictures, *map(sidecar_path, pictures)])
