"""Groups that wait until a worker pulls them, where any worker may be lost at any time. No torch here.

What a lost worker held goes back to the front. Which group it was that killed it cannot be seen from outside: each that
it held is under suspicion from then on, and shares a worker with no other until it is done.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from diffusion_tricks_batch.groups import Group, Item

AHEAD = 3  # groups of one worker: one is finished while the next is denoised, and one more waits meanwhile


@dataclass
class Held:
    """A group that a worker has. left: its jobs whose outcomes are still to come, by key. begun: is known to be."""

    group: Group
    left: dict[str, Item]
    begun: bool = False

    def again(self) -> Group:
        """The same batch, of which only what is left is to be made; a file of that may have been written by now."""
        left = [
            replace(item, make=item.key in self.left, ours=item.ours or item.key in self.left)
            for item in self.group.items
        ]
        return replace(self.group, items=tuple(left))


class Pull:
    """Groups, by whom they are held, and how often that was lost. Each group has a number of its own.

    most: workers that may die of a group, until it is given up.
    """

    def __init__(self, most: int):
        self.most = most
        self.waiting = deque[Group]()
        self._held: dict[str, dict[int, Held]] = {}
        self._deaths = Counter[int]()

    @property
    def open(self) -> int:
        """Groups that are not done."""
        return len(self.waiting) + sum(map(len, self._held.values()))

    def put(self, group: Group) -> None:
        """Behind the others."""
        self.waiting.append(group)

    def take(self, worker: str, workers: int) -> Group | None:
        """The next group for a worker, from now on held by it; None where it has enough.

        workers: that pull. The last groups go to whoever has none, so that nobody waits for a slow one.
        """
        held = self._held.get(worker, {})
        ahead = AHEAD if len(self.waiting) > workers else 1
        if len(held) >= ahead or any(self._deaths[number] for number in held):
            return None
        group = next((one for one in self.waiting if not (held and self._deaths[one.number])), None)
        if group is not None:
            self.waiting.remove(group)
            left = {item.key: item for item in group.items if item.make}
            self._held.setdefault(worker, {})[group.number] = Held(group, left)
        return group

    def has(self, worker: str) -> bool:
        """Whether a worker holds anything."""
        return bool(self._held.get(worker))

    def settle(self, worker: str, key: str) -> Item | None:
        """The job that an outcome is of, done with now; None where it does not count, as somebody else has the job."""
        held = self._held.get(worker, {})
        one = next((one for one in held.values() if key in one.left), None)
        if one is None:
            return None
        item = one.left.pop(key)
        if not one.left:
            del held[one.group.number]
        return item

    def spare(self) -> list[tuple[str, int]]:
        """Groups, as worker and number, that may not be begun, as others of their worker come first; the last first."""
        behind = [(worker, one) for worker, held in self._held.items() for one in list(held.values())[:0:-1]]
        return [(worker, one.group.number) for worker, one in behind if not one.begun]

    def back(self, worker: str, number: int, *, begun: bool) -> None:
        """A spare group was asked for: it is begun, or else waits again, before all others."""
        if begun:
            self._held[worker][number].begun = True
        else:
            self.waiting.appendleft(self._held[worker].pop(number).group)

    def lose(self, worker: str) -> list[Group]:
        """Takes all from a worker that is lost; gives those groups that were lost too often, and are given up."""
        lost = [held.again() for held in self._held.pop(worker, {}).values()]
        self._deaths.update(group.number for group in lost)
        given_up = [group for group in lost if self._deaths[group.number] >= self.most]
        self.waiting.extendleft(reversed([group for group in lost if group not in given_up]))
        return given_up
