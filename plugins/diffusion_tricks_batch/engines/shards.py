"""The engine of a worker among others on one disk: it takes groups by leases, and reads what others make.

A worker that was stalled, and whose groups others have taken over since, notices that before it writes; and before it
begins with a group it reads what others have noted of it. So each job is done once, and counts once. No torch here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from diffusion_tricks_batch.engines.deaths import deaths, died_of, unfinished
from diffusion_tricks_batch.engines.leases import Leases
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.engines.watch import Watch
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.outcome import Outcome

PAUSE = 0.5  # seconds between looks at what others do, where there is nothing to do


class Shards:
    """One worker, here; the others do the same elsewhere. It takes every n-th group first, then helps with the rest.

    It ends once every job has been done, or has failed, by whomever; jobs that others have are waited for.
    """

    def __init__(self, site: Site):
        self.site = site
        self.watch = Watch(site.ledger)
        self._heard = deque[Outcome]()

    def submit(self, group: Group) -> None:
        """Takes a group on, as all others do."""
        self.watch.add(group)

    def results(self) -> Iterator[Outcome]:
        """Of all jobs, whoever does them, as they come."""
        yield from self.watch.known()
        if not self.watch.groups:
            return
        from diffusion_tricks_batch.work import Worker  # here, as it needs torch

        with Leases(self.site.records.leases, self.site.name) as leases:
            worker = Worker(self.site.how, self.site.ledger, self.site.name, leases.holds)
            while self.watch.groups:
                came = False
                for outcome in worker.outcomes(self._free(leases)):
                    came = True
                    yield from self._settled(outcome, leases)
                yield from self._others()
                if self.watch.groups and not came:
                    time.sleep(PAUSE)

    def _settled(self, outcome: Outcome, leases: Leases) -> Iterator[Outcome]:
        """An outcome of our own, and those of others meanwhile; groups of which no job is left are given back."""
        if self.watch.told(outcome):
            yield outcome
        yield from self._others()
        for number in leases.held:
            if number not in self.watch.groups:
                leases.release(number)

    def _others(self) -> Iterator[Outcome]:
        self._heard.extend(self.watch.news())
        while self._heard:
            yield self._heard.popleft()

    def _free(self, leases: Leases) -> Iterator[Group]:
        """The groups that can be had now, once round. One that was left unfinished may have ended who had it, and is
        a round by itself, so that no other goes with it."""
        first = True
        for number in self._order():
            if number not in self.watch.groups or number in leases.held or not leases.take(number):
                continue
            self._heard.extend(self.watch.news())
            alone = number in self.watch.groups and unfinished(self.watch.groups[number], self.site.ledger)
            if alone and not first:
                leases.release(number)
                return
            if alone:
                self._give_up(number)
            if number not in self.watch.groups:
                leases.release(number)
                continue
            yield self._as_it_stands(number)
            if alone:
                return
            first = False

    def _give_up(self, number: int) -> None:
        """Lets those jobs of a group fail that too many have died of."""
        outcomes = died_of(self.watch.narrowed(number), deaths(self.site.ledger), self.site)
        self._heard.extend(outcome for outcome in outcomes if self.watch.told(outcome))

    def _order(self) -> list[int]:
        """Our own groups, then those of the others, from behind, where they come to them last; then the unfinished."""
        nth, of = self.site.shard or (1, 1)
        ours = [number for number in self.watch.groups if number % of == nth - 1]
        others = reversed([number for number in self.watch.groups if number % of != nth - 1])
        return sorted([*ours, *others], key=lambda one: unfinished(self.watch.groups[one], self.site.ledger))

    def _as_it_stands(self, number: int) -> Group:
        """A group with what is left to be made of it; files of jobs that somebody has begun are ours."""
        group, last = self.watch.narrowed(number), self.site.ledger.last
        return replace(group, items=tuple(replace(one, ours=one.ours or bool(last(one.key))) for one in group.items))

    def close(self) -> None:
        """Forgets what waits."""
        self.watch = Watch(self.site.ledger)
