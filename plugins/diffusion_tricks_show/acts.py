"""What a hand does to see a view: found by comparing pixels, so that it holds for the views of any plugin.

A view is a turn, where it shows the picture turned, flipped or as a negative; a distance, where it shows the picture
blurred; else it is shown frame by frame, and where it moves pieces, they may be moved by hand too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from diffusion_tricks.plugin import Shown, UnknownName, UsageError, gaussian_blur, to_tensor, view_named
from diffusion_tricks_show.pieces import Puzzle, puzzle_of
from diffusion_tricks_show.subject import Subject, same

FRAMES = 16  # of a view that is shown frame by frame, the picture itself left out
NARROWEST, WIDEST = 1 / 256, 1 / 8  # sigma of a blur, as a share of the side
CLOSE = 2.0  # root mean square of what a blur may differ from a view, in steps of 8 bits
TURNS = (None, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)  # clockwise quarters


class Turn(NamedTuple):
    """The picture flipped upside down or not, then turned clockwise by quarters, then perhaps as a negative."""

    quarters: int
    flipped: bool
    negative: bool

    def seen(self, image: Image.Image) -> Image.Image:
        """What is then seen."""
        image = ImageOps.flip(image) if self.flipped else image
        turn = TURNS[self.quarters]
        turned = image if turn is None else image.transpose(turn)
        return ImageOps.invert(turned) if self.negative else turned


class Distance(NamedTuple):
    """The picture through a Gaussian blur; sigma is a share of its shorter side."""

    sigma: float


@dataclass(frozen=True)
class Frames:
    """The picture on its way, at so many even shares, the last of them the view; and its pieces, where it has any."""

    frames: list[Image.Image]
    puzzle: Puzzle | None = None


Act = Turn | Distance | Frames


def act_of(subject: Subject, view: Shown) -> Act:
    """What a hand does to see a view."""
    turn = turn_of(subject.image, view.picture)
    if turn is not None:
        return turn
    sigma = sigma_of(subject.image, view.picture)
    if sigma is not None:
        return Distance(sigma)
    between = [view.picture if view.frame is None else view.frame(i / FRAMES) for i in range(1, FRAMES)]
    return Frames([*between, view.picture], pieces_of(view.name, subject.image.size))


def turn_of(image: Image.Image, seen: Image.Image) -> Turn | None:
    """The turn that shows `seen`, None where there is none."""
    turns = (Turn(q, flipped, negative) for negative in (False, True) for flipped in (False, True) for q in range(4))
    return next((turn for turn in turns if same(turn.seen(image), seen)), None)


def sigma_of(image: Image.Image, seen: Image.Image) -> float | None:
    """Of the Gaussian blur that shows `seen`, as a share of the shorter side; None where no blur does.

    The root of the mean squared difference is searched for its least over the logarithm of sigma.
    """
    from scipy.optimize import minimize_scalar

    side, x, wanted = min(image.size), to_tensor(image), to_tensor(seen)

    def off(logarithm: float) -> float:
        sigma = math.exp(logarithm) * side
        taps = 2 * min(max(1, math.ceil(4 * sigma)), side - 1) + 1
        return float((gaussian_blur(x, taps, sigma) - wanted).square().mean().sqrt()) * 127.5

    grid = np.linspace(math.log(NARROWEST), math.log(WIDEST), 12)
    start = int(np.argmin([off(one) for one in grid]))
    bounds = (grid[max(0, start - 1)], grid[min(len(grid) - 1, start + 1)])
    found = minimize_scalar(off, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return math.exp(float(found.x)) if float(found.fun) < CLOSE else None


def pieces_of(name: str, size: tuple[int, int]) -> Puzzle | None:
    """The pieces that a view of that name moves, None where it moves none, or is no view."""
    try:
        view, (width, height) = view_named(name), size
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        places = torch.stack([rows, columns])[None].double()  # (1 2 h w)
        return puzzle_of(view.apply(places)[0].numpy())
    except (UnknownName, UsageError, RuntimeError):  # a view that takes three channels cannot be asked for places
        return None
