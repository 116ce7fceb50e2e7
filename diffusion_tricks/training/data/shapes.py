"""Squares and circles, the classic first exercise: one shape a picture, drawn from its formula, its edge smooth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.data.captions import named
from diffusion_tricks.training.data.emoji import COLOURS
from diffusion_tricks.training.data.stream import Batch

RADIUS = (0.12, 0.36)  # of the side; a square's is half its width
GRAYS = (0.5, 1.0)  # how bright a gray shape is, on black
NAMED = 0.75  # chance that a caption names the colour


class ShapesSource:
    """Coloured shapes on white, or with one channel gray shapes on black; what it shows depends on `random` alone.

    size: side in pixels, at least 8.  channels: 3 or 1.  length: pictures in an epoch.
    """

    classes: tuple[str, ...] = ("circle", "square")

    def __init__(self, size: int = 32, channels: int = 3, length: int = 10_000):
        if size < 8 or channels not in {1, 3}:
            raise UsageError(f"expected shapes of 8 pixels or more with 1 or 3 channels, got {size} and {channels}")
        self.size, self.channels, self.length = size, channels, length
        self.colours = [name for name in COLOURS if name != "white"]

    def __len__(self) -> int:
        """As long as was asked for: the shapes themselves never repeat."""
        return self.length

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Shapes (b c size size), whole, at any place; an index settles the class only."""
        kinds = np.array([i % len(self.classes) for i in indices])
        cover = self._covers(kinds, random)[:, None]  # (b 1 h w)
        colours = random.integers(len(self.colours), size=len(kinds))
        inks = self._inks(colours, random)[:, :, None, None]  # (b c 1 1)
        ground = 1.0 if self.channels == 3 else 0.0
        pictures = ground + cover * (inks - ground)
        captions = [self._caption(k, c, random) for k, c in zip(kinds, colours, strict=True)]
        return Batch(torch.from_numpy(pictures.astype(np.float32)) * 2 - 1, captions, torch.from_numpy(kinds).long())

    def _covers(self, kinds: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """How much of each pixel the shape covers (b h w), in 0..1: exact for squares."""
        count = len(kinds)
        radius = random.uniform(*RADIUS, count)[:, None, None] * self.size
        x, y = radius + random.random((2, count, 1, 1)) * (self.size - 2 * radius)
        pixel = np.arange(self.size) + 0.5
        dx, dy = np.abs(pixel[None, None, :] - x), np.abs(pixel[None, :, None] - y)
        circles = _inside(radius - np.hypot(dx, dy))
        squares = _inside(radius - dx) * _inside(radius - dy)
        return np.where(kinds[:, None, None] == 0, circles, squares)

    def _inks(self, colours: np.ndarray, random: np.random.Generator) -> np.ndarray:
        if self.channels == 1:
            return random.uniform(*GRAYS, (len(colours), 1))
        named = np.array([COLOURS[name] for name in self.colours])[colours] / 255
        jittered: np.ndarray = np.clip(named + random.uniform(-0.04, 0.04, named.shape), 0, 1)
        return jittered

    def _caption(self, kind: int, colour: int, random: np.random.Generator) -> str:
        coloured = self.channels == 3 and random.random() < NAMED
        name = f"{self.colours[colour]} {self.classes[kind]}" if coloured else self.classes[kind]
        return named(name, random)


def _inside(depth: np.ndarray) -> np.ndarray:
    """The covered share of a pixel whose centre lies `depth` pixels inside a straight edge."""
    share: np.ndarray = np.clip(depth + 0.5, 0, 1)
    return share
