"""The engine of several processes on this machine, each by `accelerate launch`, one for each device. No torch here.

What they are to do lies in the folder of the ledger; they take groups by leases, and note what they do in a journal
each, which is read here. Each has a launch of its own: of processes launched together all end with the first that dies.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from diffusion_tricks.plugin import UsageError, atomic_write, host
from diffusion_tricks_batch.engines.deaths import most_deaths
from diffusion_tricks_batch.engines.leases import freed, holdings
from diffusion_tricks_batch.engines.process import Process
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.engines.watch import Watch
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.outcome import Failure, Outcome
from diffusion_tricks_batch.records import SETTINGS, WORK, task_of

PAUSE = 0.2  # seconds between looks at the journals
FRUITLESS = 2  # times as many deaths in a row as one batch may cost, with nothing come of: it is not begun again
# of accelerate: what the user has set up for trainings is no matter here
LAUNCHED = {
    "compute_environment": "LOCAL_MACHINE", "distributed_type": "NO", "mixed_precision": "no", "use_cpu": False,
    "num_processes": 1, "num_machines": 1, "machine_rank": 0, "debug": False,
}  # fmt: skip


class Launch:
    """Several workers here. One that dies is begun again, and the others go on with what it had.

    The jobs of a group that too many workers have died of fail, as do all that are left once no worker is.
    """

    def __init__(self, site: Site):
        if not site.workers:
            raise UsageError("the engine `launch` begins workers; say how many by `workers`, or name their `devices`")
        self.site, self.count = site, site.workers
        self.watch = Watch(site.ledger)
        self.processes: list[Process] = []
        self._deaths, self._fruitless, self._last = Counter[int](), Counter[str](), ""
        self._most = most_deaths(site.how)

    def submit(self, group: Group) -> None:
        """Puts it with what the workers are to do."""
        self.watch.add(group)

    def results(self) -> Iterator[Outcome]:
        """As the workers note them."""
        self._begin()
        while self.watch.groups:
            ended = [process for process in self.processes if process.code is not None]
            for outcome in self.watch.news():
                self._fruitless[outcome.worker] = 0
                yield outcome
            for process in ended:
                yield from self._mourned(process)
                self._last = f"the last, {process.name}, ended {process.why}"
            if not self.processes:
                yield from self._failed(list(self.watch.groups), f"no worker is left for this job; {self._last}")
            time.sleep(PAUSE if self.watch.groups else 0)

    def _begin(self) -> None:
        """Begins the workers, which know where their work lies."""
        folder, leases = self.site.records.folder, self.site.records.leases
        self._write_work()
        atomic_write(folder / SETTINGS, json.dumps(LAUNCHED).encode(), force=True)
        for number in range(min(self.count, len(self.watch.groups))):
            name = name_of(number)
            freed(leases, name)
            (folder / f"{name}.log").unlink(missing_ok=True)
            self.processes.append(Process(name, self._command(number), folder / f"{name}.log"))

    def _write_work(self, but: Collection[int] = ()) -> None:
        """What is left to do but some groups, for workers that begin now."""
        work = {
            "home": str(self.site.records.home), "how": self.site.how.data(), "workers": self.count,
            "devices": self.site.devices,
            "plugins": [os.path.abspath(file) for file in host().files], "without": sorted(host().without),
            "groups": [group.data() for group in self.watch.left() if group.number not in but],
        }  # fmt: skip
        atomic_write(self.site.records.folder / WORK, json.dumps(work).encode(), force=True)

    def _command(self, number: int) -> list[str]:
        folder = self.site.records.folder
        return [
            sys.executable, "-m", "accelerate.commands.launch", "--config-file", str(folder / SETTINGS),
            "--num-cpu-threads-per-process", str(threads(self.count)),
            "-m", "diffusion_tricks_batch.engines.rank", str(folder / WORK), str(number),
        ]  # fmt: skip

    def _mourned(self, process: Process) -> Iterator[Outcome]:
        """Frees what a process that has ended still had, and begins it again where that may help."""
        process.end()
        leases, name = self.site.records.leases, process.name
        had = [number for number in holdings(leases, name) if number in self.watch.groups]
        self._deaths.update(had)
        lost = [number for number in had if self._deaths[number] >= self._most]
        if lost:  # who begins just now hears of it: here, or as it is noted
            self._write_work(but=lost)
        yield from self._failed(lost, f"{name} ended {process.why} at this job")
        freed(leases, name)
        self._fruitless[name] = 0 if lost else self._fruitless[name] + 1
        if process.code and had and self._fruitless[name] < FRUITLESS * self._most:
            self._write_work()
            process.begin()
        else:
            self.processes.remove(process)

    def _failed(self, numbers: Iterable[int], message: str) -> Iterator[Outcome]:
        """Notes that what is left of some groups failed, so that no other worker begins with it."""
        failure = Failure("WorkerDied", message)
        for number in numbers:
            for task in [task_of(item) for item in self.watch.narrowed(number).items if item.make]:
                outcome = Outcome(task.key, self.site.name, self.site.ledger.failed(task, failure.data()), failure)
                self.watch.told(outcome)
                yield outcome

    def close(self) -> None:
        """Ends the workers."""
        for process in self.processes:
            process.end()
            freed(self.site.records.leases, process.name)


def name_of(number: int) -> str:
    """What a worker is called, counted from 0."""
    return f"worker-{number + 1}"


def threads(workers: int) -> int:
    """How many threads each of some workers on this machine has for itself; what is set outside holds."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(os.environ.get("OMP_NUM_THREADS") or max(1, cores // workers))
