"""What is best at making 256 pixels of the first stage's 64: second stages beside plain resampling.

    python -m diffusion_tricks.training.data.sets --side 256 node_modules large.npz
    python benchmarks/second_stage.py large.npz --stage diffusion_tricks/models/emoji/upscaler --steps 1 --out sheet.png

Drawings of one set, by default the one that no stage was trained on, are made small, and three quarters of them drawn
anew by the first stage, which leaves them where they are (`training.data.drafts`).  So the drawing itself says what the
enlarged picture should be:

flat    the deviation of the colours in squares of 16 pixels that are one colour in the drawing, over that of the clean
        small drawing resampled; 1.5 is the goal.  clean is the same where clean small drawings are enlarged
error   the mean absolute difference to the drawing, in 8-bit steps
sharp   the mean step between neighbouring pixels at the drawing's edges, over the drawing's own
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import qualities
from diffusion_tricks import load_model
from diffusion_tricks.io.pixels import enlarge, to_images, to_tensor
from diffusion_tricks.training.data.captions import with_article
from diffusion_tricks.training.data.crops import shrunk
from diffusion_tricks.training.data.drafts import Drafts
from diffusion_tricks.training.data.sets import Drawings
from diffusion_tricks.training.upscale import enlarged_by, opened_upscaler

FACTOR = 4
SQUARE = 16  # pixels of the large picture
ONE_COLOUR = 0.02  # the widest range of a channel, of -1..1
EDGE = 0.25  # of -1..1: a step that counts as one
AT_ONCE = 8
SHOWN = 6  # rows of the sheet

Enlarge = Callable[[Tensor], Tensor]  # small pictures to large ones, both (b 3 h w) in -1..1


@dataclass(frozen=True)
class Asked:
    """Large drawings on white (n 3 256 256) in -1..1, the small ones they become, and those as a first stage draws."""

    large: Tensor
    small: Tensor
    drafts: Tensor


def asked(file: Path, kind: str, things: int, first_stage: str) -> Asked:
    """The first things' drawings of a set."""
    held, model = Drawings.read(file), load_model(first_stage, device="cpu", dtype="float32")
    chosen = (held.sets == held.kinds.index(kind)) & (held.things < things)
    pixels = held.pixels[chosen].float() / 255
    large = (pixels[:, :3] + 1 - pixels[:, 3:]) * 2 - 1
    captions = [with_article(held.names[thing][0]) for thing in held.things[chosen].tolist()]
    small = shrunk(large, FACTOR)
    return Asked(large, small, Drafts.by(model).of(small, captions, np.random.default_rng(0)))


def resampled(small: Tensor) -> Tensor:
    """As `--enlarge` does it."""
    return torch.cat([to_tensor(enlarge(image, FACTOR)) for image in to_images(small)])


def by_stage(folder: Path, steps: int, noise_level: int) -> Enlarge:
    """A second stage with so many steps, which is told of so much noise on what it enlarges."""
    pipe = opened_upscaler(str(folder))
    return lambda small: torch.cat([enlarged_by(pipe, part, steps, noise_level) for part in small.split(AT_ONCE)])


def squares(x: Tensor) -> Tensor:
    """Pictures (n 3 h w) in squares: (n 3 squares pixels)."""
    return F.unfold(x, SQUARE, stride=SQUARE).unflatten(1, (3, -1)).transpose(2, 3)


def flatness(made: Tensor, large: Tensor) -> float:
    """The mean deviation of colours of `made` (n 3 h w) in squares that are one colour in `large`, but for grounds."""
    drawn, there = squares(large), squares(qualities.silhouette(large / 2 + 0.5)[:, None].expand_as(large).float())
    flat = (drawn.amax(3) - drawn.amin(3) < ONE_COLOUR).all(1) & (there.amin(3) > 0).all(1)  # (n squares)
    return float(squares(made).std(3).mean(1)[flat].mean())


def sharpness(made: Tensor, large: Tensor) -> float:
    """The mean absolute step at the edges of `large`, over its own."""
    steps, own = (torch.cat([x.diff(dim=dim).abs().flatten() for dim in (2, 3)]) for x in (made, large))
    return float(steps[own > EDGE].mean() / own[own > EDGE].mean())


def row(title: str, made: Tensor, clean: Tensor, given: Asked, seconds: float) -> str:
    """A row of the table, of what was made of drafts, and of clean drawings."""
    own = flatness(resampled(given.small), given.large)
    flats = [f"{flatness(x, given.large) / own:6.2f}" for x in (made, clean)]
    error, sharp = float((made - given.large).abs().mean()) * 127.5, sharpness(made, given.large)
    return f"{title:44} {' '.join(flats)} {error:6.2f} {sharp:6.2f} {seconds / len(made):8.2f}"


def sheet(columns: Sequence[Tensor]) -> Image.Image:
    """Rows of the same drawing, a column for each way, the drawing itself last."""
    rows = [torch.cat([column[i] for column in columns], 2) for i in range(min(SHOWN, len(columns[0])))]
    return to_images(torch.cat(rows, 1)[None].clamp(-1, 1))[0]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawings", type=Path, help="what `training.data.sets --side 256` writes")
    parser.add_argument(
        "--stage", type=Path, action="append", default=[], help="a directory; several times for several"
    )
    parser.add_argument("--steps", type=int, action="append", help="several times for several")
    parser.add_argument("--noise-level", type=int, action="append", help="several times for several; default: 50")
    parser.add_argument("--set", default="twemoji", help="whose drawings")
    parser.add_argument("--things", type=int, default=60)
    parser.add_argument("--first-stage", default="emoji")
    parser.add_argument("--out", type=Path, help="a sheet to look at")
    return parser.parse_args()


def main() -> None:
    asked_for = arguments()
    given = asked(asked_for.drawings, asked_for.set, asked_for.things, asked_for.first_stage)
    ways: dict[str, Enlarge] = {"resampled": resampled}
    for stage in asked_for.stage:
        for steps in asked_for.steps or [1]:
            for level in asked_for.noise_level or [50]:
                title = f"{stage.parent.name}/{stage.name}, {steps} steps, noise {level}"
                ways[title] = by_stage(stage, steps, level)
    heads = " ".join(f"{head:>6}" for head in ("flat", "clean", "error", "sharp"))
    print(f"{len(given.large)} drawings of {asked_for.set}\n{'':44} {heads} {'s each':>8}")
    columns = []
    for title, way in ways.items():
        began = time.perf_counter()
        made = way(given.drafts).clamp(-1, 1)
        seconds = time.perf_counter() - began
        print(row(title, made, way(given.small).clamp(-1, 1), given, seconds), flush=True)
        columns.append(made)
    if asked_for.out:
        sheet([*columns, given.large]).save(asked_for.out)


if __name__ == "__main__":
    main()
