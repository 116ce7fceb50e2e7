"""What comes of jobs, wherever they are worked on, as the journals of workers say it. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from diffusion_tricks.plugin import Ledger, Line
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.outcome import Failure, Outcome
from diffusion_tricks_batch.records import task_of


class Watch:
    """Groups whose jobs are waited for. ledger: whose journals beside it are read.

    groups: by number, those of which some job is still waited for.
    """

    def __init__(self, ledger: Ledger):
        self.ledger = ledger
        self.groups: dict[int, Group] = {}
        self._waiting: dict[int, set[str]] = {}
        self._number: dict[str, int] = {}

    def add(self, group: Group) -> None:
        """Waits for the jobs of a group that are to be made."""
        keys = {item.key for item in group.items if item.make}
        self.groups[group.number], self._waiting[group.number] = group, keys
        self._number |= dict.fromkeys(keys, group.number)

    def told(self, outcome: Outcome) -> bool:
        """Whether a job was waited for until now; it is no more."""
        number = self._number.pop(outcome.key, None)
        if number is None:
            return False
        self._waiting[number].discard(outcome.key)
        if not self._waiting[number]:
            del self._waiting[number], self.groups[number]
        return True

    def news(self) -> Iterator[Outcome]:
        """The outcomes that workers have noted since it was last asked, of jobs that are waited for."""
        told = [outcome_of(line, journal.path.stem) for journal, line in self.ledger.look()]
        yield from (outcome for outcome in told if outcome is not None and self.told(outcome))

    def known(self) -> Iterator[Outcome]:
        """The outcomes of jobs that others have done between the making of the list and now."""
        for item in [item for group in self.left() for item in group.items if item.make]:
            line = self.ledger.last(item.key)
            if "done" in line and self.ledger.verdict(task_of(item), force=True).kept:
                outcome = Outcome(item.key, "", line)
                self.told(outcome)
                yield outcome

    def left(self) -> list[Group]:
        """The groups with what is left of them."""
        return [self.narrowed(number) for number in self.groups]

    def narrowed(self, number: int) -> Group:
        """A group with what is left of it; the rest is there for the others of its batch."""
        group, left = self.groups[number], self._waiting[number]
        return replace(group, items=tuple(replace(item, make=item.key in left) for item in group.items))


def outcome_of(line: Line, worker: str) -> Outcome | None:
    """What a line of a ledger says of a job, None where it says of none that it has ended."""
    if "done" in line:
        return Outcome(line["done"], worker, line, None, line.get("seconds", 0.0))
    if "failed" in line:
        return Outcome(line["failed"], worker, line, Failure(line["kind"], line["message"]))
    return None
