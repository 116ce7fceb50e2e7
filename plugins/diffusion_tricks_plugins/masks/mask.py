"""What a mask is, and what it is drawn on.

A mask is an array (h w) of weights as large as its picture: 0 keeps a pixel, 255 makes it new, between is a blend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks.plugin import Box, Picture, UsageError

Weights = NDArray[np.uint8]
Size = tuple[int, int]  # width, height in pixels
SPECK = 8  # weights this near to 0 and 255 are taken for them: lossy files leave such specks in black and white
SEGMENTER = "CIDAS/clipseg-rd64-refined"


@dataclass(frozen=True)
class Mask:
    """Weights (h w) of a picture's pixels, and what there is to say about them."""

    weights: Weights
    notes: tuple[str, ...] = ()

    @property
    def bounds(self) -> Box:
        """The smallest box that holds every pixel that is not kept."""
        across, down = (np.flatnonzero(self.weights.any(axis)) for axis in (0, 1))
        return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


@dataclass(frozen=True)
class Canvas:
    """What a mask is drawn on: a size, and the picture where there is one.

    fit: resize mask files of another size. segmenter: the CLIPSeg model that finds what words name, a directory or hub
    name. notes: what there is to say of what was drawn.
    """

    size: Size
    picture: Picture | None = None
    fit: bool = False
    segmenter: str = SEGMENTER
    notes: list[str] = field(default_factory=list)

    def shown(self, text: str) -> Picture:
        """The picture, for the part `text` of a mask that looks at it. Raises UsageError where there is none."""
        if self.picture is None:
            raise UsageError(f"the mask {text!r} looks at a picture, and here is none; give a shape, or a mask file")
        return self.picture

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return str(self.picture.path) if self.picture else "the picture to be made"


class Drawn(Protocol):
    """Anything that can be drawn: a shape, a file, or several of them joined."""

    def draw(self, canvas: Canvas) -> Weights:
        """The weights (h w) on a canvas."""


def hard(inside: NDArray[np.bool_]) -> Weights:
    """255 where it is inside, else 0."""
    return np.where(inside, np.uint8(255), np.uint8(0))


def settled(weights: Weights) -> Weights:
    """The weights with those next to 0 and 255 taken for them."""
    weights = np.where(weights < SPECK, np.uint8(0), weights)
    return np.where(weights > 255 - SPECK, np.uint8(255), weights)
