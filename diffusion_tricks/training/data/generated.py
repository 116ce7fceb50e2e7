"""What a generator draws, on the way and at the end, seen through the views: what a scorer of illusions must know.

    python -m diffusion_tricks.training.data.generated generated.npz --minutes 10 --without benchmarks/reach_pairs.toml

Single things, and anagrams of two that chance draws; a pair that `--without` lists is left out, so that a choice can be
tested on it. A file that is there already gets more. Of every picture the clean estimates of a few steps are kept, the
last of which is the picture. Only the first stage draws.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.generate.make import making
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.loading.load import load_model
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.training.data.captions import caption, with_article
from diffusion_tricks.training.data.emoji import concepts
from diffusion_tricks.training.data.stream import Batch

if TYPE_CHECKING:
    from diffusion_tricks.model.model import Model
    from diffusion_tricks.sampling.step import Step

VIEWS = ("flip", "rotate_cw", "rotate_180", "mirror", "negate")
KEPT = (0.4, 0.6, 0.8)  # of the steps, whose estimates are kept beside the last
SINGLE = 0.25  # of the runs draw single things
SIDE = 64  # pixels
UNSEEN = 0.1  # of all pictures
TOGETHER = 2  # pictures of one run: seeds differ little


@dataclass(frozen=True)
class Generated:
    """Pictures as a generator draws them: 8 bits (n 3 side side), and of each the place of its thing in `names` (n)."""

    pixels: Tensor
    things: Tensor
    names: tuple[str, ...]

    def write(self, file: Path) -> None:
        """Writes all into one file, whole or not at all."""
        buffer, said = io.BytesIO(), json.dumps(self.names)
        np.savez_compressed(buffer, said=np.array(said), pixels=self.pixels.numpy(), things=self.things.numpy())
        atomic_write(file, buffer.getvalue(), force=True)

    def with_more(self, pixels: Tensor, shown: Sequence[str]) -> Generated:
        """These and further pictures, of which each shows one of the names."""
        things = torch.tensor([self.names.index(name) for name in shown])
        return dataclasses.replace(
            self, pixels=torch.cat([self.pixels, pixels]), things=torch.cat([self.things, things])
        )

    @classmethod
    def read(cls, file: Path) -> Generated:
        """What `write` wrote. Raises UsageError for a file that is not there or holds something else."""
        try:
            with np.load(file) as held:
                pixels, things = (torch.from_numpy(held[name]) for name in ("pixels", "things"))
                return cls(pixels, things, tuple(json.loads(str(held["said"]))))
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{file} holds no generated pictures ({error}); make it as `{__name__}` says") from None


def learnt(made: Generated) -> Generated:
    """What a training learns from: all but the last runs."""
    return _part(made, slice(round(len(made.things) * (1 - UNSEEN))))


def unseen(made: Generated) -> Generated:
    """What a training never sees, and what it learnt is measured on: the last runs."""
    return _part(made, slice(round(len(made.things) * (1 - UNSEEN)), None))


def _part(made: Generated, part: slice) -> Generated:
    return dataclasses.replace(made, pixels=made.pixels[part], things=made.things[part])


def nothing(names: Sequence[str]) -> Generated:
    """No pictures yet."""
    return Generated(torch.empty(0, 3, SIDE, SIDE, dtype=torch.uint8), torch.empty(0, dtype=torch.long), tuple(names))


class GeneratedSource:
    """Generated pictures, moved a little, every other one mixed with another that is seen through a view.

    named: all classes in their order, each with its other captions.  size: side in pixels.
    """

    channels = 3

    def __init__(self, generated: Generated, named: Mapping[str, tuple[str, ...]], size: int):
        self.generated, self.size, self.classes = generated, size, tuple(named)
        self.captions = [(name, *others) for name, others in named.items()]
        places = {name: place for place, name in enumerate(self.classes)}
        self.things = torch.tensor([places[name] for name in generated.names])[generated.things]

    def __len__(self) -> int:
        """Every picture once."""
        return len(self.things)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Pictures (b 3 size size) in -1..1 with captions; the class is the place in `classes`."""
        which = list(indices)
        x = moved(self.generated.pixels[which].float() / 127.5 - 1, random)
        x = F.interpolate(mixed(x, random), size=(self.size,) * 2, mode="bicubic", antialias=True).clamp(-1, 1)
        things = self.things[which]
        said = [caption(self.captions[thing], None, "", random) for thing in things.tolist()]
        return Batch(x, said, things)

    def plain(self) -> tuple[Tensor, Tensor]:
        """All pictures as they are (n 3 size size) in -1..1, and their classes (n)."""
        x = self.generated.pixels.float() / 127.5 - 1
        return F.interpolate(x, size=(self.size,) * 2, mode="area"), self.things


def moved(x: Tensor, random: np.random.Generator) -> Tensor:
    """Pictures (b 3 h w), each a little turned, shifted, larger or smaller; what comes in is as the edge."""
    angle, zoom, dx, dy = (
        torch.from_numpy(random.uniform(low, high, len(x)).astype(np.float32))
        for low, high in ((-0.15, 0.15), (0.85, 1.15), (-0.1, 0.1), (-0.1, 0.1))
    )
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    theta = torch.stack([torch.stack([cos, -sin, dx], 1), torch.stack([sin, cos, dy], 1)], 1)  # (b 2 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def mixed(x: Tensor, random: np.random.Generator) -> Tensor:
    """Pictures (b 3 h w) of which half show, more faintly than their own thing, the next one through a view."""
    other = view_named(str(random.choice(VIEWS))).apply(x.roll(1, 0))
    share = random.uniform(0.0, 0.45, len(x)) * (random.random(len(x)) < 0.5)
    return x.lerp(other, torch.from_numpy(share.astype(np.float32))[:, None, None, None])


def listed(file: Path | None) -> set[frozenset[str]]:
    """The pairs of names that a TOML file lists under any heading; none without a file."""
    tables = tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
    return {frozenset(pair) for pairs in tables.values() for pair in pairs}


def pair_of(names: Sequence[str], without: set[frozenset[str]], random: np.random.Generator) -> tuple[str, str]:
    """Two different names, not a pair that is left out."""
    while True:
        one, other = (str(name) for name in random.choice(names, 2, replace=False))
        if frozenset((one, other)) not in without:
            return one, other


def drawn(model: Model, recipe: Recipe, views: Sequence[str]) -> Tensor:
    """All pictures of a recipe at all kept steps, seen through each view: (views kept*b 3 side side), 8 bits."""
    kept: list[Tensor] = []

    def keep(step: Step) -> None:
        steps = len(step.run.timesteps)
        if step.last or step.index in {round(share * steps) for share in KEPT}:
            kept.append(step.estimate.clean.float())

    list(making(recipe, model, watch=keep))
    clean = torch.cat(kept)  # (kept*b 3 side side)
    seen = torch.stack([view_named(view).apply(clean) for view in views])
    return ((seen.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def runs(
    model: Model, names: Sequence[str], without: set[frozenset[str]], steps: int, seed: list[int]
) -> Iterator[tuple[Tensor, list[str]]]:
    """Pictures of one run after the other without end, (n 3 side side) in 8 bits, and the thing that each shows."""
    random = np.random.default_rng(seed)
    while True:
        recipe = Recipe(seed=int(random.integers(2**31)), steps=steps, count=TOGETHER)
        if random.random() < SINGLE:
            views, shown = ["identity"], [str(name) for name in random.choice(names, TOGETHER, replace=False)]
            recipe = recipe.model_copy(update={"prompt": [with_article(name) for name in shown]})
        else:
            shown = list(pair_of(names, without, random))
            views = ["identity", str(random.choice(VIEWS))]
            said = list(zip(views, map(with_article, shown), strict=True))
            recipe = recipe.model_copy(update={"tricks": [TrickEntry(trick="anagram", views=said)]})
        seen = drawn(model, recipe, views)  # (views kept*b 3 side side)
        each = len(seen[0])
        wanted = shown * (each // TOGETHER) if len(views) == 1 else [name for name in shown for _ in range(each)]
        yield seen.flatten(0, 1), wanted


def main() -> None:
    """Draws for the minutes given, and writes all into the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to write, an .npz outside the repository")
    parser.add_argument("--model", default="emoji", help="a known name or a directory")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--without", type=Path, metavar="TOML", help="lists pairs that are left out")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=700_000)
    given = parser.parse_args()
    names = tuple(concepts())
    model = dataclasses.replace(load_model(given.model), second=None)
    made, began = Generated.read(given.file) if given.file.exists() else nothing(names), time.monotonic()
    for seen, shown in runs(model, names, listed(given.without), given.steps, [given.seed, len(made.things)]):
        made = made.with_more(seen, shown)
        if time.monotonic() - began > 60 * given.minutes:
            break
    given.file.parent.mkdir(parents=True, exist_ok=True)
    made.write(given.file)
    print(f"{len(made.things)} pictures of {len(set(made.things.tolist()))} things: {given.file}")


if __name__ == "__main__":
    main()
