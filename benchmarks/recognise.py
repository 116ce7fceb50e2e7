"""Do the model's pictures show what was asked for? An independent judge says, which knows all 1,593 emoji.

    python benchmarks/recognise.py --train 15 --judge judge.pt                       once: about 15 minutes of one core
    python benchmarks/recognise.py --judge judge.pt --model emoji --samples 4 --json recognised.json

Each concept that the model claims is made `--samples` times with the model's own defaults. The judge ranks all captions
for every picture: top-1 is the share that gets its own caption first, top-5 the share that has it in the first five.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import judge as judging
from diffusion_tricks import Model, Recipe, load_model, making
from diffusion_tricks.pixels import to_tensor
from diffusion_tricks.training.emoji import concepts, with_article


def ranks(judge: judging.Judge, names: Sequence[str], images: Sequence[Image.Image], wanted: Sequence[str]) -> Tensor:
    """The place of each picture's own caption among all, 0 the first: (n)."""
    pixels = torch.cat([to_tensor(image) for image in images]) / 2 + 0.5  # (n 3 h w) in 0..1
    opaque = torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1)
    with torch.no_grad():
        logits = judge(judging.seen(opaque, torch.ones(1, 3, 1, 1)))
    own = logits.gather(1, torch.tensor([[names.index(name)] for name in wanted]))
    places: Tensor = (logits > own).sum(1)
    return places


def pictures(model: Model, wanted: Sequence[str], recipe: Recipe) -> list[Image.Image]:
    """One picture for each name, seeds counting up."""
    prompts = [with_article(name) for name in wanted]
    results = making(recipe.model_copy(update={"prompt": prompts, "count": len(prompts)}), model)
    return [result.image for result in results]


def report(wanted: Sequence[str], places: Tensor) -> dict[str, Any]:
    """Shares over all pictures, and for each concept the places its pictures took, counted from 1."""
    by_name: dict[str, list[int]] = {}
    for name, place in zip(wanted, places.tolist(), strict=True):
        by_name.setdefault(name, []).append(place + 1)
    shares = {f"top{k}": float((places < k).float().mean()) for k in (1, 5)}
    return {"concepts": len(by_name), "pictures": len(wanted), **shares, "places": by_name}


def table(found: dict[str, Any]) -> str:
    """The report to read, the worst concepts last."""
    rows = sorted(found["places"].items(), key=lambda row: sum(min(place, 50) for place in row[1]))
    lines = [f"{name:32} {' '.join(map(str, places))}" for name, places in rows]
    total = "{concepts} concepts, {pictures} pictures: top-1 {top1:.1%}, top-5 {top5:.1%}".format_map(found)
    return "\n".join([*lines, total])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="the judge's weights, read or written")
    parser.add_argument("--train", type=float, metavar="MINUTES", help="train the judge, and do nothing else")
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--scheduler")
    parser.add_argument("--samples", type=int, default=2, help="pictures for each concept")
    parser.add_argument("--limit", type=int, help="only the first so many concepts")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.train:
        print(f"{judging.train(given.train, given.judge):.1%} of the originals are recognised")
        return
    judge, names = judging.load(given.judge)
    recipe = Recipe(seed=given.seed, steps=given.steps, guidance=given.guidance, scheduler=given.scheduler)
    wanted = [name for name in list(concepts())[: given.limit] for _ in range(given.samples)]
    images = pictures(load_model(given.model), wanted, recipe)
    found = report(wanted, ranks(judge, names, images, wanted))
    print(table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
