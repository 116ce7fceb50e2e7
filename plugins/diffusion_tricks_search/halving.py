"""Where the budget goes: successive halving, as pure arithmetic. No torch here.

Sequential Halving, Karnin, Koren and Somekh, ICML 2013: in every round each arm that is left is tried equally often,
and the better half goes on; all rounds cost about the same. An arm is a pair seen through a view, and as one good
picture is what is looked for, an arm is worth its best picture, not its mean.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

ROUNDS = 2  # for which a budget must last, if all arms are to begin
FEWER = 3  # for which it lasts where only some can
A = TypeVar("A", bound=Hashable)


@dataclass(frozen=True)
class Round:
    """How many arms are tried in a round, and how many new pictures of each are made."""

    arms: int
    each: int

    @property
    def pictures(self) -> int:
        """Of all arms."""
        return self.arms * self.each


def timetable(arms: int, budget: int, seeds: int) -> list[Round]:
    """The rounds of a search of so many arms; together they make `budget` pictures at most, and `seeds` of an arm.

    Where the budget reaches for all pictures there are, one round makes them. Where it does not last for `ROUNDS`, as
    many arms begin as it lasts `FEWER` rounds for. All are at least 1.
    """
    if arms * seeds <= budget:
        return [Round(arms, seeds)]
    if budget < ROUNDS * arms:
        arms = max(1, min(arms, budget // FEWER))
    rounds = max(1, min(math.ceil(math.log2(arms)), budget // arms))
    made: list[Round] = []
    left, unused = budget, seeds
    for still in range(rounds, 0, -1):
        each = min(max(1, left // still // arms), left // arms, unused)
        if each == 0:
            break
        made.append(Round(arms, each))
        left, unused, arms = left - arms * each, unused - each, math.ceil(arms / 2)
    return made


def beginning(arms: Sequence[A], count: int, shuffle: int) -> list[A]:
    """So many of the arms, in their order; drawn by the seed `shuffle` where that is not all of them."""
    chosen = sorted(random.Random(shuffle).sample(range(len(arms)), count))
    return [arms[i] for i in chosen]


def better(arms: Sequence[A], worth: Mapping[A, float], count: int) -> list[A]:
    """The `count` arms of most worth, in their order; of those that are equal, the earlier ones."""
    best = set(sorted(arms, key=lambda arm: -worth[arm])[:count])
    return [arm for arm in arms if arm in best]


def chosen(tried: Sequence[A], of: Callable[[A], Hashable], worth: Callable[[A], float], count: int) -> list[A]:
    """The `count` best that were tried, the best first: one of each pair, and further ones where that is too few.

    of: tells what pair it is.
    """
    ranked = sorted(tried, key=lambda one: -worth(one))
    first: dict[Hashable, A] = {}
    for one in ranked:
        first.setdefault(of(one), one)
    firsts = list(first.values())[:count]
    further = [one for one in ranked if one not in firsts][: count - len(firsts)]
    return sorted([*firsts, *further], key=lambda one: -worth(one))
