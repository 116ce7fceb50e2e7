"""Pictures made of pictures: things put into photographs, and drawings redrawn."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

import qualities
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.recipes.recipe import TrickEntry
from drawings import DRAWINGS, drawn
from measures import FIRST, Bench, Row
from verdicts import asked

START = 7  # i_start of the edits, t = 780
OVERLAP = 0.5
SEAM = 2.0  # differences across a mask's edge over those beside it, at the most
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png")  # of scikit-image
SIDE = 256
# Where things are put, a square as shares of the side: left, top, right, bottom.
PLACES = ((0.05, 0.05, 0.5, 0.5), (0.5, 0.05, 0.95, 0.5), (0.05, 0.5, 0.5, 0.95), (0.5, 0.5, 0.95, 0.95))
# How they are put there: with a soft edge, or by their edges alone, so that the photograph goes on around them.
WAYS = {"soft edge": (" feather:12", "off"), "laid in": ("", "mixed")}
# Four things for each photograph.
THINGS = (
    "butterfly", "rabbit", "hot beverage", "balloon", "red apple", "owl", "cactus", "crown", "mushroom", "fish",
    "rocket", "penguin", "sunflower", "key", "automobile", "skull", "strawberry", "robot", "house", "star",
)  # fmt: skip


@dataclass(frozen=True)
class Inpainted:
    """A thing put into a photograph: the judge's place of it, from 1, and the seam."""

    name: str
    place: int
    seam: float
    image: Image.Image

    @property
    def met(self) -> bool:
        return self.place <= FIRST and self.seam <= SEAM


def inpaintings(bench: Bench) -> tuple[list[Row], list[Inpainted]]:
    """Twenty things, four to each of five photographs, in each of the ways."""
    rows, every = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = [_photograph(name, Path(folder)) for name in PHOTOGRAPHS]
        for way in WAYS:
            made = [_inpainted(bench, files[i // 4], i, way) for i in range(len(THINGS[: bench.limit]))]
            met, first = sum(one.met for one in made), sum(one.place <= FIRST for one in made)
            note = f"{met} of {len(made)}; {first} recognised; seam <= {SEAM}"
            rows.append(Row(f"inpainting, {way}: in the first five", 100 * met / len(made), 60, note=note))
            every += made
    return rows, every


def _photograph(name: str, folder: Path) -> Path:
    """The square middle of a photograph that scikit-image ships."""
    import skimage.data

    with Image.open(Path(skimage.data.__file__).parent / name) as picture:
        colours = picture.convert("RGB")
    side = min(colours.size)
    left, top = ((length - side) // 2 for length in colours.size)
    file = folder / f"{Path(name).stem}.png"
    colours.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file)
    return file


def _inpainted(bench: Bench, file: Path, number: int, way: str) -> Inpainted:
    thing, box = asked(THINGS[number]), PLACES[number % len(PLACES)]
    edge, match = WAYS[way]
    mask = "box:" + ",".join(f"{100 * share:g}%" for share in box) + edge
    entry = TrickEntry(trick="inpaint", image=str(file), mask=mask, padding="0", match=match)
    image = bench.make(prompt=thing.prompt, tricks=[entry], seed=(bench.recipe.seed or 0) + number)[0].image
    left, top, right, bottom = (round(share * image.width) for share in box)
    made_new = torch.zeros(1, image.height, image.width, dtype=torch.bool)
    made_new[:, top:bottom, left:right] = True
    place = int(bench.places([image.crop((left, top, right, bottom))], [thing.name])[0]) + 1
    return Inpainted(thing.name, place, qualities.seam(to_tensor(image) / 2 + 0.5, made_new), image)


@dataclass(frozen=True)
class Edited:
    """A drawing redrawn: the judge's place of what was asked for, from 1, and the overlap of the silhouettes."""

    name: str
    place: int
    overlap: float
    image: Image.Image

    @property
    def met(self) -> bool:
        return self.place <= FIRST and self.overlap > OVERLAP


def edits(bench: Bench) -> tuple[list[Row], list[Edited]]:
    """The ten drawings, each redrawn from the same start."""
    with tempfile.TemporaryDirectory() as folder:
        made = [_edited(bench, name, Path(folder) / f"{i}.png") for i, name in enumerate([*DRAWINGS][: bench.limit])]
    met = sum(one.met for one in made)
    follow = [sum(found) for found in ((m.place <= FIRST for m in made), (m.overlap > OVERLAP for m in made))]
    note = f"{follow[0]} follow the prompt, {follow[1]} the drawing"
    return [
        Row(f"SDEdit of drawings at index {START}, both", met, 8 * len(made) / 10, f"of {len(made)}", note=note)
    ], made


def _edited(bench: Bench, name: str, file: Path) -> Edited:
    before = drawn(name)
    before.save(file)
    entry = TrickEntry(trick="sdedit", image=str(file), start_index=START, own_size=False)
    after = bench.make(prompt=asked(name).prompt, tricks=[entry])[0].image
    masks = [qualities.silhouette(to_tensor(one.resize((64, 64))) / 2 + 0.5)[0] for one in (before, after)]
    place = int(bench.places([after], [name])[0]) + 1
    return Edited(name, place, qualities.overlap(*masks), after)
