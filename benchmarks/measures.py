"""The rows of the reach table: what is measured, and beside it what was aimed at.

Of several candidates the scorer chooses, and the judge, which had no part in it, gives the verdict.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judge as judging
from diffusion_tricks import Model, Recipe, making
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.generate.shown import shown
from diffusion_tricks.recipes.recipe import TrickEntry
from verdicts import Asked, every_caption, pairs, places, share

BEST_OF = 8
FIRST = 5  # places that count as recognised, where one is not asked for
FEW_STEPS = {20: 1.0, 8: 5.0}  # and how many points may be lost
SMALL_PARENT = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""  # a process begins with the peak of the one that starts it, which therefore has to be small
TURNED = [("identity", "a rabbit"), ("rotate_cw", "a duck")]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One measure. value, goal: in `unit`; most: whether the goal is the most that it may be, else it is the least."""

    name: str
    value: float
    goal: float
    unit: str = "%"
    most: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.goal if self.most else self.value >= self.goal


@dataclass
class Bench:
    """All that a measurement needs. scorer: None where nothing is chosen. limit: of captions and pairs; None is all.

    sigma: the blur that the far things of hybrids are seen through, in pixels of 64; None is the trick's own.
    """

    model: Model
    judge: judging.Judge
    names: list[str]
    scorer: Scorer | None
    recipe: Recipe  # seed, steps, guidance, scheduler
    limit: int | None = None
    tell: Tell = field(default=lambda text: print(text, file=sys.stderr, flush=True))
    sigma: float | None = None

    def make(self, **changes: Any) -> list[Result]:
        """Pictures; the scorer chooses where there are candidates."""
        recipe = Recipe.model_validate(self.recipe.model_dump() | changes)
        return list(making(recipe, self.model, scorer=self.scorer if recipe.best_of > 1 else None))

    def places(self, images: Sequence[Any], wanted: Sequence[str]) -> Any:
        """The judge's verdicts (n), 0 the first."""
        return places(self.judge, self.names, images, wanted)


def captions(bench: Bench) -> tuple[list[Row], dict[str, Any]]:
    """Every caption once with the default settings, and once in few steps."""
    things = every_caption()[: bench.limit]
    steps = bench.recipe.steps or bench.model.defaults.steps
    usual, by_name = _recognised(bench, things, steps)
    note = f"{len(things)} captions, {steps} steps, 95 % within"
    rows = [
        Row(name, usual[k], goal, note=f"{note} {interval(usual[k] / 100, len(things))}")
        for name, k, goal in (("captions: own ranked first", 1, 90), ("captions: own in the first five", FIRST, 97))
    ]
    rows += [
        Row("things known", len({thing.name for thing in things}), 300, ""),
        Row("names claimed", len(things), 400, ""),
    ]
    rows += [_fewer(bench, things, usual, steps, fewer, goal) for fewer, goal in FEW_STEPS.items()]
    return rows, {"places": by_name}


def _fewer(bench: Bench, things: Sequence[Asked], usual: dict[int, float], steps: int, fewer: int, goal: float) -> Row:
    """What is lost in fewer steps."""
    few = usual if steps == fewer else _recognised(bench, things, fewer)[0]
    lost = max(usual[k] - few[k] for k in usual)
    shares = f"first {few[1]:.1f} %, in the first five {few[FIRST]:.1f} %"
    return Row(f"the same at {fewer} steps, loses", max(0.0, lost), goal, "points", most=True, note=shares)


def interval(share: float, count: int) -> str:
    """Wilson's 95 % interval of a share (0..1) of so many, in percent."""
    z = 1.96
    middle, half = share + z**2 / (2 * count), z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = (100 * (middle + side * half) / (1 + z**2 / count) for side in (-1, 1))
    return f"{low:.1f}-{high:.1f} %"


def _recognised(bench: Bench, things: Sequence[Asked], steps: int) -> tuple[dict[int, float], dict[str, int]]:
    """Shares (%) by how many places count, and every prompt's place from 1."""
    bench.tell(f"{len(things)} captions in {steps} steps ...")
    prompts = [thing.prompt for thing in things]
    results = bench.make(prompt=prompts, count=len(prompts), steps=steps)
    found = bench.places([result.image for result in results], [thing.name for thing in things])
    by_name = {prompt: place + 1 for prompt, place in zip(prompts, found.tolist(), strict=True)}
    return {k: 100 * share(found, k) for k in (1, FIRST)}, by_name


@dataclass(frozen=True)
class Illusion:
    """The best picture of a pair, and the judge's place, from 1, of what each view should show."""

    result: Result
    views: list[tuple[Asked, Any, int]]  # what was asked, what is seen, its place

    @property
    def met(self) -> bool:
        return all(place <= FIRST for _, _, place in self.views)

    def data(self) -> dict[str, Any]:
        return {"seed": self.result.seed} | {asked.name: place for asked, _, place in self.views}


def anagrams(bench: Bench) -> tuple[list[Row], list[Illusion]]:
    """The listed pairs; with a limit, as many of each view."""
    made = []
    for view in ("flip", "rotate_cw"):
        for pair in pairs(view)[: bench.limit]:
            entry = TrickEntry(trick="anagram", views=[("identity", pair[0].prompt), (view, pair[1].prompt)])
            made.append(_illusion(bench, entry, pair, len(made)))
    return [_share_of(f"anagrams: both views, best of {BEST_OF}", made, 60)], made


def hybrids(bench: Bench) -> tuple[list[Row], list[Illusion]]:
    """The listed pairs, the near thing as an ink drawing, the far one judged as the trick's own blur leaves it."""
    made = []
    sigma = {} if bench.sigma is None else {"sigma": bench.sigma}
    for far, near in pairs("hybrid")[: bench.limit]:
        entry = TrickEntry(trick="hybrid", far=far.prompt, near=f"an ink drawing of {near.prompt}", **sigma)
        made.append(_illusion(bench, entry, (far, near), len(made)))
    blur = "" if bench.sigma is None else f", sigma {bench.sigma:g}"
    return [_share_of(f"hybrids: far and near, best of {BEST_OF}{blur}", made, 50)], made


def _illusion(bench: Bench, entry: TrickEntry, pair: tuple[Asked, Asked], number: int) -> Illusion:
    """One pair, with seeds of its own."""
    seed = (bench.recipe.seed or 0) + BEST_OF * number
    result = bench.make(tricks=[entry], best_of=BEST_OF, seed=seed)[0]
    views = shown(result.recipe, result.image)
    found = bench.places([view.picture for view in views], [thing.name for thing in pair]).tolist()
    made = Illusion(result, [(a, v.picture, p + 1) for a, v, p in zip(pair, views, found, strict=True)])
    bench.tell(f"{entry.trick} {number}: {pair[0].prompt} ({found[0] + 1}), {pair[1].prompt} ({found[1] + 1})")
    return made


def _share_of(name: str, made: Sequence[Illusion], goal: float) -> Row:
    met = sum(one.met for one in made)
    one_view = sum(place <= FIRST for one in made for _, _, place in one.views)
    note = f"{met} of {len(made)}; {one_view} of {2 * len(made)} views"
    return Row(name, 100 * met / len(made), goal, note=note)


def speed(bench: Bench, model_name: str, repeats: int) -> list[Row]:
    """A two-view anagram with the model loaded, and from the shell."""
    bench.tell("the clock runs ...")
    entry = TrickEntry(trick="anagram", views=TURNED)
    warm = [_seconds(lambda: bench.make(tricks=[entry])) for _ in range(repeats + 1)][1:]
    cold = list(_cold_starts(model_name, max(1, repeats // 2)))
    seconds, memory = (statistics.median(column) for column in zip(*cold, strict=True))
    note = f"median of {repeats}, {os.cpu_count()} cores"
    return [
        Row("anagram, model loaded", statistics.median(warm), 3, "s", most=True, note=note),
        Row("anagram from the shell, cold start", seconds, 12, "s", most=True, note=f"median of {len(cold)}"),
        Row("peak memory of that", memory, 1500, "MB", most=True),
    ]


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _cold_starts(model_name: str, repeats: int) -> Iterator[tuple[float, float]]:
    """Seconds and peak memory (MB) of processes that each make one anagram."""
    views = [word for view in TURNED for word in ("--view", *view)]
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats):
            out = str(Path(folder) / f"{i}.png")
            words = [sys.executable, "-m", "diffusion_tricks_cli", "anagram", "-m", model_name, "-o", out, *views]
            began = time.perf_counter()
            process = subprocess.run([sys.executable, "-c", SMALL_PARENT, *words], capture_output=True, text=True)
            seconds = time.perf_counter() - began
            if process.returncode:
                raise SystemExit(f"the anagram from the shell failed: {process.stderr}")
            yield seconds, int(process.stdout) / (1e6 if sys.platform == "darwin" else 1e3)
