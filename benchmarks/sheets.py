"""Sheets of pictures to look at, each with what was asked for below it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffusion_tricks.io.pixels import fit
from diffusion_tricks.recipes.recipe import TrickEntry
from diffusion_tricks.training.data.captions import caption
from diffusion_tricks.training.data.emoji import COLOURS, concepts
from diffusion_tricks.training.data.styles import RENDER
from drawings import DRAWINGS, drawn
from verdicts import asked

if TYPE_CHECKING:
    from measures import Bench, Illusion

CAPTIONS = 100
STYLED, GROUNDED = 0.3, 0.3  # shares of the captions that name a style, and a background
STRENGTH = 0.65  # of the edits
PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
SIDE = 128  # pixels of a picture on a sheet
MARGIN, LINE = 8, 15  # pixels
# A photo, or the emoji that a picture is made of first; what is put into it; and where.
INPAINTINGS = (
    ("astronaut.jpg", "a top hat", "box:30%,0%,60%,22%"),
    ("astronaut.jpg", "a rocket", "box:0%,5%,28%,60%"),
    ("cat.png", "a butterfly", "ellipse:58%,4%,96%,52%"),
    ("drawing.png", "a snail", "box:50%,50%,100%,100%"),
    ("house", "a balloon", "box:60%,0%,100%,45%"),
    ("rabbit", "a crown", "box:20%,0%,80%,35%"),
    ("deciduous tree", "an owl", "ellipse:25%,10%,75%,55%"),
    ("snowman", "a carrot", "box:0%,55%,40%,100%"),
    ("castle", "a unicorn", "box:0%,0%,45%,45%"),
    ("pizza", "a strawberry", "ellipse:30%,30%,70%,70%"),
)
Cell = tuple[Sequence[Image.Image], str]


def sheet(cells: Sequence[Cell], columns: int) -> Image.Image:
    """A page of cells, in rows: the pictures of a cell side by side, its text in one or two lines below."""
    most, columns = max(len(pictures) for pictures, _ in cells), min(columns, len(cells))
    wide, high = most * SIDE + 2 * MARGIN, SIDE + 2 * LINE + MARGIN
    page = Image.new("RGB", (columns * wide, -(-len(cells) // columns) * high + MARGIN), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for i, (pictures, text) in enumerate(cells):
        x, y = i % columns * wide + MARGIN, i // columns * high + MARGIN
        for k, picture in enumerate(pictures):
            page.paste(fit(picture.convert("RGB"), (SIDE, SIDE), "pad"), (x + k * SIDE, y))
        pen.multiline_text((x, y + SIDE), wrapped(text, wide - 2 * MARGIN, font), fill="black", font=font, spacing=1)
    return page


def wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text in lines no wider than `width` pixels where its words allow it."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    return "\n".join(line for line in lines if line)


def illusions(made: Sequence[Illusion]) -> Image.Image:
    """Pictures of two views side by side, each with the place that the judge gave it."""
    cells = []
    for one in made:
        text = " / ".join(f"{thing.prompt} ({place})" for thing, _, place in one.views)
        cells.append(([seen for _, seen, _ in one.views], text))
    return sheet(cells, 5)


def write(bench: Bench, folder: Path) -> None:
    """The sheets of captions, edits and inpaintings."""
    for name, make, columns in (("captions", captions, 10), ("edits", edits, 5), ("inpaintings", inpaintings, 3)):
        bench.tell(f"{name} ...")
        sheet(make(bench), columns).save(folder / f"{name}.png")


def captions(bench: Bench) -> list[Cell]:
    """Random things in people's words: with articles, other names, backgrounds and styles."""
    random = np.random.default_rng(bench.recipe.seed or 0)
    prompts = [random_caption(random) for _ in range(CAPTIONS)][: bench.limit]
    results = bench.make(prompt=prompts, count=len(prompts))
    return [([result.image], prompt) for result, prompt in zip(results, prompts, strict=True)]


def random_caption(random: np.random.Generator) -> str:
    """One caption; a style or a background, as in training, rarely both."""
    names = list(concepts().items())
    name, others = names[random.integers(len(names))]
    style = str(random.choice(list(RENDER))) if random.random() < STYLED else ""
    ground = str(random.choice(list(COLOURS))) if not style and random.random() < GROUNDED / (1 - STYLED) else None
    return caption((name, *others), ground, style, random)


def edits(bench: Bench) -> list[Cell]:
    """Drawings and what SDEdit makes of them."""
    with tempfile.TemporaryDirectory() as place:
        return [_edit(bench, name, Path(place) / f"{i}.png") for i, name in enumerate(list(DRAWINGS)[: bench.limit])]


def _edit(bench: Bench, name: str, file: Path) -> Cell:
    drawing, prompt = drawn(name), asked(name).prompt
    drawing.save(file)
    entry = TrickEntry(trick="sdedit", image=str(file), strength=STRENGTH, own_size=False)
    return [drawing, bench.make(prompt=prompt, tricks=[entry])[0].image], prompt


def inpaintings(bench: Bench) -> list[Cell]:
    """Photos and made pictures, before and after something was put into them."""
    with tempfile.TemporaryDirectory() as place:
        return [_inpainting(bench, *row, Path(place) / f"{i}.png") for i, row in enumerate(INPAINTINGS[: bench.limit])]


def _inpainting(bench: Bench, what: str, prompt: str, mask: str, file: Path) -> Cell:
    if what in concepts():
        bench.make(prompt=asked(what).prompt)[0].image.save(file)
    else:
        file = PHOTOS / what
    with Image.open(file) as picture:
        before = picture.convert("RGB")
    entry = TrickEntry(trick="inpaint", image=str(file), mask=mask)
    after = bench.make(prompt=prompt, tricks=[entry])[0].image
    return [before, marked(before, mask), after], f"{prompt}, {mask}"


def marked(picture: Image.Image, mask: str) -> Image.Image:
    """The picture with the part that is to be made new in gray; mask: `box:` or `ellipse:` in percent."""
    kind, _, numbers = mask.partition(":")
    shares = [float(number.rstrip("%")) / 100 for number in numbers.split(",")]
    edges = [share * side for share, side in zip(shares, picture.size * 2, strict=True)]
    page = picture.copy()
    pen = ImageDraw.Draw(page)
    (pen.rectangle if kind == "box" else pen.ellipse)(edges, fill="#888888")
    return page
