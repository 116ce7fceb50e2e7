"""Pictures taken apart by scale, coarse to fine, into as many bands as are wanted, which add up to the picture.

    band_1 = A_n x,   band_(i+1) = A_(n-i) x - A_(n-i+1) x,   A_0 x = x

A_k is what k levels of halving leave: of the Laplacian pyramid (Burt and Adelson 1983), blurred by (1 4 6 4 1) / 16,
halved, and brought back to size as often; or of a wavelet transform (Mallat 1989), its approximation of level k. As the
transform is a perfect one, A_(k-1) x - A_k x is what the details of level k give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusion_tricks.plugin import UsageError, convolved
from diffusion_tricks_plugins.filters import Filter

Values = NDArray[np.float64]
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
SMALLEST = 3  # side, in pixels, of what the pyramid still halves


def bands(kept: Sequence[Filter]) -> list[Filter]:
    """A band more than approximations A_k, which are `kept`, both coarse to fine."""
    between: list[Filter] = [partial(_difference, fine, coarse) for coarse, fine in pairwise(kept)]
    return [kept[0], *between, lambda x: x - kept[-1](x)]


def _difference(fine: Filter, coarse: Filter, x: Tensor) -> Tensor:
    return fine(x) - coarse(x)


def pyramid(levels: int) -> Filter:
    """A_k of the Laplacian pyramid."""
    return partial(_smoothed, levels)


def check_levels(levels: int, side: int, count: int) -> None:
    """Raises UsageError where a picture of that shorter side cannot be halved so often, for `count` bands."""
    sides = [side]
    while sides[-1] >= SMALLEST:
        sides.append(-(-sides[-1] // 2))
    if levels >= len(sides):
        fewer = max(2, count - (levels - len(sides) + 1))
        raise UsageError(f"{count} bands need {levels} halvings, and what is taken apart is {side} pixels a side, which"
                         f" can be halved {len(sides) - 1} times; give {fewer} parts or fewer")  # fmt: skip


def _smoothed(levels: int, x: Tensor) -> Tensor:
    if not levels:
        return x
    kernel = torch.tensor(BINOMIAL, device=x.device)
    small = _smoothed(levels - 1, convolved(x, kernel)[..., ::2, ::2])
    wide = x.new_zeros(x.shape)
    wide[..., ::2, ::2] = small
    return convolved(wide, 2 * kernel)


def pyramid_sigma(levels: int) -> float:
    """The spread of A_k as that of a Gaussian, in pixels: the binomial's variance is 1, twice at each level."""
    return math.sqrt(2 * sum(4.0**k for k in range(levels)))


def wavelet(moments: int, levels: int, height: int, width: int, device: torch.device | str = "cpu") -> Filter:
    """A_k of Daubechies' wavelet with so many vanishing moments, with edges mirrored, at a size (h w)."""
    low = daubechies(moments)
    down, across = (torch.from_numpy(_approximation(low, levels, n)).to(device, torch.float32) for n in (height, width))
    return lambda x: down.to(x.dtype) @ x @ across.T.to(x.dtype)


def daubechies(moments: int) -> Values:
    """The low pass of Daubechies' wavelet (2 N) with N vanishing moments, 1 (Haar) to 10; it adds up to sqrt 2.

    (1 + z)^N prod (z - z_k), where the z_k, within the unit circle, are the roots of
    sum_k C(N-1+k, k) y^k,  y = (2 - z - 1/z) / 4.      Ten Lectures on Wavelets, 1992, section 6.1
    """
    series = [math.comb(moments - 1 + k, k) for k in range(moments)]
    found = np.array([1.0 + 0j])
    for y in np.roots(series[::-1]):
        middle = 1 - 2 * y
        roots = middle + np.array([1, -1]) * np.sqrt(middle**2 - 1 + 0j)
        found = np.convolve(found, [1, -roots[np.argmin(abs(roots))]])
    for _ in range(moments):
        found = np.convolve(found, [1, 1])
    real: Values = found.real
    low: Values = real / real.sum() * math.sqrt(2)
    return low


def _approximation(low: Values, levels: int, length: int) -> Values:
    """A_k along one axis, as a matrix (n n)."""
    if not levels:
        return np.eye(length)
    analysis, synthesis = _step(low, length)
    return synthesis @ _approximation(low, levels - 1, len(analysis)) @ analysis


def _step(low: Values, length: int) -> tuple[Values, Values]:
    """One level of analysis (m n) and of synthesis (n m), m = (n + L - 1) // 2, with half-sample mirrored edges."""
    taps = len(low)
    half = (length + taps - 1) // 2
    analysis, synthesis = np.zeros((half, length)), np.zeros((length, half))
    for k in range(half):
        for j, weight in enumerate(low):
            at = 2 * k + 2 - taps + j
            analysis[k, _mirrored(at, length)] += weight
            if 0 <= at < length:
                synthesis[at, k] += weight
    return analysis, synthesis


def _mirrored(at: int, length: int) -> int:
    at %= 2 * length
    return at if at < length else 2 * length - 1 - at
