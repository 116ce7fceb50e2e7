"""A worker that writes a few bytes where the real one denoises, and jobs for it. No torch here."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from diffusion_tricks.plugin import Ledger
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.engines.shards import Shards
from diffusion_tricks_batch.groups import Group, Item
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Failure, Outcome
from diffusion_tricks_batch.records import Records, Run, task_of


def groups_of(home: Path, count: int, jobs: int = 2) -> list[Group]:
    """So many groups of a few jobs each, called by their numbers."""
    keys = [[f"{number}-{nth}" for nth in range(jobs)] for number in range(count)]
    return [Group(n, tuple(item_of(home, key) for key in own)) for n, own in enumerate(keys)]


def item_of(home: Path, key: str) -> Item:
    return Item(key, {}, f"asked {key}", {}, (str(home / f"{key}.png"),))


def records_of(home: Path) -> Records:
    records = Records(home)
    records.begin(Run(1, 8))
    return records


def nothing(item: Item) -> None:
    """What jobs do by default."""


@dataclass
class Faked:
    """As `Worker`. doing: what each job does, which may take its time, end the process, or raise."""

    how: How
    ledger: Ledger
    name: str
    holds: Callable[[int], bool]
    doing: Callable[[Item], None] = nothing

    def outcomes(self, groups: Iterable[Group]) -> Iterator[Outcome]:
        for group in groups:
            items = [item for item in group.items if item.make]
            self.ledger.begin(*map(task_of, items))
            for item in items:
                yield from self._outcome(group, item)

    def _outcome(self, group: Group, item: Item) -> Iterator[Outcome]:
        task = task_of(item)
        try:
            self.doing(item)
        except ValueError as error:
            failure = Failure("ValueError", str(error))
            yield Outcome(item.key, self.name, self.ledger.failed(task, failure.data()), failure)
            return
        if self.holds(group.number):
            path = Path(item.paths[0])
            assert item.ours or not path.exists()
            path.write_bytes(item.key.encode())
            yield Outcome(item.key, self.name, self.ledger.done(task, facts=[]), None, 0.0)


def use_faked(monkeypatch: pytest.MonkeyPatch, doing: Callable[[Item], None] = nothing) -> None:
    """Lets engines begin with such workers."""

    def made(*args: object) -> Faked:
        return Faked(*args, doing=doing)  # type: ignore[arg-type]

    monkeypatch.setitem(sys.modules, "diffusion_tricks_batch.work", SimpleNamespace(Worker=made))


def shard(home: Path, nth: int, of: int, groups: list[Group], retry: int = 1) -> Iterator[Outcome]:
    """What one of several workers in this process gives."""
    records, name = Records(home), f"shard-{nth}-of-{of}"
    with records.mine(name) as ledger:
        engine = Shards(Site(How(retry=retry), records, ledger, name=name, shard=(nth, of)))
        for group in groups:
            engine.submit(group)
        yield from engine.results()


def in_process(work: Callable[[], object]) -> int:
    """Begins some work in a process of its own; gives its number."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def code_of(child: int) -> int:
    """What a process ends with."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def lines(home: Path, state: str) -> list[tuple[str, str]]:
    """Worker and job of every line of the ledger that says so, in the order of their times."""
    found = [
        (line["at"], journal.path.stem, line[state])
        for journal in Records(home).journals()
        for line in journal.of(state)
    ]
    return [(worker, key) for _, worker, key in sorted(found)]


def pause(seconds: float) -> Callable[[Item], None]:
    return lambda item: time.sleep(seconds)
