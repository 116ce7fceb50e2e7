"""Which steps, guidance and scheduler a model should have as its defaults: the scorer says, for a grid of settings.

    python benchmarks/defaults.py --model emoji                                          about half an hour of two cores
    python benchmarks/defaults.py --scheduler own --steps 15 --steps 20 --guidance 2 --limit 40

Every name that the model claims is made twice with each setting, from the same seeds. first: the share (%) whose own
caption the scorer ranks first among those of all emoji; alignment: the mean cosine of picture and caption; spread: how
much two pictures of one thing differ, in 8-bit steps a pixel, which guidance takes away; rows: of the denoiser, for one
picture. The best is, among all that come within a point of the most ranked first, the one with the fewest rows, then
the best aligned. The judge of `reach.py` has no part in this.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_tricks import Model, Recipe, load_model, making
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.generate.shown import shown
from verdicts import every_caption

OWN = "own"  # the model's own scheduler
SCHEDULERS, STEPS, GUIDANCE = (OWN, "dpm++2m"), (20, 30), (1.5, 2.0, 3.0, 4.5)
WITHIN = 1.0  # points of the best that count as just as good


@dataclass(frozen=True)
class Found:
    """One setting and what came of it."""

    scheduler: str
    steps: int
    guidance: float
    first: float
    alignment: float
    spread: float
    rows: int


def tried(model: Model, scorer: Scorer, setting: tuple[str, int, float], limit: int | None, seed: int) -> Found:
    """One setting, measured."""
    scheduler, steps, guidance = setting
    prompts = [thing.prompt for thing in every_caption() if thing.main][:limit]
    recipe = Recipe(
        prompt=prompts, count=len(prompts), steps=steps, guidance=guidance, seed=seed,
        scheduler=None if scheduler == OWN else scheduler,
    )  # fmt: skip
    results, again = (list(making(recipe.model_copy(update={"seed": seed + i * len(prompts)}), model)) for i in (0, 1))
    scores = [scorer.score(shown(result.recipe, result.image)) for result in (*results, *again)]
    spread = [difference(one.image, other.image) for one, other in zip(results, again, strict=True)]
    return Found(
        scheduler, steps, guidance,
        first=100 * float(np.mean([score.views[0].rank == 1 for score in scores])),
        alignment=float(np.mean([score.alignment for score in scores])),
        spread=float(np.mean(spread)), rows=results[0].facts["rows_total"],
    )  # fmt: skip


def difference(one: Any, other: Any) -> float:
    """The mean difference of two pictures' pixels, in 8-bit steps."""
    return float(np.abs(np.asarray(one, dtype=np.float32) - np.asarray(other, dtype=np.float32)).mean())


def best(found: Sequence[Found]) -> Found:
    """Of those about as good as the best, the cheapest; of equally cheap ones, the best aligned."""
    top = max(one.first for one in found)
    return min((one for one in found if one.first >= top - WITHIN), key=lambda one: (one.rows, -one.alignment))


def line(one: Found) -> str:
    """A row of the table."""
    setting = f"{one.scheduler:10} {one.steps:5} {one.guidance:8g}"
    return f"{setting} {one.first:7.1f} {one.alignment:9.3f} {one.spread:6.1f} {one.rows:4}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="emoji", help="a known name or a directory")
    parser.add_argument("--scorer", help="a CLIP; default: the one inside")
    parser.add_argument("--scheduler", action="append", help=f"may be given several times; {OWN}: the model's own")
    parser.add_argument("--steps", action="append", type=int)
    parser.add_argument("--guidance", action="append", type=float)
    parser.add_argument("--limit", type=int, help="only the first so many captions, for a quick look")
    parser.add_argument("--seed", type=int, default=5000)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    grid = itertools.product(given.scheduler or SCHEDULERS, given.steps or STEPS, given.guidance or GUIDANCE)
    model, scorer, found = load_model(given.model), Scorer(given.scorer), list[Found]()
    print(f"{'scheduler':10} {'steps':>5} {'guidance':>8} {'first':>7} {'alignment':>9} {'spread':>6} {'rows':>4}")
    for setting in grid:
        found.append(tried(model, scorer, setting, given.limit, given.seed))
        print(line(found[-1]), flush=True)
    print(f"best:\n{line(best(found))}")
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
