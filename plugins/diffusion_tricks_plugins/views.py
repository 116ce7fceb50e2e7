"""The built-in views: permutations and sign flips, all orthogonal (Visual Anagrams, arXiv:2311.17919, section 3.3).

And one that is not: `rotate`, by any angle, which interpolates and so acts on clean pictures alone; but for quarter
turns, which are permutations by whatever name.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.views import View

SOFT = 1 / 16  # share of the side over which a frame that was turned fades out, so that its edge leaves no seam


class Identity(View):
    """The picture as it is; the same tensor, so that equal asks are answered once."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def invert(self, x: Tensor) -> Tensor:
        """x itself."""
        return x


class Flip(View):
    """Rows in reverse order."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """Upside down."""
        return x.flip(-2)

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return x.flip(-2)


class Mirror(View):
    """Columns in reverse order."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """Left to right."""
        return x.flip(-1)

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return x.flip(-1)


class _Turn(View):
    """Quarter turns counter-clockwise; a base for the three that have names."""

    latent: ClassVar[bool] = True

    def _turned(self, x: Tensor, quarters: int) -> Tensor:
        return turned(x, quarters)


def turned(x: Tensor, quarters: int) -> Tensor:
    """x (b c h w) turned counter-clockwise by quarters; x itself for none. Raises UsageError where that cannot be.

    What is turned may be latents, so the message names no size: it would not be the picture's.
    """
    if quarters % 2 and x.shape[-1] != x.shape[-2]:
        raise UsageError("a quarter turn needs a square picture; set --size to a square")
    return x.rot90(quarters, (-2, -1)) if quarters % 4 else x


class RotateCW(_Turn):
    """A quarter turn clockwise."""

    def apply(self, x: Tensor) -> Tensor:
        """Clockwise."""
        return self._turned(x, -1)

    def invert(self, x: Tensor) -> Tensor:
        """Counter-clockwise."""
        return self._turned(x, 1)


class RotateCCW(_Turn):
    """A quarter turn counter-clockwise."""

    def apply(self, x: Tensor) -> Tensor:
        """Counter-clockwise."""
        return self._turned(x, 1)

    def invert(self, x: Tensor) -> Tensor:
        """Clockwise."""
        return self._turned(x, -1)


class Rotate180(_Turn):
    """A half turn."""

    def apply(self, x: Tensor) -> Tensor:
        """Upside down and left to right."""
        return self._turned(x, 2)

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return self._turned(x, 2)


class Negate(View):
    """Every value negated: the picture's negative."""

    def apply(self, x: Tensor) -> Tensor:
        """-x."""
        return -x

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return -x

    def apply_mask(self, x: Tensor) -> Tensor:
        """A mask has no sign to turn."""
        return x

    def invert_variance(self, x: Tensor) -> Tensor:
        """A variance has no sign to turn."""
        return x


class Skew(View):
    """Column j shifted down by round(factor * (j - centre)), around the edge.

    factor: rows per column; 0 changes nothing, 1.5 is the reference's.
    """

    factor: float = 1.5

    def _shifted(self, x: Tensor, sign: int) -> Tensor:
        height, width = x.shape[-2:]
        columns = torch.arange(width, device=x.device)
        shift = (self.factor * (columns - (width - 1) / 2)).round().long() * sign
        rows = (torch.arange(height, device=x.device)[:, None] - shift) % height  # (h w)
        return x[..., rows, columns]

    def apply(self, x: Tensor) -> Tensor:
        """Sloped."""
        return self._shifted(x, 1)

    def invert(self, x: Tensor) -> Tensor:
        """Straight again."""
        return self._shifted(x, -1)


class Patches(View):
    """Square patches of a grid, shuffled by a seed.

    grid: patches a side, which must divide height and width. seed: of the permutation.
    """

    grid: Annotated[int, Field(ge=1)] = 8
    seed: int = 0

    def _cut(self, x: Tensor) -> Tensor:
        """(b c h w) -> (b c n p q), n patches in reading order."""
        b, c, h, w = x.shape
        if h % self.grid or w % self.grid:
            raise UsageError(f"patches:{self.grid} needs a height and width that {self.grid} divides, got {w}x{h}")
        cut = x.reshape(b, c, self.grid, h // self.grid, self.grid, w // self.grid)
        return cut.permute(0, 1, 2, 4, 3, 5).reshape(b, c, self.grid**2, h // self.grid, w // self.grid)

    def _joined(self, patches: Tensor, like: Tensor) -> Tensor:
        b, c, _, p, q = patches.shape
        grid = patches.reshape(b, c, self.grid, self.grid, p, q)
        return grid.permute(0, 1, 2, 4, 3, 5).reshape(like.shape)

    def apply(self, x: Tensor) -> Tensor:
        """Shuffled."""
        return self._joined(self._cut(x)[:, :, shuffling(self.grid**2, self.seed, x.device)[0]], x)

    def invert(self, x: Tensor) -> Tensor:
        """Put back."""
        return self._joined(self._cut(x)[:, :, shuffling(self.grid**2, self.seed, x.device)[1]], x)


@cache
def shuffling(count: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A permutation of `count` places and its inverse; kept, as a GPU would wait for it in every step."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order.to(device), order.argsort().to(device)


class InnerCircle(View):
    """The disc of radius 3/8 of the side, turned about the centre; what lies outside stays.

    degrees: counter-clockwise, a multiple of 90, so that it is a permutation; others would interpolate.
    radius: a share of the shorter side, 0 to 0.5.
    """

    degrees: int = 180
    radius: Annotated[float, Field(gt=0, le=0.5)] = 3 / 8

    def _turned(self, x: Tensor, quarters: int) -> Tensor:
        height, width = x.shape[-2:]
        if self.degrees % 90 or (height != width and self.degrees % 180):
            raise UsageError(f"inner_circle takes multiples of 90 degrees, of 180 unless square, got {self.degrees}")
        y = torch.arange(height, device=x.device)[:, None] - (height - 1) / 2
        z = torch.arange(width, device=x.device) - (width - 1) / 2
        inside = (y.square() + z.square()) <= math.pow(self.radius * min(height, width), 2)
        return torch.where(inside, x.rot90(quarters, (-2, -1)), x)

    def apply(self, x: Tensor) -> Tensor:
        """The disc turned counter-clockwise."""
        return self._turned(x, self.degrees // 90)

    def invert(self, x: Tensor) -> Tensor:
        """The disc turned back."""
        return self._turned(x, -(self.degrees // 90))


class Rotate(View):
    """The picture turned about its centre by any angle, interpolated, so that it acts on clean pictures alone.

    degrees: counter-clockwise. The corners that are turned out of the frame are not seen; those that are turned into it
    hold the picture's reflection. By a multiple of 90 it is a permutation, as `rotate_ccw` is, and needs a square.
    """

    degrees: float

    @property
    def quarters(self) -> int | None:
        """Quarter turns counter-clockwise, None for other angles."""
        return None if self.degrees % 90 else int(self.degrees // 90)

    @property
    def orthogonal(self) -> bool:  # type: ignore[override]
        """By quarters alone."""
        return self.quarters is not None

    @property
    def latent(self) -> bool:  # type: ignore[override]
        """By quarters alone."""
        return self.quarters is not None

    def apply(self, x: Tensor) -> Tensor:
        """Counter-clockwise."""
        return rotated(x, self.degrees) if self.quarters is None else turned(x, self.quarters)

    def invert(self, x: Tensor) -> Tensor:
        """Clockwise."""
        return rotated(x, -self.degrees) if self.quarters is None else turned(x, -self.quarters)

    def apply_mask(self, x: Tensor) -> Tensor:
        """Counter-clockwise, without values that the mask does not hold."""
        return rotated(x, self.degrees, "bilinear") if self.quarters is None else self.apply(x)

    def invert_variance(self, x: Tensor) -> Tensor:
        """Clockwise, without values that the variance does not hold."""
        return rotated(x, -self.degrees, "bilinear") if self.quarters is None else self.invert(x)

    def seen(self, x: Tensor) -> Tensor:
        """1 for a pixel that lands in the frame."""
        return inside(x, *sources(x, -self.degrees)) if self.quarters is None else super().seen(x)

    def filled(self, x: Tensor) -> Tensor:
        """1 for a pixel that comes from the frame."""
        return inside(x, *sources(x, self.degrees)) if self.quarters is None else super().filled(x)


def rotated(x: Tensor, degrees: float, mode: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """x (b c h w) turned counter-clockwise about its centre; the corners hold its reflection."""
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
