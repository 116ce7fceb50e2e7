"""The engine of clusters: actors of Ray hold a model each, and pull groups. What came of them is noted here alone.

The object store carries records only; pictures are written where a worker is, or sent back with their record.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from diffusion_tricks.plugin import (
    DiffusionTricksError,
    Ledger,
    OutputError,
    atomic_write_all,
    sidecar_path,
)  # fmt: skip
from diffusion_tricks_batch.engines.away import orders_of
from diffusion_tricks_batch.engines.cluster import Share, connected, library, share_of
from diffusion_tricks_batch.engines.crew import Crew, Lost
from diffusion_tricks_batch.engines.deaths import most_deaths
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.engines.pull import Pull
from diffusion_tricks_batch.groups import Group, Item
from diffusion_tricks_batch.outcome import Failure, Outcome, failure_of
from diffusion_tricks_batch.records import task_of

PATIENCE = 60.0  # seconds until it is said that no worker has begun


@dataclass
class Place:
    """For a worker, and for the next one when it is lost. answer: that is waited for. starts: that failed in a row."""

    number: int
    actor: Any = None
    answer: Any = None
    name: str = ""
    starts: int = 0

    def empty(self) -> None:
        """Nobody is here."""
        self.actor, self.answer, self.name = None, None, ""


class OnRay:
    """Workers on a Ray cluster, or by Ray on this machine."""

    def __init__(self, site: Site):
        self.site, self.ray = site, library()
        self.pull = Pull(most_deaths(site.how))
        self._places: list[Place] = []
        self._ledgers: dict[str, Ledger] = {}
        self._open = ExitStack()
        self._patient = True
        self._why = ""  # the last worker was lost

    def submit(self, group: Group) -> None:
        """Puts it behind the others."""
        self.pull.put(group)

    def results(self) -> Iterator[Outcome]:
        """As workers finish them, whoever that is."""
        while self.pull.open:
            self._fill_places()
            self._feed()
            yield from [outcome for place in self._answered() for outcome in self._heard(place)]

    def close(self) -> None:
        """Ends the workers, and Ray where it was begun here."""
        if actors := [place.actor for place in self._places if place.actor]:
            self._crew.dismiss(actors)
        self._places.clear()
        self._open.close()

    @cached_property
    def _share(self) -> Share:
        """Of the cluster, which this process is connected to from then on."""
        self._open.enter_context(connected(self.ray, self.site.address))
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        return share_of(nodes, self.site.how, self.site.workers)

    @cached_property
    def _crew(self) -> Crew:
        return Crew(self.ray, self._share, orders_of(self.site.how, self.site.records.folder, self.site.collect))

    def _fill_places(self) -> None:
        """A worker for every place, as long as there is something to pull. Raises where none can be begun."""
        for number in range(len(self._places), min(self._share.workers, self.pull.open)):
            self._places.append(Place(number))
        for place in self._places:
            if place.actor is None and place.starts < self.pull.most and self.pull.waiting:
                place.actor, place.answer = self._crew.begin(place.number)
        if not any(place.actor for place in self._places):
            raise DiffusionTricksError(f"no worker can be begun on the cluster: {self._why}")

    def _feed(self) -> None:
        """Groups for all who are ready for one; who has none at the end gets what others have not begun."""
        working = [place for place in self._places if place.name]
        self._hand_out(working)
        if not self.pull.waiting and any(not self.pull.has(place.name) for place in working):
            self._fetch_back({place.name: place.actor for place in working})
            self._hand_out(working)

    def _fetch_back(self, actors: Mapping[str, Any]) -> None:
        """One spare group, if there is any."""
        for worker, number in self.pull.spare():
            with contextlib.suppress(Lost):  # that is heard soon enough
                given = self._crew.back(actors[worker], number)
                self.pull.back(worker, number, begun=not given)
                if given:
                    return

    def _hand_out(self, working: Sequence[Place]) -> None:
        for place in working:
            while group := self.pull.take(place.name, len(self._places)):
                self._ledgers[place.name].begin(*(task_of(item) for item in group.items if item.make))
                self._crew.give(place.actor, group)

    def _answered(self) -> list[Place]:
        """Places that something is heard of; waits for one."""
        waiting = [place for place in self._places if place.actor]
        answers = self._crew.answered([place.answer for place in waiting], PATIENCE)
        if not answers and self._patient and not self._ledgers:
            self._patient = False
            warnings.warn(self._no_room(), stacklevel=2)
        return [place for place in waiting if place.answer in answers]

    def _no_room(self) -> str:
        share = self._share
        asks = "a GPU" if share.gpus else "a CPU" if share.cpus == 1 else f"{share.cpus} CPUs"
        return (
            f"no worker has begun for {PATIENCE:.0f} s; each of {share.workers} asks for {asks}, of which the cluster "
            "has none to spare; it is waited for"
        )

    def _heard(self, place: Place) -> list[Outcome]:
        """The outcomes that a worker tells, noted; a first answer is that it is ready."""
        try:
            told = self._crew.told(place.answer)
            outcomes = self._noted(place.name, told) if place.name else self._welcome(place, told)
        except Lost as lost:
            return self._replaced(place, str(lost))
        place.answer = self._crew.ask(place.actor)
        return outcomes

    def _welcome(self, place: Place, name: str) -> list[Outcome]:
        """Opens the ledger of a new worker. Raises OutputError where its pictures would be seen by nobody, and Lost."""
        if name not in self._ledgers:
            self._ledgers[name] = self._open.enter_context(self.site.records.mine(name))
        ledger, mark = self._ledgers[name], uuid4().hex
        ledger.note({"actor": mark})
        if not self.site.collect and not self._crew.sees(place.actor, str(ledger.path), mark):
            raise OutputError(
                f"{name} does not see {self.site.records.home}: it shares no disk with this machine there; give "
                "`collect` to have pictures sent back, or a folder on a disk that all see"
            )
        place.name, place.starts = name, 0
        return []

    def _noted(self, worker: str, told: Iterable[Outcome]) -> list[Outcome]:
        """The outcomes that count, in the ledger of their worker, and their files in place."""
        pairs = [(outcome, self.pull.settle(worker, outcome.key)) for outcome in told]
        outcomes = [_brought(outcome, item, self._ledgers[worker]) for outcome, item in pairs if item]
        self._ledgers[worker].note(*(dict(outcome.line) for outcome in outcomes))
        return outcomes

    def _replaced(self, place: Place, why: str) -> list[Outcome]:
        """Lets go of a worker that is lost; gives what failed, as it was lost by it too often."""
        self._crew.kill(place.actor)
        self._why, name = why, place.name
        place.starts += not name
        warnings.warn(f"{name or 'a worker that had not begun'} is lost: {why}", stacklevel=2)
        place.empty()
        given_up = self.pull.lose(name) if name else []
        return [self._failed(item, group, name) for group in given_up for item in group.items if item.make]

    def _failed(self, item: Item, group: Group, worker: str) -> Outcome:
        message = (
            f"batch {group.number} of {len(group.items)} jobs has ended {self.pull.most} workers, at last {worker}: "
            f"{self._why}; if memory ran out there, let fewer `pictures` share a batch"
        )
        failure = Failure("WorkerDied", message)
        return Outcome(item.key, worker, self._ledgers[worker].failed(task_of(item), failure.data()), failure)


def _brought(outcome: Outcome, item: Item, ledger: Ledger) -> Outcome:
    """The outcome, its files written here where they were sent."""
    if not outcome.files:
        return outcome
    try:
        _write(outcome.files, item, ledger)
    except (DiffusionTricksError, OSError) as error:
        failure = failure_of(error)
        line = {"failed": item.key, **failure.data()}
        return replace(outcome, line=line, failure=failure, files={})
    return replace(outcome, files={})


def _write(files: Mapping[str, bytes], item: Item, ledger: Ledger) -> None:
    """All files of a job, side-cars first, as `Result.save` does; that of an earlier picture does not outlive it."""
    paths = [each for path in map(Path, item.paths) for each in (sidecar_path(path), path)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    made = {path: files[name] for path in paths if (name := ledger.relative(path)) in files}
    ledger.foretell(made)
    atomic_write_all(made, force=item.ours, inputs=item.inputs)
    for path in paths:
        if path not in made and path.is_file() and os.path.realpath(path) in ledger.written():
            path.unlink()
