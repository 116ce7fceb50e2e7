"""A view by any angle: it interpolates, and so acts on clean pictures alone, but for quarter turns, which are exact.

LookingGlass, arXiv:2504.08902, makes anagrams of such views.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.plugin import View
from diffusion_tricks_plugins.views.orthogonal import turned

SOFT = 1 / 16  # share of the side over which a frame that was turned fades out, so that its edge leaves no seam


class Rotate(View):
    """The picture turned about its centre by any angle, interpolated, so that it acts on clean pictures alone.

    degrees: counter-clockwise. The corners that are turned out of the frame are not seen; those that are turned into it
    hold the picture's reflection. By a multiple of 90 it is a permutation, as `rotate_ccw` is, and needs a square.
    """

    degrees: float

    @property
    def orthogonal(self) -> bool:  # type: ignore[override]
        """By quarters alone."""
        return self.degrees % 90 == 0

    @property
    def latent(self) -> bool:  # type: ignore[override]
        """By quarters alone."""
        return self.orthogonal

    def apply(self, x: Tensor) -> Tensor:
        """Counter-clockwise."""
        return rotated(x, self.degrees)

    def invert(self, x: Tensor) -> Tensor:
        """Clockwise."""
        return rotated(x, -self.degrees)

    def apply_mask(self, x: Tensor) -> Tensor:
        """Counter-clockwise, without values that the mask does not hold."""
        return rotated(x, self.degrees, "bilinear")

    def invert_variance(self, x: Tensor) -> Tensor:
        """Clockwise, without values that the variance does not hold."""
        return rotated(x, -self.degrees, "bilinear")

    def seen(self, x: Tensor) -> Tensor:
        """1 for a pixel that lands in the frame."""
        return inside(x, *sources(x, -self.degrees))

    def filled(self, x: Tensor) -> Tensor:
        """1 for a pixel that comes from the frame."""
        return inside(x, *sources(x, self.degrees))


def rotated(x: Tensor, degrees: float, mode: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """x (b c h w) turned counter-clockwise about its centre; the corners hold its reflection."""
    if degrees % 90 == 0:
        return turned(x, int(degrees // 90))
    height, width = x.shape[-2:]
    precise = x if x.dtype == torch.float64 else x.float()  # half precision has no room for a sampling grid
    right, below = sources(precise, degrees)
    grid = torch.stack([right * (2 / width), below * (2 / height)], dim=-1)  # (h w 2), the frame is -1..1
    return F.grid_sample(
        precise, grid.expand(len(x), -1, -1, -1), mode, padding_mode="reflection", align_corners=False
    ).to(x.dtype)  # fmt: skip


def sources(x: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """Where each pixel of x (b c h w) comes from when it is turned counter-clockwise: right of and below the centre.

    Both are in pixels (h w).
    """
    height, width = x.shape[-2:]
    below = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] - (height - 1) / 2
    right = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return cos * right - sin * below, sin * right + cos * below


def inside(x: Tensor, right: Tensor, below: Tensor) -> Tensor:
    """1 (1 1 h w) where a place, in pixels from the centre, is in the frame of x (b c h w), falling to 0 around it."""
    height, width = x.shape[-2:]
    outside = torch.maximum(right.abs() - width / 2, below.abs() - height / 2)
    return (1 - outside / (SOFT * min(height, width))).clamp(0, 1)[None, None]
