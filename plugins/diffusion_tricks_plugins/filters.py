"""Linear filters that take a picture apart into bands which add up to it again.

    low = G x,  high = x - G x                           Hybrid Images, Oliva et al. 2006
    high = x - G1 x,  low = G2 G1 x,  mid = G1 x - low   Factorized Diffusion, arXiv:2404.11615

Lengths are in pixels of whatever is filtered; those of the papers hold for a side of 64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.plugin import convolved, gaussian

Filter = Callable[[Tensor], Tensor]  # (b c h w) -> (b c h w), linear
REFERENCE_SIDE = 64
MOTION = 7  # pixels at that side: how far a hybrid of motion is blurred


def odd(length: float) -> int:
    """`length` as an odd number of pixels, so that it has a middle: 7 for 7, 29 for 28, 17 for 16.5."""
    return 2 * int(length // 2) + 1


def blur(sigma: float, taps: int, side: int, device: torch.device | str = "cpu") -> Filter:
    """A Gaussian blur with reflected edges, one axis after the other.

    sigma, taps: as at a side of 64; both are scaled to `side`, the shorter one of what is filtered. The kernel reaches
    four sigma at least, but never further than a reflection can.
    """
    scale = side / REFERENCE_SIDE
    reach = max(odd(taps * scale) // 2, math.ceil(4 * sigma * scale))
    kernel = gaussian(sigma * scale, 2 * min(reach, side - 1) + 1, device)
    return lambda x: convolved(x, kernel)


def motion(length: float, side: int) -> Filter:
    """The mean along a diagonal line, from top left to bottom right, of `length` pixels at a side of 64."""
    taps = odd(length * side / REFERENCE_SIDE)

    def moved(x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded = F.pad(x, (taps // 2,) * 4, mode="reflect")
        return torch.stack([padded[..., i : i + height, i : i + width] for i in range(taps)]).mean(0)

    return moved


def gray(x: Tensor) -> Tensor:
    """The mean of the channels, in each of them."""
    return x.mean(1, keepdim=True).expand_as(x)


def two_bands(low: Filter) -> list[Filter]:
    """`low`, and what it leaves."""
    return [low, lambda x: x - low(x)]


def three_bands(fine: Filter, coarse: Filter) -> list[Filter]:
    """Low, mid and high: what passes both filters, what passes only `fine`, and what neither passes."""
    return [lambda x: coarse(fine(x)), lambda x: fine(x) - coarse(fine(x)), lambda x: x - fine(x)]


def identity_error(bands: Sequence[Filter], shape: Sequence[int], device: torch.device | str = "cpu") -> float:
    """How far the bands are from adding up to the identity: the largest difference over Gaussian noise (c h w)."""
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    total = sum((band(x) for band in bands), torch.zeros_like(x))
    return float((total - x).abs().max())
