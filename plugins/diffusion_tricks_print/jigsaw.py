"""Pictures to cut into pieces and to lay anew, and pictures to fold: the views themselves say along which lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffusion_tricks_print.layout import Layout
from diffusion_tricks_print.lines import cuts, on
from diffusion_tricks_print.page import Area, Page, Path, Text

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Outline, View
    from diffusion_tricks_print.look import Look

LARGEST, SHARE = 5.0, 0.35  # mm of a number on a plan, and how much of a piece's side it takes
GAP, RAISED = 6.0, 0.35  # mm between two plans; from a number's middle to its baseline, in sizes


def jigsaws(image: Image.Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """For each look through one view that has pieces: the picture with its cuts, and the plan of how they are laid."""
    for look in looks:
        if len(look.views) == 1 and (pieces := look.views[0].pieces(image.size)):
            yield _cut(image, look, pieces, layout)
            yield _plan(look, look.views[0], pieces, image.size, layout)


def folded(image: Image.Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """For each look through one view that has folds: the picture with these as dashed lines."""
    for look in looks:
        if len(look.views) == 1 and (folds := look.views[0].folds(image.size)):
            page = layout.page("fold", "To fold", f"Cut out, and fold along the dashed lines ({look.name}); then you"
                               f" see: {look.caption}")  # fmt: skip
            layout.show(page, image)
            layout.frame(page, layout.area)
            page.paths += [Path(tuple(line), dashed=True) for line in on(layout.area, image.size, folds)]
            yield page


def _cut(image: Image.Image, look: Look, pieces: Sequence[Outline], layout: Layout) -> Page:
    page = layout.page("jigsaw", "Jigsaw", f"Cut along the lines, into {len(pieces)} pieces, and lay them as the plan"
                       " on the next page shows." if len(pieces) > 1 else
                       "Cut along the lines, and lay the piece as the next page shows.")  # fmt: skip
    layout.show(page, image)
    layout.frame(page, layout.area)
    page.paths += cuts(on(layout.area, image.size, pieces))
    return page


def _plan(look: Look, view: View, pieces: Sequence[Outline], size: tuple[int, int], layout: Layout) -> Page:
    """The numbers of the pieces before and after, and what is then seen."""
    page = layout.page("plan", "Plan", f"Left: the pieces where they were cut. Right: where they are laid ({look.name})."
                       f" Then you see, as above: {look.caption}")  # fmt: skip
    top = Area(layout.free.x, layout.free.y, layout.free.width, layout.free.height / 2 - GAP / 2)
    half = (top.width - GAP) / 2
    layout.show(page, look.picture, top.holding(layout.aspect))
    numbers = numbered(size, pieces)
    moved = _seen(view, numbers)
    for i, laid in enumerate((numbers, moved)):
        place = Area(top.x + i * (half + GAP), top.y + top.height + GAP, half, top.height).holding(layout.aspect)
        layout.frame(page, place)
        page.paths += cuts(on(place, size, pieces))
        page.texts += _labels(laid, len(pieces), place)
    return page


def numbered(size: tuple[int, int], pieces: Sequence[Outline]) -> NDArray[np.int64]:
    """The number of the piece, from 1, that each pixel (h w) of a picture of that size belongs to; 0 for none."""
    page = Image.new("I", size)
    draw = ImageDraw.Draw(page)
    for number, outline in enumerate(pieces, 1):
        draw.polygon([(x - 0.5, y - 0.5) for x, y in outline], fill=number)
    return np.asarray(page, dtype=np.int64)


def _seen(view: View, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers (h w) as the view lays them; all exact, as double precision has every whole number."""
    import torch

    x = torch.from_numpy(numbers).double()[None, None]  # (1 1 h w)
    return view.apply_mask(x)[0, 0].round().long().numpy()


def _labels(numbers: NDArray[np.int64], count: int, area: Area) -> Iterator[Text]:
    """The number of each piece in its middle."""
    height, width = numbers.shape
    for number in range(1, count + 1):
        rows, columns = np.nonzero(numbers == number)
        if not len(rows):
            continue
        side = (len(rows) / numbers.size * area.width * area.height) ** 0.5
        size = min(LARGEST, SHARE * side)
        x, y = (columns.mean() + 0.5) / width * area.width, (rows.mean() + 0.5) / height * area.height
        yield Text(str(number), (area.x + x, area.y + y + RAISED * size), size)
