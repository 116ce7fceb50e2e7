"""Handwriting of a kind: the middle lines of fonts' digits, bent, slanted, and drawn over with a pen of any width.

The bending is that of Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to
visual document analysis", ICDAR 2003; proportions are those of MNIST: white on black, digits 20 high on 28.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.plain import NUMERALS
from diffusion_tricks.io.fonts import font_folders
from diffusion_tricks.training.data.faces import DIGITS, PIXELS, digit_faces
from diffusion_tricks.training.data.stream import Batch
from diffusion_tricks.training.data.strokes import distance, thinned

MNIST = 28  # pixels; the lengths below are given in its pixels
BOX = 19.0  # the longer side of a digit's middle line
PEN = (0.75, 1.7)  # half width of the pen
EDGE = 1.3  # how far ink fades out
SHIFT = 1.5  # pixels, at most
ANGLE, SLANT = 0.1, 0.22  # standard deviations, radians
ZOOM = ((0.68, 1.02), (0.86, 1.04))  # across and upright
BEND, KNOTS = 0.045, 5  # standard deviation of the bending in sides, and on how many points a side it is drawn


class DigitsSource:
    """Gray digits that look written by hand; what they look like depends on `random` alone.

    size: side in pixels, at least 8.  length: pictures in an epoch (default: MNIST's).
    folders: where fonts are looked for; None is where the system keeps them.
    """

    channels = 1
    classes = tuple(DIGITS)

    def __init__(self, size: int = MNIST, length: int = 60_000, folders: tuple[Path, ...] | None = None):
        if size < 8:
            raise UsageError(f"expected digits of 8 pixels or more, got {size}")
        self.size, self.length = size, length
        self.lines = pen_distances(font_folders() if folders is None else folders)  # (faces 10 h w)

    def __len__(self) -> int:
        """As long as was asked for: the digits themselves hardly ever repeat."""
        return self.length

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Digits (b 1 size size); an index settles the class only."""
        classes = torch.tensor([i % 10 for i in indices])
        faces = torch.from_numpy(random.integers(len(self.lines), size=len(classes)))
        far = self._moved(self.lines[faces, classes][:, None], random)  # (b 1 h w), in pixels of MNIST
        pen = _column(random.uniform(*PEN, len(classes)))
        ink = ((pen - far) / EDGE + 0.5).clamp(0, 1)
        return Batch(ink * 2 - 1, [captioned(int(digit), random) for digit in classes], classes)

    def _moved(self, lines: Tensor, random: np.random.Generator) -> Tensor:
        """The distances, bent and slanted, at the size asked for."""
        count = len(lines)
        zoom = np.stack([random.uniform(*limits, count) for limits in ZOOM])  # (2 b)
        theta = torch.from_numpy(_slants(zoom, random)).float()
        grid = F.affine_grid(theta, [count, 1, self.size, self.size], align_corners=False)
        knots = torch.from_numpy(random.normal(0, BEND * 2, (count, 2, KNOTS, KNOTS))).float()
        bend = F.interpolate(knots, (self.size, self.size), mode="bicubic", align_corners=True)
        moved = F.grid_sample(lines, grid + bend.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
        return moved * _column(np.sqrt(zoom.prod(0)))


@cache
def pen_distances(folders: tuple[Path, ...]) -> Tensor:
    """The distance to the pen's path (faces 10 h w), in pixels of MNIST, of the digits of every usable font."""
    digits = np.stack(digit_faces(folders))
    digits[1::2, 1] = abs(np.arange(PIXELS) - PIXELS // 2) < 3  # by hand a one is often a bare stroke
    room = round(PIXELS * (MNIST - BOX) / BOX / 2)
    wide = np.pad(digits, ((0, 0), (0, 0), (room, room), (room, room)))
    far = np.stack([[distance(thinned(ink)) for ink in face] for face in wide])
    return torch.from_numpy(far * (MNIST / wide.shape[-1])).float()


def _slants(zoom: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Affine maps (b 2 3) from places in the picture to places in the glyph, both in -1..1."""
    count = zoom.shape[1]
    angle, slant = random.normal(0, ANGLE, count), random.normal(0, SLANT, count)
    dx, dy = random.uniform(-SHIFT, SHIFT, (2, count)) * 2 / MNIST
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = cos / zoom[0], (sin + slant * cos) / zoom[0]
    c, d = -sin / zoom[1], (cos - slant * sin) / zoom[1]
    rows = np.array([[a, b, -a * dx - b * dy], [c, d, -c * dx - d * dy]])
    return rows.transpose(2, 0, 1)


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()[:, None, None, None]


def captioned(digit: int, random: np.random.Generator) -> str:
    """One of the ways in which a digit is called."""
    word = NUMERALS[digit]
    article = "an" if word == "eight" else "a"
    ways = (f"{article} {word}", f"{article} {word}", str(digit), word, f"the digit {digit}", f"a handwritten {word}")
    return ways[random.integers(len(ways))]
