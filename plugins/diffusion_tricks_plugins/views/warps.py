"""Warps: views that bend the picture, so that some of it is lost; they act on clean pictures alone, in pixel space.

Each is a map of places and its inverse. Where the viewer sees the picture smaller than it is, details too fine to see
are left out, level by level of a Laplacian pyramid, as in LookingGlass, arXiv:2504.08902.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from cachetools import LRUCache, cached
from pydantic import Field
from torch import Tensor

from diffusion_tricks.plugin import View
from diffusion_tricks_plugins.views.moving import places
from diffusion_tricks_plugins.views.rotation import inside

LEVELS = 4  # of the pyramid: what is seen up to 16 times smaller does not alias
BLURRED = 4  # pixels about a cut or a point over which a warp is not to be trusted

Places = tuple[Tensor, Tensor]  # right of and below the centre (h w), 1 is half the shorter side
Half = tuple[float, float]  # width and height of the frame from its centre, in the same unit


@dataclass(frozen=True)
class Sampling:
    """Where each pixel comes from, as `grid_sample` takes it (h w 2), and how much of each level it keeps."""

    grid: Tensor
    kept: list[Tensor]


class Warp(View):
    """Base of all warps: `source` and `target` are inverse to each other where the viewer sees the picture."""

    orthogonal: ClassVar[bool] = False

    @abstractmethod
    def source(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Where in the picture a place comes from that the viewer sees."""

    @abstractmethod
    def target(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Where the viewer sees a place of the picture."""

    def clear(self, right: Tensor, below: Tensor, half: Half) -> Tensor:
        """How far a place of the picture is from all that is cut or pressed into a point; below 0 it is not seen."""
        return torch.full_like(right, math.inf)

    def clearly(self, right: Tensor, below: Tensor, half: Half) -> Tensor:
        """As `clear`, for a place that the viewer sees."""
        return torch.full_like(right, math.inf)

    def apply(self, x: Tensor) -> Tensor:
        """Bent."""
        return sampled(x, _kept(self, "source", *x.shape[-2:], x.device), "bicubic")

    def invert(self, x: Tensor) -> Tensor:
        """Straight again."""
        return sampled(x, _kept(self, "target", *x.shape[-2:], x.device), "bicubic")

    def apply_mask(self, x: Tensor) -> Tensor:
        """Bent, without values that the mask does not hold."""
        return sampled(x, _kept(self, "source", *x.shape[-2:], x.device), "bilinear")

    def invert_variance(self, x: Tensor) -> Tensor:
        """Straight again, without values that the variance does not hold."""
        return sampled(x, _kept(self, "target", *x.shape[-2:], x.device), "bilinear")

    def seen(self, x: Tensor) -> Tensor:
        """1 for a pixel that lands in the frame, and far enough from every cut."""
        return self._share(x, self.target, self.clear)

    def filled(self, x: Tensor) -> Tensor:
        """1 for a pixel that comes from the frame, and far enough from every cut."""
        return self._share(x, self.source, self.clearly)

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Bent so far: every place is on a line from its own to where it comes from."""
        height, width = picture.shape[-2:]
        own, unit = unit_places(height, width, picture.device), min(height, width) / 2
        there = self.source(*own, (width / 2 / unit, height / 2 / unit))
        right, below = (torch.lerp(a, b, share) * unit for a, b in zip(own, there, strict=True))
        return sampled(picture, sampling(right, below, (height, width)), "bilinear")

    def _share(self, x: Tensor, to: Callable[..., Places], clear: Callable[..., Tensor]) -> Tensor:
        height, width = x.shape[-2:]
        unit = min(height, width) / 2
        half = width / 2 / unit, height / 2 / unit
        right, below = unit_places(height, width, x.device)
        landed = to(right, below, half)
        sharp = (clear(right, below, half) * unit / BLURRED - 0.5).clamp(0, 1)
        return (inside(x, landed[0] * unit, landed[1] * unit) * sharp).to(x.dtype)


def unit_places(height: int, width: int, device: torch.device) -> Places:
    """How far each pixel is right of and below the centre (h w), in halves of the shorter side."""
    right, below = places(height, width, device)
    return right * (2 / min(height, width)), below * (2 / min(height, width))


def sampling(right: Tensor, below: Tensor, size: tuple[int, int]) -> Sampling:
    """The sampling of a picture of a size (h w) at these places (h w), in pixels from its centre."""
    height, width = size
    shrinking = torch.stack([_steps(right, below, axis) for axis in (0, 1)]).amax(0).clamp(1, 2**LEVELS).log2()
    grid = torch.stack([right * (2 / width), below * (2 / height)], dim=-1)
    most = math.ceil(float(shrinking.max()) - 0.1)
    return Sampling(grid, [(k + 1 - shrinking).clamp(0, 1) for k in range(most)])


def _steps(right: Tensor, below: Tensor, axis: int) -> Tensor:
    """How far apart neighbours come from along an axis, in pixels (h w); over a cut the nearer neighbour counts."""
    steps = torch.hypot(right.diff(dim=axis), below.diff(dim=axis))
    first, last = steps.narrow(axis, 0, 1), steps.narrow(axis, steps.shape[axis] - 1, 1)
    return torch.minimum(torch.cat([first, steps], axis), torch.cat([steps, last], axis))


def sampled(x: Tensor, sampling: Sampling, mode: Literal["bicubic", "bilinear"]) -> Tensor:
    """x (b c h w) at the places of a sampling: sum_k kept_k L_k, and what is coarser than all L_k."""
    precise = x if x.dtype == torch.float64 else x.float()
    levels = pyramid(precise, len(sampling.kept))
    grid = sampling.grid.to(precise.dtype).expand(len(x), -1, -1, -1)
    pages = F.grid_sample(torch.cat(levels, 1), grid, mode, padding_mode="reflection", align_corners=False)
    *details, coarse = pages.chunk(len(levels), 1)
    return sum((kept * page for kept, page in zip(sampling.kept, details, strict=True)), coarse).to(x.dtype)


def pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """x (b c h w) as a Laplacian pyramid whose levels are all of its size, finest first; they add up to x."""
    found = []
    for k in range(levels):
        coarser = _blurred(x, 2**k)
        found.append(x - coarser)
        x = coarser
    return [*found, x]


def _blurred(x: Tensor, apart: int) -> Tensor:
    """x (b c h w) by the binomial filter of three taps along both axes, which stand so many pixels apart."""
    taps = x.new_tensor([1, 2, 1]) / 4
    padded = F.pad(x.flatten(0, 1)[:, None], (apart,) * 4, mode="replicate")  # (b*c 1 h+2a w+2a)
    across = F.conv2d(padded, taps.reshape(1, 1, 1, 3), dilation=apart)
    return F.conv2d(across, taps.reshape(1, 1, 3, 1), dilation=apart).reshape(x.shape)


@cached(
    LRUCache(32),
    key=lambda view, way, height, width, device: (view, way, height, width, str(device)),
    lock=Lock(),
)
def _kept(view: Warp, way: Literal["source", "target"], height: int, width: int, device: torch.device) -> Sampling:
    unit = min(height, width) / 2
    half = width / 2 / unit, height / 2 / unit
    right, below = getattr(view, way)(*unit_places(height, width, device), half)
    return sampling(right * unit, below * unit, (height, width))


class Scale(Warp):
    """The picture larger or smaller about its centre; smaller, it is surrounded by its reflection.

    factor: 2 is twice as large, of which the middle is seen; 1 changes nothing.
    """

    factor: Annotated[float, Field(ge=1 / 16, le=16)] = 0.5

    def source(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Nearer to the centre, if larger."""
        return right / self.factor, below / self.factor

    def target(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Farther from the centre, if larger."""
        return right * self.factor, below * self.factor

    def instruction(self) -> str:
        """A step."""
        return f"step {'closer' if self.factor > 1 else 'back'} until it looks {self.factor:g} times its size"


class Lens(Warp):
    """A lens in the middle of the picture: its disc is as it was, but what is in the midst of it is larger or smaller.

    r' = r / (m - (m - 1) r)        r of the lens's radius

    power: m, how much larger the middle is; below 1 it is smaller, 1 changes nothing. radius: a share of the shorter
    side, 0 to 0.5.
    """

    power: Annotated[float, Field(ge=0.2, le=5)] = 2
    radius: Annotated[float, Field(gt=0, le=0.5)] = 0.45

    def source(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Within the lens nearer to the centre, if larger."""
        return self._pushed(right, below, self.power)

    def target(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Within the lens farther from the centre, if larger."""
        return self._pushed(right, below, 1 / self.power)

    def instruction(self) -> str:
        """A glass."""
        return f"look at its middle through a glass that makes things {self.power:g} times their size"

    def _pushed(self, right: Tensor, below: Tensor, power: float) -> Places:
        r = (torch.hypot(right, below) / (2 * self.radius)).clamp(max=1)
        return right / (power - (power - 1) * r), below / (power - (power - 1) * r)


class Cylinder(Warp):
    """The picture rolled into a tube, and seen from the front: its sides are narrower, its middle wider.

    degrees: how much of the tube it goes round, below 180, which would hide its edges.
    """

    degrees: Annotated[float, Field(gt=0, lt=180)] = 150

    def source(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """The arc of a chord."""
        arc = math.radians(self.degrees / 2)
        return half[0] / arc * torch.asin((right / half[0] * math.sin(arc)).clamp(-1, 1)), below

    def target(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """The chord of an arc."""
        arc = math.radians(self.degrees / 2)
        return half[0] * torch.sin(right / half[0] * arc) / math.sin(arc), below

    def instruction(self) -> str:
        """A tube."""
        return f"roll the page into a tube, {self.degrees:g} degrees of it, and look at it from the front"


class Cone(Warp):
    """The picture cut from its lower edge to the middle, rolled into a cone, and seen from above its tip.

    degrees: of the page that is seen; the rest, to both sides of the cut, lies underneath.
    """

    degrees: Annotated[float, Field(ge=60, lt=360)] = 270

    def source(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """The same distance from the tip, at an angle that is a part of what is seen."""
        return _at(torch.hypot(right, below), _angle(right, below) * (self.degrees / 360))

    def target(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """The same distance from the tip, at an angle that goes all round."""
        angle = (_angle(right, below) * (360 / self.degrees)).clamp(-math.pi, math.pi)
        return _at(torch.hypot(right, below), angle)

    def clear(self, right: Tensor, below: Tensor, half: Half) -> Tensor:
        """From the edges of what lies on top, and from the tip."""
        r, beyond = torch.hypot(right, below), math.radians(self.degrees / 2) - _angle(right, below).abs()
        return torch.minimum(r * beyond, r / 2)

    def clearly(self, right: Tensor, below: Tensor, half: Half) -> Tensor:
        """From the seam, and from the tip."""
        r, beyond = torch.hypot(right, below), math.pi - _angle(right, below).abs()
        return torch.minimum(r * beyond, r / 2)

    def instruction(self) -> str:
        """A cone."""
        return (
            f"cut it from below to the middle, roll {self.degrees:g} degrees of it into a cone, look at that from above"
        )


class Polar(Warp):
    """The disc of the picture unrolled: its rim is the upper edge, its centre the lower, what is up is in the middle.

    Of the corners nothing is seen.
    """

    def source(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Angle by place from left to right, distance from the centre by height."""
        return _at((1 - below / half[1]) / 2, right / half[0] * math.pi)

    def target(self, right: Tensor, below: Tensor, half: Half) -> Places:
        """Place from left to right by angle, height by distance from the centre."""
        return _angle(right, below) / math.pi * half[0], (1 - 2 * torch.hypot(right, below)) * half[1]

    def clear(self, right: Tensor, below: Tensor, half: Half) -> Tensor:
        """From the seam below the centre, and from the centre."""
        r, beyond = torch.hypot(right, below), math.pi - _angle(right, below).abs()
        return torch.minimum(r * beyond, r / 4)

    def clearly(self, right: Tensor, below: Tensor, half: Half) -> Tensor:
        """From the left and the right edge, which meet, from the lower edge, which is a point, and from the rim."""
        r = (1 - below / half[1]) / 2
        return torch.minimum(torch.minimum(r * math.pi * (1 - right.abs() / half[0]), r / 4), 1 - r)

    def instruction(self) -> str:
        """A ring."""
        return "unroll it about its centre: walk round it, and lay what you pass side by side"


def _angle(right: Tensor, below: Tensor) -> Tensor:
    """Clockwise from straight up, -pi to pi."""
    return torch.atan2(right, -below)


def _at(r: Tensor, angle: Tensor) -> Places:
    return r * torch.sin(angle), -r * torch.cos(angle)


__all__ = ["Cone", "Cylinder", "Lens", "Polar", "Scale", "Warp"]
