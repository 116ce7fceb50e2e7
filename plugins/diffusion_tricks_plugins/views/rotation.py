"""Views by any angle: they interpolate, and so act on clean pictures alone, but for quarter turns, which are exact.

LookingGlass, arXiv:2504.08902, makes anagrams of such views.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from diffusion_tricks.plugin import View
from diffusion_tricks_plugins.views.moving import spun
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

    def instruction(self) -> str:
        """A turn."""
        return _turn("the page", self.degrees)

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Turned; where that ends in a picture that fills the frame again, small enough to stay in it."""
        degrees = self.degrees * share
        return spun(picture, degrees) if self.orthogonal else rotated(picture, degrees, "bilinear")


class InnerCircle(View):
    """The disc of radius 3/8 of the side, turned about the centre; what lies outside stays.

    degrees: counter-clockwise; by a multiple of 90 it is a permutation, by any other angle it is interpolated, so that
    it acts on clean pictures alone. radius: a share of the shorter side, 0 to 0.5.
    """

    degrees: float = 180
    radius: Annotated[float, Field(gt=0, le=0.5)] = 3 / 8

    @property
    def orthogonal(self) -> bool:  # type: ignore[override]
        """By quarters alone."""
        return self.degrees % 90 == 0

    def apply(self, x: Tensor) -> Tensor:
        """The disc turned counter-clockwise."""
        return self._turned(x, self.degrees)

    def invert(self, x: Tensor) -> Tensor:
        """The disc turned back."""
        return self._turned(x, -self.degrees)

    def apply_mask(self, x: Tensor) -> Tensor:
        """The disc turned counter-clockwise, without values that the mask does not hold."""
        return self._turned(x, self.degrees, "bilinear")

    def invert_variance(self, x: Tensor) -> Tensor:
        """The disc turned back, without values that the variance does not hold."""
        return self._turned(x, -self.degrees, "bilinear")

    def seen(self, x: Tensor) -> Tensor:
        """All but the rim of a disc that is interpolated, where inside and outside mix."""
        share = (self._inwards(x).abs() / 2 - 1).clamp(0, 1)
        return share[None, None] if not self.orthogonal else x.new_ones(1, 1, *x.shape[-2:])

    def filled(self, x: Tensor) -> Tensor:
        """As `seen`."""
        return self.seen(x)

    def instruction(self) -> str:
        """A turn of a disc."""
        return _turn("the disc in the middle", self.degrees)

    def between(self, picture: Tensor, share: float) -> Tensor:
        """The disc turned so far."""
        return self._turned(picture, self.degrees * share, "bilinear")

    def _turned(self, x: Tensor, degrees: float, mode: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
        square = middle(x)
        inside = self._inwards(square) >= 0
        disc = torch.where(inside, rotated(square, degrees, mode), square)
        top, left = (x.shape[-2] - disc.shape[-2]) // 2, (x.shape[-1] - disc.shape[-1]) // 2
        right, bottom = x.shape[-1] - disc.shape[-1] - left, x.shape[-2] - disc.shape[-2] - top
        around = F.pad(torch.ones_like(disc), (left, right, top, bottom))
        return torch.where(around > 0, F.pad(disc, (left, right, top, bottom)), x)

    def _inwards(self, x: Tensor) -> Tensor:
        """How far each pixel is inside the rim of the disc, in pixels (h w)."""
        side, (height, width) = min(x.shape[-2:]), x.shape[-2:]
        below = torch.arange(height, device=x.device)[:, None] - (height - side) // 2 - (side - 1) / 2
        right = torch.arange(width, device=x.device) - (width - side) // 2 - (side - 1) / 2
        return self.radius * side - (below.square() + right.square()).sqrt()


def middle(x: Tensor) -> Tensor:
    """The largest square of x (b c h w) about its middle."""
    side = min(x.shape[-2:])
    top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
    return x[..., top : top + side, left : left + side]


def _turn(what: str, degrees: float) -> str:
    named: dict[float, str] = {90: "a quarter", 180: "half-way round", 270: "three quarters"}
    by = named.get(abs(degrees), f"by {abs(degrees):g} degrees")
    return f"turn {what} {by}" + ("" if abs(degrees) == 180 else " counter-clockwise" if degrees > 0 else " clockwise")


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
