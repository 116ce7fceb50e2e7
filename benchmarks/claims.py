"""Which names a model of emoji has learnt, as the scorer inside ranks its pictures, and how speckled they are.

    python benchmarks/claims.py emoji ~/.diffusion-tricks/relay/training --things 140 --drawings drawings.npz

One picture of every name of the first `--things` things of `training/things.txt`, ranked among the captions that the
scorer knows, which are those of all 1,593 emoji, but for other names of the same thing: the share that come first, and
in the first five, of the first `--taught` things and of the others.  `--seed` may be given several times: a name is
kept by `--names` where it is among the first five with every seed, which is how the captions are chosen that a model
claims to know.  With `--drawings`, also speckle in flat areas over that of the things' own drawings, as in `reach.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import looks
import qualities
from diffusion_tricks import Model, Recipe, load_model, making
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.training.data.captions import with_article
from diffusion_tricks.training.data.emoji import concepts
from diffusion_tricks.training.data.sets import THINGS

FIRST = 5  # places that count as known


@dataclass(frozen=True)
class Name:
    """A name of a thing, the thing's first name, and whether the thing is one of those that were taught before."""

    text: str
    thing: str
    taught: bool


def names(things: int | None, taught: int) -> list[Name]:
    """Every name of the first so many things."""
    listed = list(concepts(THINGS).items())[:things]
    return [Name(text, thing, place < taught)
            for place, (thing, others) in enumerate(listed) for text in (thing, *others)]  # fmt: skip


def drawn(model: Model, asked: Sequence[Name], recipe: Recipe) -> list[Image.Image]:
    """One picture of each name, on the recipe's seed and those after it."""
    prompts = [with_article(name.text) for name in asked]
    made = making(recipe.model_copy(update={"prompt": prompts, "count": len(prompts)}), model)
    return [result.image for result in made]


def places(scorer: Scorer, asked: Sequence[Name], pictures: Sequence[Image.Image]) -> Tensor:
    """The place of each picture's own caption, 0 the first, among the known captions of other things: (n)."""
    known = list(scorer.known)
    seen = scorer.pictures(pictures)
    others = seen @ scorer.texts(known).T  # (n k)
    own = (seen * scorer.texts([with_article(name.text) for name in asked])).sum(1)
    same = {name.thing: {with_article(n.text) for n in asked if n.thing == name.thing} for name in asked}
    its_own = torch.tensor([[caption in same[name.thing] for caption in known] for name in asked])
    return ((others > own[:, None]) & ~its_own).sum(1)


def speckle(asked: Sequence[Name], pictures: Sequence[Image.Image], drawings: looks.Drawn) -> tuple[float, float]:
    """The mean speckle of every thing's pictures, and of its drawings."""
    of_things = groupby(zip(asked, pictures, strict=True), key=lambda pair: pair[0].thing)
    rows = [(qualities.speckle(looks.pixels([picture for _, picture in pairs])), qualities.speckle(drawings.of(thing)))
            for thing, pairs in of_things]  # fmt: skip
    made, own = torch.tensor(rows, dtype=torch.float64).mean(0).tolist()
    return made, own


def line(title: str, found: Tensor) -> str:
    """How many of so many names come first, and in the first five."""
    if not len(found):
        return f"{title}: none"
    first, five = (float((found < place).double().mean()) for place in (1, FIRST))
    return f"{title}: {first:.0%} first, {five:.0%} in the first {FIRST}, of {len(found)}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="known names or directories")
    parser.add_argument("--things", type=int, help="default: all of the list")
    parser.add_argument("--taught", type=int, default=90, help="how many of them the first model knows")
    parser.add_argument("--drawings", type=Path, help="what `training.data.sets` writes: for speckle")
    parser.add_argument("--scorer", help="a CLIP; default: the one inside")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--size", type=int, help="256: behind its second stage")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--scheduler")
    parser.add_argument("--names", type=Path, help="a file for the names that were told with every seed")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    asked, scorer = names(given.things, given.taught), Scorer(given.scorer)
    old = torch.tensor([name.taught for name in asked])
    drawings = looks.Drawn(given.drawings) if given.drawings else None
    size = (given.size, given.size) if given.size else None
    recipe = Recipe(size=size, steps=given.steps, guidance=given.guidance, scheduler=given.scheduler)
    for which in given.models:
        model, told = load_model(which), torch.ones(len(asked), dtype=torch.bool)
        for seed in given.seed or [11]:
            pictures = drawn(model, asked, recipe.model_copy(update={"seed": seed}))
            found = places(scorer, asked, pictures)
            told &= found < FIRST
            print(f"{which}, seed {seed}\n  {line('taught before', found[old])}\n  {line('new', found[~old])}")
            if drawings:
                made, own = speckle(asked, pictures, drawings)
                print(f"  speckle {made / own:.2f} times that of the drawings ({made:.4f} over {own:.4f})", flush=True)
        kept = [name for name, sure in zip(asked, told.tolist(), strict=True) if sure]
        print(f"  told with every seed: {len(kept)} names, of {len({name.thing for name in kept})} things", flush=True)
        if given.names:
            given.names.write_text("".join(f"{name.text}\n" for name in kept), encoding="utf-8")


if __name__ == "__main__":
    main()
