"""Pictures to cut into pieces and to lay anew, and pictures to fold: the views themselves say along which lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks_print.layout import Layout
from diffusion_tricks_print.lines import cuts, on
from diffusion_tricks_print.motion import UPRIGHT, Motion
from diffusion_tricks_print.page import Area, Page, Path, Text

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.plugin import Outline, View
    from diffusion_tricks_print.look import Look

LARGEST, SHARE = 5.0, 0.35  # mm of a number on a plan, and how much of a piece's side it takes
GAP, RAISED = 6.0, 0.35  # mm between two plans; from a number's middle to its baseline, in sizes

Numbers = NDArray[np.int64]
Places = NDArray[np.float64]


def jigsaws(image: Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """For each look through one view that has pieces: the picture with its cuts, and the plan of how they are laid."""
    for look in looks:
        if len(look.views) == 1 and (pieces := look.views[0].pieces(image.size)):
            yield _cut(image, look, pieces, layout)
            yield _plan(look, look.views[0], pieces, image.size, layout)


def folded(image: Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """For each look through one view that has folds: the picture with these as dashed lines."""
    for look in looks:
        if len(look.views) == 1 and (folds := folds_of(look.views[0], image.size)):
            page = layout.page("fold", "To fold", f"Cut out, and fold along the dashed lines ({look.name}); then you"
                               f" see: {look.caption}")  # fmt: skip
            layout.show(page, image)
            layout.frame(page, layout.area)
            page.paths += [Path(tuple(line), dashed=True) for line in on(layout.area, image.size, folds)]
            yield page


def folds_of(view: View, size: tuple[int, int]) -> list[Outline]:
    """The folds of a view that is not cut."""
    return [] if view.pieces(size) else view.folds(size)


def _cut(image: Image, look: Look, pieces: Sequence[Outline], layout: Layout) -> Page:
    hinges = on(layout.area, image.size, look.views[0].folds(image.size))
    page = layout.page("jigsaw", "Jigsaw", _words(len(pieces), bool(hinges)))
    layout.show(page, image)
    if not any(x == 0 for outline in pieces for x, _ in outline):  # the pieces' own edges are not the picture's
        layout.frame(page, layout.area)
    page.paths += cuts(on(layout.area, image.size, pieces), hinges)
    page.paths += [Path(tuple(line), dashed=True) for line in hinges]
    return page


def _words(pieces: int, hinged: bool) -> str:
    if hinged:
        return ("Cut along the whole lines, not along the dashed ones: by these the pieces hang together, and swing to"
                " where the plan on the next page shows them. Tape behind a hinge keeps it from tearing.")  # fmt: skip
    if pieces == 1:
        return "Cut along the lines, and lay the piece as the next page shows."
    return f"Cut along the lines, into {pieces} pieces, and lay them as the plan on the next page shows."


def _plan(look: Look, view: View, pieces: Sequence[Outline], size: tuple[int, int], layout: Layout) -> Page:
    """The numbers of the pieces before and after, and what is then seen."""
    words = "Left: the pieces where they were cut. Right: where they are laid"
    page = layout.page("plan", "Plan", f"{words} ({look.name}). Then you see, as above: {look.caption}")
    top = Area(layout.free.x, layout.free.y, layout.free.width, layout.free.height / 2 - GAP / 2)
    half = (top.width - GAP) / 2
    layout.show(page, look.picture, top.holding(layout.aspect))
    left = Area(top.x, top.y + top.height + GAP, half, top.height).holding(layout.aspect)
    right = replace(left, x=left.x + half + GAP)
    for place, texts in zip((left, right), labels(view, numbered(size, pieces), left), strict=True):
        layout.frame(page, place)
        page.paths += cuts(on(place, size, pieces))
        page.texts += [replace(text, at=(text.at[0] + place.x - left.x, text.at[1])) for text in texts]
    return page


def numbered(size: tuple[int, int], pieces: Sequence[Outline]) -> Numbers:
    """The number of the piece, from 1, that each pixel (h w) of a picture of that size belongs to; 0 for none."""
    from matplotlib.path import Path as Polygon  # here: it is slow to come, and help needs it not

    width, height = size
    numbers = np.zeros((height, width), dtype=np.int64)
    for number, outline in enumerate(pieces, 1):
        (left, top), (right, bottom) = np.floor(np.min(outline, axis=0)), np.ceil(np.max(outline, axis=0))
        rows, columns = slice(max(0, int(top)), int(bottom)), slice(max(0, int(left)), int(right))
        y, x = np.mgrid[rows, columns] + 0.5  # centres of pixels
        inside = Polygon(outline).contains_points(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
        numbers[rows, columns][inside[: height - rows.start, : width - columns.start]] = number
    return numbers


def laid(view: View, numbers: Numbers) -> tuple[Numbers, Places]:
    """What the viewer sees of each pixel: the number of its piece (h w), and where it was cut (h w 2), right and down.

    Double precision has every whole number, so that a view that only moves pixels gives them exactly.
    """
    import torch

    down, right = np.mgrid[: numbers.shape[0], : numbers.shape[1]]
    x = torch.from_numpy(np.stack([numbers, right, down], axis=0)).double()[:, None]  # (3 1 h w)
    seen = view.apply_mask(x)[:, 0].numpy()
    return seen[0].round().astype(np.int64), seen[1:].transpose(1, 2, 0)


def turn(cut: Places, seen: Places) -> Motion:
    """How a piece is turned, and turned over, of whose pixels (n 2) are known where they were cut and are seen.

    The least squares of  cut - mean = (seen - mean) A  gives A = R^-1, of the rotation R.
    """
    back, *_ = np.linalg.lstsq(seen - seen.mean(0), cut - cut.mean(0), rcond=None)
    mirrored = bool(np.linalg.det(back) < 0)
    degrees = math.degrees(math.atan2(back[0, 1], -back[0, 0] if mirrored else back[0, 0]))
    return Motion(round(degrees) % 360, mirrored)


def labels(view: View, numbers: Numbers, area: Area) -> tuple[list[Text], list[Text]]:
    """The number of each piece in its middle, where it was cut and where it is laid, there turned as the piece is."""
    seen, cut = laid(view, numbers)
    places = np.indices(numbers.shape, dtype=np.float64)[::-1].transpose(1, 2, 0)  # (h w 2)
    found = [number for number in np.unique(numbers) if number and (seen == number).any()]
    before = [_label(number, places[numbers == number], numbers.shape, area, UPRIGHT) for number in found]
    after = [_label(n, places[seen == n], numbers.shape, area, turn(cut[seen == n], places[seen == n])) for n in found]
    return before, after


def _label(number: int, places: Places, shape: tuple[int, ...], area: Area, motion: Motion) -> Text:
    pixel = area.width / shape[1]
    size = min(LARGEST, SHARE * pixel * len(places) ** 0.5)
    right, down = (places.mean(0) + 0.5) * pixel
    below = motion.moved(0, RAISED * size)
    text = f"{number}." if set(str(number)) <= set("0689") else str(number)  # else 6 could be a 9 upside down
    return Text(text, (area.x + right + below[0], area.y + down + below[1]), size, motion)
