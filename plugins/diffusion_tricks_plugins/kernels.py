"""Filters of any kernel: a Gaussian with two sigmas and an angle, and the mean along a line.

    G(u, v) ~ exp( -(u / sigma)^2 / 2 - (v / across)^2 / 2 ),   u along the angle, v across it

As in `filters`, lengths hold for a side of 64, edges are reflected, and what passes is taken from a picture to leave
the rest. Angles are in degrees, counter-clockwise from the right.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks_plugins.filters import REFERENCE_SIDE, Filter

REACH = 4  # sigma that a kernel reaches
FINE = 16  # points to a pixel of a line


def filtering(kernel: Tensor) -> Filter:
    """The filter by a kernel (k k) of odd sides, in both of which it reads the same backwards; by FFT."""
    radius = len(kernel) // 2

    def filtered(x: Tensor) -> Tensor:
        padded = F.pad(x.float(), (radius,) * 4, mode="reflect")  # (b c h+2r w+2r)
        size = (padded.shape[-2], padded.shape[-1])
        spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel.to(padded), s=size)
        out: Tensor = torch.fft.irfft2(spectrum, s=size)
        return out[..., 2 * radius :, 2 * radius :].to(x.dtype)

    return filtered


def oriented_gaussian(sigma: float, across: float, angle: float, side: int) -> Tensor:
    """The kernel (k k) of a Gaussian, which adds up to 1.

    sigma, across: its spread along the angle and across it, at a side of 64; both are scaled to `side`.
    """
    scale = side / REFERENCE_SIDE
    along, over = _turned(_radius(REACH * max(sigma, across) * scale, side), angle)
    kernel = torch.exp(-((along / (sigma * scale)) ** 2 + (over / (across * scale)) ** 2) / 2)
    return (kernel / kernel.sum()).float()


def line(length: float, angle: float, side: int) -> Tensor:
    """The kernel (k k) of a line of even weight, which adds up to 1; each of its points is shared by its four pixels.

    length: at a side of 64; scaled to `side`.
    """
    long = min(length * side / REFERENCE_SIDE, 2.0 * (side - 2))
    radius = _radius(long / 2 + 1, side)
    count = 2 * math.ceil(long * FINE / 2) + 1  # odd: it has a middle
    t = torch.linspace(-long / 2, long / 2, count, dtype=torch.float64)
    turn = math.radians(angle)
    columns, rows = radius + t * math.cos(turn), radius - t * math.sin(turn)
    kernel = torch.zeros(2 * radius + 2, 2 * radius + 2, dtype=torch.float64)
    left, top = columns.floor().long(), rows.floor().long()
    right, down = columns - left, rows - top  # shares of the next pixels
    for i, j, share in ((0, 0, (1 - down) * (1 - right)), (0, 1, (1 - down) * right), (1, 0, down * (1 - right)),
                        (1, 1, down * right)):  # fmt: skip
        kernel.index_put_((top + i, left + j), share / count, accumulate=True)
    return kernel[:-1, :-1].float()


def _radius(reach: float, side: int) -> int:
    """In whole pixels, and no further than a reflection can."""
    return min(max(1, math.ceil(reach)), side - 1)


def _turned(radius: int, angle: float) -> tuple[Tensor, Tensor]:
    """Every pixel's place along an angle and across it (k k)."""
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    down, right = at[:, None], at[None, :]
    turn = math.radians(angle)
    return right * math.cos(turn) - down * math.sin(turn), right * math.sin(turn) + down * math.cos(turn)
