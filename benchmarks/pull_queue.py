"""How long a list of jobs takes with many workers, by a model of the queue that they pull groups from.

Groups lie in the order of the list. Each worker is ready after `start` (its process, its load of the model), takes the
first group that nobody has, which costs `lease`, is busy with it for its service time, and takes the next; nobody waits
for anybody else. A group is never split, so at the end workers are idle while others finish theirs. Before it, all wait
until the list is planned, and after it until the pages are made: seconds that are the same for any number of workers,

    T(N, W) = planned + each_planned N + makespan(N, W) + ended + each_ended N

so that for W without end only these are left (Amdahl). Service times are drawn, with a fixed seed, from those measured:
nothing is assumed of their distribution but that they depend neither on each other nor on the number of workers, which
holds where each has a device of its own, and is checked for two workers on two cores by `batch.py`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINEAR = 0.95  # of W times as fast as one worker


@dataclass(frozen=True)
class Queue:
    """What is measured, in seconds.

    services: of groups. group: jobs in each. start: until a worker is ready. lease: taking one group and giving it
    back; look: at one other worker's journal, once a job. planned, ended: whatever the list. each_planned, each_ended:
    of each job.
    """

    services: Sequence[float]
    group: int
    start: float = 0.0
    lease: float = 0.0
    look: float = 0.0
    planned: float = 0.0
    each_planned: float = 0.0
    ended: float = 0.0
    each_ended: float = 0.0

    def worked(self, jobs: int, workers: int, seed: int = 0) -> float:
        """Seconds from the first worker's beginning to the last one's end."""
        drawn = random.Random(seed)
        services = (drawn.choice(self.services) for _ in range(-(-jobs // self.group)))
        return makespan(services, workers, self.start, self.lease + self.look * (workers - 1) * self.group)

    def whole(self, jobs: int, workers: int, seed: int = 0) -> float:
        """Seconds from the command to its end."""
        alone = self.planned + self.ended + (self.each_planned + self.each_ended) * jobs
        return alone + self.worked(jobs, workers, seed)

    def speedup(self, jobs: int, workers: int, *, whole: bool = False) -> float:
        """How many times as fast as one worker some are, at their work or with all that comes before and after it."""
        seconds = self.whole if whole else self.worked
        return seconds(jobs, 1) / seconds(jobs, workers)

    def linear_from(self, workers: int, most: int = 200_000) -> int | None:
        """The shortest list, of those looked at, from which on workers are linear within 5 % at their work."""
        lengths = [round(100 * 1.1**i) for i in range(200) if 100 * 1.1**i <= most]
        short = [length for length in lengths if self.speedup(length, workers) < LINEAR * workers]
        return next((length for length in lengths if length > max(short, default=0)), None)


def makespan(services: Iterable[float], workers: int, start: float = 0.0, lease: float = 0.0) -> float:
    """Seconds until all groups are done by workers that each pull the next when they are free."""
    free = [start] * workers
    for service in services:
        heapq.heapreplace(free, free[0] + lease + service)
    return max(free)
