"""What all measurements of anagrams share: the command line, the pairs, and what scorer and judge say of a picture."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import judge as judging
from diffusion_tricks import Recipe, Scorer, TrickEntry, load_model
from diffusion_tricks.registry.trick import Shown
from diffusion_tricks.training.data.emoji import concepts
from diffusion_tricks.training.data.generated import listed, pair_of
from measures import FIRST, Bench
from verdicts import PAIRS, Asked, asked, pairs

VIEWS = ("flip", "rotate_cw")
Pair = tuple[Asked, Asked]


@dataclass(frozen=True)
class Judged:
    """One picture: the judge's places, from 1, of what its views should show, and the scorer's numbers."""

    seed: int
    places: tuple[int, ...]
    alignment: float
    concealment: float
    sep_min: float

    @property
    def success(self) -> float:
        """Whether both things are there."""
        return float(max(self.places) <= FIRST)

    @property
    def one(self) -> float:
        """Whether one alone is there, which dominates."""
        return float(min(self.places) <= FIRST < max(self.places))


def judged(bench: Bench, scorer: Scorer, views: Sequence[Shown], pair: Pair, seed: int) -> Judged:
    """What scorer and judge say of one picture."""
    score = scorer.score(views)
    found = bench.places([view.picture for view in views], [thing.name for thing in pair])
    places = tuple(int(place) + 1 for place in found)
    return Judged(seed, places, score.alignment, score.concealment, score.sep_min)


def said(view: str, pair: Pair) -> list[tuple[str, str]]:
    """The views of an anagram, and what each shows."""
    return [("identity", pair[0].prompt), (view, pair[1].prompt)]


def entry(view: str, pair: Pair, **options: Any) -> TrickEntry:
    """The trick that makes a pair."""
    return TrickEntry(trick="anagram", views=said(view, pair), **options)


def chosen_pairs(given: argparse.Namespace) -> list[tuple[str, Pair]]:
    """The 50 pairs, each with its view, or as many of each view as `--limit` says; with `--others` none of them."""
    if not given.others:
        return [(view, pair) for view in VIEWS for pair in pairs(view)[: given.limit]]
    random, names, without = np.random.default_rng(given.seed), list(concepts()), listed(PAIRS)
    drawn = [pair_of(names, without, random) for _ in range(given.others)]
    return [(VIEWS[i % len(VIEWS)], (asked(one), asked(other))) for i, (one, other) in enumerate(drawn)]


def parser(doc: str | None, of: int, seed: int) -> argparse.ArgumentParser:
    """The options that all share."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--judge", type=Path, required=True, help="the weights that `reach.py --train-judge` wrote")
    made.add_argument("--model", default="emoji", help="a known name or a directory")
    made.add_argument("--of", type=int, default=of, help="seeds of each pair")
    made.add_argument("--limit", type=int, help="only the first so many pairs of each view")
    made.add_argument("--others", type=int, metavar="N", help="so many pairs that chance draws, none of the listed")
    made.add_argument("--steps", type=int)
    made.add_argument("--seed", type=int, default=seed)
    made.add_argument("--json", type=Path, help="also write every picture's numbers here")
    return made


def opened(given: argparse.Namespace, first_stage: bool) -> Bench:
    """Model and judge. first_stage: whether the stages that enlarge are left out."""
    judge, names = judging.load(given.judge)
    model = load_model(given.model)
    if first_stage:
        model = dataclasses.replace(model, second=None)
    return Bench(model, judge, names, None, Recipe(seed=given.seed, steps=given.steps), given.limit)


def write(file: Path | None, made: Mapping[str, Sequence[Sequence[Judged]]]) -> None:
    """All numbers, by way and pair, where a file is named."""
    if file:
        rows = {name: [[dataclasses.asdict(one) for one in pair] for pair in rows] for name, rows in made.items()}
        file.write_text(json.dumps(rows, indent=2) + "\n")


def read(file: Path) -> dict[str, list[list[Judged]]]:
    """What `write` wrote."""
    rows = json.loads(file.read_text())
    return {
        name: [[Judged(**one | {"places": tuple(one["places"])}) for one in pair] for pair in pairs_made]
        for name, pairs_made in rows.items()
    }
