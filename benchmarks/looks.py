"""How pictures look beside those they were learnt from: speckle in flat areas, and how much seeds differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import judge as judging
import qualities
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.training.data.sets import Drawings
from measures import Bench, Row
from verdicts import Asked, every_caption

SEEDS = 5  # of each thing, as many as it has drawings
SIDE = 64  # pixels of the first stage, which is what is measured


def main_captions(bench: Bench) -> list[Asked]:
    """Every thing once, by its first name."""
    return [thing for thing in every_caption() if thing.main][: bench.limit]


def pixels(images: Sequence[Image.Image]) -> Tensor:
    """Pictures (n 3 64 64) in 0..1, those of a second stage made small."""
    return torch.cat([F.interpolate(to_tensor(image), size=SIDE, mode="area") for image in images]) / 2 + 0.5


class Drawn:
    """The originals of each thing, on white."""

    def __init__(self, file: Path):
        self.held = Drawings.read(file)
        self.place = {names[0]: thing for thing, names in enumerate(self.held.names)}

    def of(self, name: str) -> Tensor:
        """All drawings of a thing: (n 3 64 64) in 0..1."""
        found = self.held.pixels[self.held.things == self.place[name]].float() / 255
        small = F.interpolate(found, size=SIDE, mode="area")
        return small[:, :3] + 1 - small[:, 3:]


def looks(bench: Bench, drawings: Path) -> list[Row]:
    """Speckle and diversity of every thing's pictures, over those of its drawings."""
    drawn, made_of, drawn_of = Drawn(drawings), [], []
    for number, thing in enumerate(main_captions(bench)):
        seed = (bench.recipe.seed or 0) + SEEDS * number
        made = pixels([result.image for result in bench.make(prompt=thing.prompt, count=SEEDS, seed=seed)])
        made_of.append(figures(bench.judge, made))
        drawn_of.append(figures(bench.judge, drawn.of(thing.name)))
    made_mean, drawn_mean = (torch.tensor(rows, dtype=torch.float64).mean(0).tolist() for rows in (made_of, drawn_of))
    notes = [f"{a:.4f} over {b:.4f}, {len(made_of)} things" for a, b in zip(made_mean, drawn_mean, strict=True)]
    return [
        Row(
            "speckle in flat areas, over originals",
            made_mean[0] / drawn_mean[0],
            1.5,
            "times",
            most=True,
            note=notes[0],
        ),
        Row("diversity of seeds, over drawings", made_mean[1] / drawn_mean[1], 0.6, "times", note=notes[1]),
    ]


def figures(judge: judging.Judge, x: Tensor) -> tuple[float, float]:
    """Speckle, and diversity as the judge sees it, of pictures (n 3 h w) in 0..1 of one thing."""
    opaque = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    seen = judging.seen(opaque, torch.ones(1, 3, 1, 1))
    return qualities.speckle(x), qualities.diversity(judging.embedded(judge, seen))
