"""Masks by what the picture's pixels are: their colour, their brightness, their alpha.

luma Y = 0.299 R + 0.587 G + 0.114 B of gamma-coded values        Rec. ITU-R BT.601, as in Pillow's mode L
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

import numpy as np
from PIL import ImageColor

from diffusion_tricks.plugin import UsageError, alpha_of, flatten
from diffusion_tricks_plugins.masks.mask import Canvas, Weights, hard, settled
from diffusion_tricks_plugins.masks.numbers import Malformed

COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
LUMA = re.compile(r"\s*(>=|<=|>|<)\s*(\d+(?:\.\d+)?)\s*(%?)\s*")
REC601 = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Colour:
    """Every pixel none of whose channels (0..255) is more than `tolerance` from that of a colour."""

    text: str
    rgb: tuple[int, ...]
    tolerance: float = 0

    @classmethod
    def read(cls, text: str, value: str) -> Colour:
        """Of `#0f0`, `green` or `#00ff00~12`. Raises Malformed."""
        name, tilde, tolerance = value.partition("~")
        try:
            rgb = ImageColor.getrgb(name.strip())[:3]
        except ValueError:
            raise Malformed(f"expected a colour, as #0f0 or green, got {name!r}") from None
        if tilde and not re.fullmatch(r"\s*\d+(\.\d+)?\s*", tolerance):
            raise Malformed(f"expected a tolerance of 0 to 255 after ~, got {tolerance!r}", len(name) + 1)
        return cls(text, rgb, float(tolerance or 0))

    def draw(self, canvas: Canvas) -> Weights:
        """Alpha is not looked at."""
        pixels = np.asarray(canvas.shown(self.text).image.convert("RGB")).astype(np.int16)  # (h w 3)
        return hard(np.abs(pixels - np.array(self.rgb, np.int16)).max(axis=2) <= self.tolerance)


@dataclass(frozen=True)
class Luma:
    """Every pixel that is brighter, or darker, than a share of white."""

    text: str
    comparison: str
    share: float  # 0..1

    @classmethod
    def read(cls, text: str, value: str) -> Luma:
        """Of `>70%`, `<=30%` or, of 255, `>178`. Raises Malformed."""
        found = LUMA.fullmatch(value)
        if found is None:
            raise Malformed("expected a comparison with a brightness, as >70% or <30%")
        share = float(found[2]) / (100 if found[3] else 255)
        if share > 1:
            raise Malformed(f"expected a brightness of at most 100 %, or 255, got {found[2]}{found[3]}", found.start(2))
        return cls(text, found[1], share)

    def draw(self, canvas: Canvas) -> Weights:
        """What is transparent is laid on white."""
        pixels = np.asarray(flatten(canvas.shown(self.text).image)).astype(np.float32)  # (h w 3)
        return hard(COMPARISONS[self.comparison](pixels @ REC601 / 255, self.share))


@dataclass(frozen=True)
class Alpha:
    """What is transparent in the picture, or in a file as large."""

    text: str
    path: str | None = None

    def draw(self, canvas: Canvas) -> Weights:
        """Raises UsageError for a picture without alpha, and a file of another size; PictureError for one unread."""
        from diffusion_tricks_plugins.masks.files import sized

        image = canvas.shown(self.text).image if self.path is None else sized(self.path, canvas)
        alpha = alpha_of(image)
        if alpha is None:
            named = canvas.name if self.path is None else self.path
            raise UsageError(
                f"mask {self.text!r}: {named} has no alpha channel; give a mask file, a box: or an ellipse:"
            )
        return settled(255 - np.asarray(alpha))
