"""What choosing is worth: a random candidate, the one aligned best, the one of the largest `sep_min`, and the ceiling.

    python benchmarks/selection.py --judge judge.pt                        the 50 pairs, four candidates each
    python benchmarks/selection.py --judge judge.pt --limit 5 --json selection.json

Every pair of `reach_pairs.toml` is made as an anagram from so many seeds; the scorer sees all of them, and the judge of
`reach.py`, which has no part in the choice, says which candidates show both things: both captions within the first five
of all emoji. random: their share. ceiling: the pairs with at least one. Intervals are the bootstrap's, over pairs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import judge as judging
from diffusion_tricks import Recipe, Scorer, load_model
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.score import shown
from diffusion_tricks.metrics import bootstrap
from diffusion_tricks.recipes.recipe import TrickEntry
from measures import FIRST, Bench
from verdicts import Asked, pairs

VIEWS = ("flip", "rotate_cw")


@dataclass(frozen=True)
class Candidate:
    """One picture: what the scorer says of it, and whether the judge sees both things, at which places from 1."""

    seed: int
    alignment: float
    sep_min: float
    places: tuple[int, ...]

    @property
    def met(self) -> bool:
        return max(self.places) <= FIRST


Pair = Sequence[Candidate]
Rule = Callable[[Pair], float]  # how much of the pair is met, 0..1


def random_pick(pair: Pair) -> float:
    """The share of candidates that are met: what a blind choice has."""
    return sum(one.met for one in pair) / len(pair)


def by_alignment(pair: Pair) -> float:
    """Whether the one aligned best is met, which is what `best_of` keeps."""
    return float(max(pair, key=lambda one: one.alignment).met)


def by_sep_min(pair: Pair) -> float:
    """Whether the one of the largest margin in its weakest view is met."""
    return float(max(pair, key=lambda one: (one.sep_min, one.alignment)).met)


def ceiling(pair: Pair) -> float:
    """Whether any is met: what no choice exceeds."""
    return float(any(one.met for one in pair))


RULES: dict[str, Rule] = {
    "random pick": random_pick, "pick by alignment": by_alignment, "pick by sep_min": by_sep_min, "ceiling": ceiling,
}  # fmt: skip


def candidates(bench: Bench, view: str, pair: tuple[Asked, Asked], seed: int, of: int) -> list[Candidate]:
    """The pictures of one pair, judged."""
    entry = TrickEntry(trick="anagram", views=[("identity", pair[0].prompt), (view, pair[1].prompt)])
    return [judged(bench, one, pair) for one in bench.make(tricks=[entry], count=of, seed=seed)]


def judged(bench: Bench, result: Result, pair: tuple[Asked, Asked]) -> Candidate:
    """What scorer and judge say of one picture."""
    views, scorer = shown(result.recipe, result.image), bench.scorer or Scorer()
    score = scorer.score(views)
    found = bench.places([view.picture for view in views], [thing.name for thing in pair])
    return Candidate(result.seed, score.alignment, score.sep_min, tuple(int(place) + 1 for place in found))


def table(made: Sequence[Pair]) -> str:
    """Every rule's share of pairs with its interval, and how far it is above the random pick."""
    blind = torch.tensor([random_pick(pair) for pair in made])
    lines = [f"{'rule':18} {'met':>6} {'95 %':>16}  {'above random':>12} {'95 %':>18}"]
    for name, rule in RULES.items():
        met = torch.tensor([rule(pair) for pair in made])
        low, high = bootstrap(met)
        under, over = bootstrap(met - blind)
        gain = float((met - blind).mean())
        shares = f"{met.mean():6.1%} {low:6.1%} to {high:6.1%}"
        lines.append(f"{name:18} {shares}  {gain:+12.1%} {under:+7.1%} to {over:+7.1%}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="the weights that `reach.py --train-judge` wrote")
    parser.add_argument("--model", default="emoji", help="a known name or a directory")
    parser.add_argument("--scorer", help="a CLIP; default: the one inside")
    parser.add_argument("--of", type=int, default=4, help="candidates of each pair")
    parser.add_argument("--limit", type=int, help="only the first so many pairs of each view")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="also write every candidate here")
    return parser.parse_args()


def opened(given: argparse.Namespace) -> Bench:
    """Model, judge and scorer."""
    judge, names = judging.load(given.judge)
    recipe = Recipe(seed=given.seed, steps=given.steps)
    return Bench(load_model(given.model), judge, names, Scorer(given.scorer), recipe, given.limit)


def main() -> None:
    given = arguments()
    bench, made = opened(given), list[list[Candidate]]()
    for view in VIEWS:
        for pair in pairs(view)[: given.limit]:
            made.append(candidates(bench, view, pair, given.seed + given.of * len(made), given.of))
            met = sum(one.met for one in made[-1])
            bench.tell(f"{view}: {pair[0].prompt}, {pair[1].prompt}: {met} of {given.of}")
    print(f"{len(made)} pairs, {given.of} candidates each, both captions within the first {FIRST}\n{table(made)}")
    if given.json:
        given.json.write_text(json.dumps([[asdict(one) for one in pair] for pair in made], indent=2) + "\n")


if __name__ == "__main__":
    main()
