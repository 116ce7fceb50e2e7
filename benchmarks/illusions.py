"""What the ways to combine views are worth, beside a plain re-implementation of the paper's sampler on the same model.

    python benchmarks/illusions.py --judge judge.pt                        the 50 pairs, one seed each
    python benchmarks/illusions.py --judge judge.pt --limit 2 --of 2

plain mean, plain alternate: `peers.py`, written after Visual Anagrams, one picture at a time; where views take turns it
asks for all of them, as the paper's code does. mean, alternate: the same of ours. balanced: `--balance score`.
rectified: `--balance variance`. All draw the first stage from the same seeds.

success: pictures in which the judge of `reach.py` finds both captions within the first five of all emoji. one: in which
it finds one alone, the concept that dominates. alignment, concealment, sep_min: the scorer's, which steered what is
balanced as well: believe the judge. Gains are over the plain mean. Times are medians, ratios those of the same picture.
Intervals are the bootstrap's, over pairs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

import peers
from anagrams import Judged, Pair, chosen_pairs, entry, judged, opened, parser, said, write
from diffusion_tricks import Scorer
from diffusion_tricks.generate.shown import shown_through
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.metrics import bootstrap
from measures import FIRST, Bench

MEASURES = ("success", "one", "alignment", "concealment", "sep_min")
OURS: dict[str, dict[str, Any]] = {
    "mean": {}, "alternate": {"reduction": "alternate"}, "balanced": {"balance": "score"},
    "rectified": {"balance": "variance"},
}  # fmt: skip
PLAIN = {"plain mean": False, "plain alternate": True}
FIRST_WAY = "plain mean"  # what all others are compared with
MAPS: dict[str, tuple[peers.Map, peers.Map]] = {
    "identity": (lambda x: x, lambda x: x),
    "flip": (lambda x: x.flip(-2), lambda x: x.flip(-2)),
    "rotate_cw": (lambda x: x.rot90(-1, (-2, -1)), lambda x: x.rot90(1, (-2, -1))),
}
Way = Callable[[int], Image]  # a seed to a picture


def plain(bench: Bench, view: str, pair: Pair, alternate: bool, seed: int) -> Image:
    """The paper's sampler's picture."""
    texts = peers.embeddings(bench.model.pipe, [thing.prompt for thing in pair])
    scale, steps = bench.model.defaults.guidance, bench.recipe.steps or bench.model.defaults.steps
    views = [MAPS["identity"], MAPS[view]]
    x = peers.anagram(bench.model.pipe, texts, views, scale=scale, steps=steps, seed=seed, alternate=alternate)
    return to_images(x)[0]


def ours(bench: Bench, view: str, pair: Pair, options: dict[str, Any], seed: int) -> Image:
    """Our picture."""
    return bench.make(tricks=[entry(view, pair, **options)], seed=seed)[0].image


def ways(bench: Bench, view: str, pair: Pair) -> dict[str, Way]:
    """All ways to make a pair."""
    theirs = {name: partial(plain, bench, view, pair, alternate) for name, alternate in PLAIN.items()}
    return theirs | {name: partial(ours, bench, view, pair, options) for name, options in OURS.items()}


def timed(way: Way, seed: int) -> tuple[Image, float]:
    """A picture, and the seconds it took."""
    began = time.perf_counter()
    return way(seed), time.perf_counter() - began


def means(made: Sequence[Sequence[Judged]], measure: str) -> Tensor:
    """A measure's mean over each pair's pictures (n)."""
    return torch.tensor([[getattr(one, measure) for one in pair] for pair in made], dtype=torch.float64).mean(1)


def table(made: Mapping[str, Sequence[Sequence[Judged]]]) -> str:
    """Every measure of every way with its interval, and the gain over the plain mean with its own."""
    lines = [f"{'way':15} {'measure':12} {'mean':>7} {'95 %':>16} {'gain':>8} {'95 %':>19}"]
    for name, pairs_made in made.items():
        for measure in MEASURES:
            own = means(pairs_made, measure)
            gain = own - means(made[FIRST_WAY], measure)
            (low, high), (under, over) = bootstrap(own), bootstrap(gain)
            line = f"{name:15} {measure:12} {float(own.mean()):7.3f} {low:7.3f} to {high:5.3f}"
            lines.append(f"{line} {float(gain.mean()):+8.3f} {under:+8.3f} to {over:+7.3f}")
    return "\n".join(lines)


def times(seconds: Mapping[str, Sequence[float]]) -> str:
    """Every way's median seconds for a picture, and the median ratio over the plain mean of the same picture."""
    lines = [f"{'way':15} {'seconds':>8} {'ratio':>6}"]
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, seconds[FIRST_WAY], strict=True))
        lines.append(f"{name:15} {statistics.median(own):8.2f} {ratio:6.2f}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__, of=1, seed=5000)
    options.add_argument("--scorer", help="a CLIP that measures; default: the one inside")
    return options.parse_args()


def main() -> None:
    given = arguments()
    bench, scorer = opened(given, first_stage=True), Scorer(given.scorer)
    names = [*PLAIN, *OURS]
    made, seconds = {name: list[list[Judged]]() for name in names}, {name: list[float]() for name in names}
    for number, (view, pair) in enumerate(chosen_pairs(given)):
        for name, way in ways(bench, view, pair).items():
            rows = list[Judged]()
            for seed in range(given.seed + given.of * number, given.seed + given.of * (number + 1)):
                image, took = timed(way, seed)
                seconds[name].append(took)
                rows.append(judged(bench, scorer, shown_through(said(view, pair), image), pair, seed))
            made[name].append(rows)
        met = ", ".join(f"{name} {sum(one.success for one in rows[-1]):.0f}" for name, rows in made.items())
        bench.tell(f"{view}: {pair[0].prompt}, {pair[1].prompt}: {met} of {given.of}")
    print(f"{len(made[FIRST_WAY])} pairs, {given.of} seeds each, both captions within the first {FIRST}")
    print(f"{times(seconds)}\n{table(made)}")
    write(given.json, made)


if __name__ == "__main__":
    main()
