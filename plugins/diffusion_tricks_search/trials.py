"""Pictures that are tried: few steps, at the model's own size, scored, and forgotten but for their scores."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import UsageError
from diffusion_tricks_search.asked import Arm, Asked, budget_of, runs, seeds_of
from diffusion_tricks_search.bench import Bench, Tell, few_steps, full, recipe_for, scores_of
from diffusion_tricks_search.halving import Round, beginning, better, timetable
from diffusion_tricks_search.log import Log

BATCH = 8  # seeds that are made together, as `making` does


@dataclass(frozen=True)
class Trial:
    """A picture that was tried, and its scores by name; `views` has those of each view."""

    arm: Arm
    seed: int
    round: int
    scores: dict[str, Any]

    @property
    def key(self) -> tuple[Arm, int]:
        """What it is of."""
        return self.arm, self.seed

    def data(self) -> dict[str, Any]:
        """As plain data."""
        told = {"round": self.round, "pair": [*self.arm.pair], "view": self.arm.view}
        return told | {"seed": self.seed, **self.scores}


def trial_from(line: dict[str, Any]) -> Trial:
    """A trial from plain data."""
    told = dict(line)
    number, (first, second), view, seed = (told.pop(key) for key in ("round", "pair", "view", "seed"))
    return Trial(Arm(first, second, view), seed, number, told)


def explored(log: Log, bench: Bench, tell: Tell) -> Iterator[Trial]:
    """Tries what the budget reaches for, round by round; what the log has is not made again."""
    asked, seeds = log.asked, seeds_of(log.asked.seeds)
    table = timetable(len(asked.arms), pictures(log, bench), len(seeds))
    known = {trial.key: trial for trial in map(trial_from, log.of("round"))}
    arms, worth, used = beginning(asked.arms, table[0].arms, asked.shuffle), dict[Arm, float](), 0
    for number, this in enumerate(table, 1):
        arms = better(arms, worth, this.arms) if worth else arms
        for trial in _round(number, arms, seeds[used : used + this.each], known, log, bench):
            worth[trial.arm] = max(worth.get(trial.arm, -math.inf), float(trial.scores[asked.by]))
            tell(_progress(number, table, trial, asked.by))
            yield trial
        used += this.each


def _round(
    number: int, arms: Sequence[Arm], seeds: list[int], known: dict[tuple[Arm, int], Trial], log: Log, bench: Bench
) -> Iterator[Trial]:  # fmt: skip
    """Every arm with these seeds, a batch at a time; one that is known in part is made again as a whole."""
    for arm in arms:
        for batch in runs(seeds, BATCH):
            if any((arm, seed) not in known for seed in batch):
                made = _tried(number, arm, batch, log.asked, bench)
                log.append(trial.data() for trial in made if trial.key not in known)
                known |= {(arm, trial.seed): trial for trial in made if trial.key not in known}
            yield from (known[arm, seed] for seed in batch)


def _tried(number: int, arm: Arm, seeds: range, asked: Asked, bench: Bench) -> list[Trial]:
    recipe = recipe_for(asked, arm, seeds.start, count=len(seeds), steps=few_steps(asked, bench.model))
    made = zip(seeds, bench.results(recipe), strict=True)
    return [Trial(arm, seed, number, scores_of(result)) for seed, result in made]


def _progress(number: int, table: Sequence[Round], trial: Trial, by: str) -> str:
    arm = trial.arm
    where = f"round {number} of {len(table)}, {table[number - 1].arms} pairs and views"
    return f"{where}: {arm.first} | {arm.second}, {arm.view}, seed {trial.seed}: {by} {trial.scores[by]:.3f}"


def pictures(log: Log, bench: Bench) -> int:
    """How many pictures the budget is; a time is measured once, and what it is worth is kept in the log.

    Raises UsageError for a time that does not reach for the pictures that are kept.
    """
    count, seconds = budget_of(log.asked.budget)
    if seconds is None:
        return count or 1
    if not log.of("pictures"):
        log.append([{"pictures": _worth(seconds, log.asked, bench)}])
    return int(log.of("pictures")[0]["pictures"])


def _worth(seconds: float, asked: Asked, bench: Bench) -> int:
    arm, seed = asked.arms[0], seeds_of(asked.seeds)[0]
    began = time.perf_counter()
    few = recipe_for(asked, arm, seed, steps=few_steps(asked, bench.model))
    _, one = _timed(few, bench), _timed(few, bench)  # the first one warms up
    whole = _timed(full(asked, arm, seed, bench.model), bench) * asked.keep * (2 if asked.fid else 1)
    left = seconds - (time.perf_counter() - began) - whole
    if left < one:
        raise UsageError(
            f"the budget of {asked.budget} does not reach: here a picture takes {one:.1f} s, and the {asked.keep} that"
            f" are kept about {whole:.0f} s; raise `budget`, or lower `keep`, `size` or `final_steps`"
        )
    return int(left / one)


def _timed(recipe: Recipe, bench: Bench) -> float:
    began = time.perf_counter()
    list(bench.results(recipe))
    return time.perf_counter() - began
