"""What balance is worth: the same pairs from the same seeds, with the plain mean of the views and with each balance.

    python benchmarks/balance.py --judge judge.pt                          the 50 pairs, four seeds each
    python benchmarks/balance.py --judge judge.pt --limit 2 --of 2

success: pictures in which the judge of `reach.py` finds both captions within the first five of all emoji. one: in which
it finds one alone, the concept that dominates. alignment, concealment, sep_min: means of the scorer, which for
`balance score` also steered: believe the judge. Gains over `off` are of the same seeds;
intervals are the bootstrap's, over pairs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.score import Scorer, shown
from diffusion_tricks.metrics import bootstrap
from diffusion_tricks.recipes.recipe import TrickEntry
from measures import FIRST, Bench
from selection import VIEWS, opened
from verdicts import Asked, pairs

BALANCES = ("off", "score", "variance")
MEASURES = ("success", "one", "alignment", "concealment", "sep_min")


@dataclass(frozen=True)
class Made:
    """One picture: the judge's places from 1, and the scorer's numbers."""

    seed: int
    places: tuple[int, ...]
    alignment: float
    concealment: float
    sep_min: float

    @property
    def success(self) -> float:
        return float(max(self.places) <= FIRST)

    @property
    def one(self) -> float:
        return float(min(self.places) <= FIRST < max(self.places))


def judged(bench: Bench, result: Result, pair: tuple[Asked, Asked]) -> Made:
    """What judge and scorer say of one picture."""
    views, scorer = shown(result.recipe, result.image), bench.scorer or Scorer()
    score = scorer.score(views)
    found = bench.places([view.picture for view in views], [thing.name for thing in pair])
    places = tuple(int(place) + 1 for place in found)
    return Made(result.seed, places, score.alignment, score.concealment, score.sep_min)


def pictures(bench: Bench, view: str, pair: tuple[Asked, Asked], balance: str, seed: int, of: int) -> list[Made]:
    """One pair's pictures with one balance."""
    views = [("identity", pair[0].prompt), (view, pair[1].prompt)]
    entry = TrickEntry(trick="anagram", views=views, balance=balance)
    return [judged(bench, result, pair) for result in bench.make(tricks=[entry], count=of, seed=seed)]


def means(made: Sequence[Sequence[Made]], measure: str) -> Tensor:
    """A measure's mean over each pair's pictures (n)."""
    return torch.tensor([[getattr(one, measure) for one in pair] for pair in made], dtype=torch.float64).mean(1)


def table(made: dict[str, list[list[Made]]]) -> str:
    """Every measure of every balance, and the gain over `off` with its interval."""
    lines = [f"{'balance':9} {'measure':12} {'mean':>7} {'gain':>8} {'95 %':>19}"]
    for balance, pairs_made in made.items():
        for measure in MEASURES:
            own = means(pairs_made, measure)
            line = f"{balance:9} {measure:12} {float(own.mean()):7.3f}"
            if balance != "off":
                gain = own - means(made["off"], measure)
                low, high = bootstrap(gain)
                line += f" {float(gain.mean()):+8.3f} {low:+8.3f} to {high:+7.3f}"
            lines.append(line)
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="the weights that `reach.py --train-judge` wrote")
    parser.add_argument("--model", default="emoji", help="a known name or a directory")
    parser.add_argument("--scorer", help="a CLIP that measures; default: the one inside")
    parser.add_argument("--of", type=int, default=4, help="seeds of each pair")
    parser.add_argument("--limit", type=int, help="only the first so many pairs of each view")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=5000)
    parser.add_argument("--json", type=Path, help="also write every picture's numbers here")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    bench, made = opened(given), {balance: list[list[Made]]() for balance in BALANCES}
    for view in VIEWS:
        for pair in pairs(view)[: given.limit]:
            seed = given.seed + given.of * len(made["off"])
            for balance, rows in made.items():
                rows.append(pictures(bench, view, pair, balance, seed, given.of))
            met = ", ".join(f"{balance} {sum(one.success for one in rows[-1]):.0f}" for balance, rows in made.items())
            bench.tell(f"{view}: {pair[0].prompt}, {pair[1].prompt}: {met} of {given.of}")
    print(f"{len(made['off'])} pairs, {given.of} seeds each\n{table(made)}")
    if given.json:
        rows = {balance: [[asdict(one) for one in pair] for pair in all_pairs] for balance, all_pairs in made.items()}
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
