"""Groups are pulled: whoever dies, nothing is lost, nothing counts twice, and nobody waits for a slow one."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_tricks_batch.engines.pull import AHEAD, Pull
from diffusion_tricks_batch.groups import Group, Item


def group(number: int, size: int = 1, kept: Sequence[int] = ()) -> Group:
    """A group whose jobs are to be made, but for those kept."""
    items = [Item(f"{number}.{k}", {}, "", {}, (f"{number}.{k}.png",), make=k not in kept) for k in range(size)]
    return Group(number, tuple(items))


def keys(*groups: Group) -> list[str]:
    return [item.key for one in groups for item in one.items if item.make]


MOST = 3  # workers that a group may end


class Play:
    """Workers, each of which works through its groups in order, and dies of a killer; what counted, and what failed."""

    def __init__(self, groups: Sequence[Group], workers: int, killers: frozenset[int] = frozenset()):
        self.groups, self.killers = {one.number: one for one in groups}, killers
        self.pull = Pull(MOST)
        self.names = count()
        self.held: dict[str, list[Group]] = {f"w{next(self.names)}": [] for _ in range(workers)}
        self.ghosts: list[tuple[str, str]] = []
        self.counted: list[str] = []
        self.failed: list[str] = []
        self.suspects: set[int] = set()
        self.lost = 0
        for one in groups:
            self.pull.put(one)

    def feed(self) -> None:
        for name, held in self.held.items():
            while one := self.pull.take(name, len(self.held)):
                assert [item.key for item in one.items] == [item.key for item in self.groups[one.number].items]
                held.append(one)
                assert len(held) == 1 or not self.suspects.intersection(each.number for each in held)
            assert len(held) <= AHEAD

    def step(self, name: str) -> None:
        """One job more, or the death of its worker."""
        held = self.held[name]
        if held[0].number in self.killers:
            return self.die(name)
        key = keys(held[0])[0]
        item = self.pull.settle(name, key)
        assert item is not None
        assert (item.key, self.pull.settle(name, key)) == (key, None)
        self.counted.append(key)
        held[0] = Group(held[0].number, tuple(one for one in held[0].items if one.key != key))
        if not keys(held[0]):
            held.pop(0)
        return None

    def die(self, name: str) -> None:
        """Another takes its place, by another name; what it would have told comes late."""
        self.lost += 1
        self.suspects.update(one.number for one in self.held[name])
        self.ghosts += [(name, key) for key in keys(*self.held.pop(name))]
        self.failed += keys(*self.pull.lose(name))
        self.held[f"w{next(self.names)}"] = []

    def recall(self, begun: bool) -> None:
        """What somebody has not begun waits again."""
        for name, number in self.pull.spare()[:1]:
            self.pull.back(name, number, begun=begun)
            if not begun:
                self.held[name] = [one for one in self.held[name] if one.number != number]

    def late(self, number: int) -> None:
        """An outcome of one that was lost: it does not count."""
        assert self.pull.settle(*self.ghosts[number % len(self.ghosts)]) is None


GROUPS = st.lists(st.tuples(st.integers(1, 4), st.sets(st.integers(0, 3))), min_size=1, max_size=12)


@given(shapes=GROUPS, workers=st.integers(1, 5), deaths=st.integers(0, 12), killers=st.sets(st.integers(0, 11)),
       data=st.data())  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whoever_dies_each_job_comes_out_once(
    shapes: list[tuple[int, set[int]]], workers: int, deaths: int, killers: set[int], data: st.DataObject
) -> None:
    groups = [group(n, size, sorted(kept - {0})) for n, (size, kept) in enumerate(shapes)]
    play = Play(groups, workers, frozenset(killers))
    while play.pull.open:
        play.feed()
        busy = [name for name, held in play.held.items() if held]
        assert busy, "what is open is held by somebody"
        name = data.draw(st.sampled_from(busy))
        if data.draw(st.booleans()):
            play.recall(data.draw(st.booleans()))
        if deaths and data.draw(st.integers(0, 3)) == 0:
            deaths -= 1
            play.die(name)
        else:
            play.step(name)
        if play.ghosts:
            play.late(data.draw(st.integers(0, 99)))
    assert Counter(play.counted + play.failed) == Counter(keys(*groups))
    assert set(play.counted).isdisjoint(keys(*(one for one in groups if one.number in killers)))


@given(total=st.integers(1, 15), workers=st.integers(1, 5), killers=st.sets(st.integers(0, 14), max_size=4),
       data=st.data())  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_who_kills_its_workers_fails_and_nobody_else(
    total: int, workers: int, killers: set[int], data: st.DataObject
) -> None:
    play = Play([group(n) for n in range(total)], workers, frozenset(killers))
    while play.pull.open:
        play.feed()
        play.step(data.draw(st.sampled_from([name for name, held in play.held.items() if held])))
    here = {n for n in killers if n < total}
    assert set(play.failed) == {f"{n}.0" for n in here}
    assert play.lost <= MOST * len(here)


def test_what_was_lost_goes_first_and_alone() -> None:
    pull = Pull(MOST)
    for n in range(10):
        pull.put(group(n))
    assert [pull.take("a", 2).number for _ in range(AHEAD)] == [0, 1, 2]  # type: ignore[union-attr]
    assert pull.take("a", 2) is None
    assert pull.lose("a") == []
    assert [one.number for one in pull.waiting] == list(range(10))
    assert pull.take("b", 2).number == 0  # type: ignore[union-attr]
    assert pull.take("b", 2) is None, "it has one under suspicion"
    pull.settle("b", "0.0")
    assert pull.take("b", 2).number == 1  # type: ignore[union-attr]


def test_the_rest_of_a_batch_is_made_in_the_same_batch() -> None:
    """Other batches would round otherwise; and what stands there by now, as it was written before it died, is ours."""
    pull = Pull(MOST)
    pull.put(group(0, size=3))
    pull.take("a", 1)
    pull.settle("a", "0.1")
    pull.lose("a")
    again = pull.take("b", 1)
    assert again is not None
    assert [(item.make, item.ours) for item in again.items] == [(True, True), (False, False), (True, True)]


@pytest.mark.parametrize("slow", [1, 10, 40])
def test_slow_workers_do_not_hold_up_fast_ones(slow: int) -> None:
    """Four workers, one of them slower: all is done with what it has begun when the others have no more to do."""
    seconds, groups = {"a": slow, "b": 1, "c": 1, "d": 1}, 120
    pull = Pull(MOST)
    for n in range(groups):
        pull.put(group(n))
    clock, running = 0.0, list[tuple[float, str, str]]()
    held: dict[str, list[Group]] = {name: [] for name in seconds}
    while pull.open:
        if not pull.waiting and not all(held.values()):
            for name, number in pull.spare()[:1]:
                held[name] = [one for one in held[name] if one.number != number]
                pull.back(name, number, begun=False)
        for name, mine in held.items():
            while one := pull.take(name, len(seconds)):
                mine.append(one)
                if len(mine) == 1:
                    heapq.heappush(running, (clock + seconds[name], name, one.items[0].key))
        clock, name, key = heapq.heappop(running)
        pull.settle(name, key)
        held[name].pop(0)
        if held[name]:
            heapq.heappush(running, (clock + seconds[name], name, held[name][0].items[0].key))
    best = groups / (3 + 1 / slow)
    assert clock <= best + slow


def test_only_what_is_not_begun_comes_back() -> None:
    pull = Pull(MOST)
    for n in range(5):
        pull.put(group(n))
    for _ in range(AHEAD):
        pull.take("a", 1)
    assert pull.spare() == [("a", 2), ("a", 1)]
    pull.back("a", 2, begun=True)
    assert pull.spare() == [("a", 1)]
    pull.back("a", 1, begun=False)
    assert (pull.spare(), [one.number for one in pull.waiting]) == ([], [1, 3, 4])
    assert pull.settle("a", "1.0") is None
