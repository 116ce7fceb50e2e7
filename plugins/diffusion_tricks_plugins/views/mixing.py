"""A random orthogonal view: no person can see through it, but the mathematics of anagrams holds for it as well.

    A = H S_2 H S_1 P        P a permutation, S_i random signs, H x = Re(F x) - Im(F x), Hartley's transform

H is symmetric and its own inverse, so A is orthogonal; by the fast Fourier transform it costs n log n at any size.
Structured random orthogonal matrices: Orthogonal Random Features, arXiv:1610.09072, section 4.
"""

from __future__ import annotations

import torch
from cachetools import LRUCache, cached
from torch import Tensor

from diffusion_tricks.plugin import View

Mix = tuple[Tensor, Tensor, Tensor]


class Orthogonal(View):
    """All pixels of a channel mixed by a random orthogonal matrix.

    seed: of the matrix. What a mask or a variance says of one pixel becomes the mean of all, as all are mixed evenly.
    """

    seed: int = 0

    def apply(self, x: Tensor) -> Tensor:
        """A x."""
        order, first, second = mix(self.seed, *x.shape[-2:], x.device)
        y = _precise(x).flatten(-2).index_select(-1, order).reshape(x.shape)
        return hartley(second * hartley(first * y)).to(x.dtype)

    def invert(self, x: Tensor) -> Tensor:
        """A^T x."""
        order, first, second = mix(self.seed, *x.shape[-2:], x.device)
        y = first * hartley(second * hartley(_precise(x)))
        return y.flatten(-2).index_select(-1, order.argsort()).reshape(x.shape).to(x.dtype)

    def apply_mask(self, x: Tensor) -> Tensor:
        """Its mean everywhere."""
        return x.mean((-2, -1), keepdim=True).expand(x.shape)

    def invert_variance(self, x: Tensor) -> Tensor:
        """Its mean everywhere."""
        return self.apply_mask(x)

    def instruction(self) -> str:
        """There is none that a person could follow."""
        return "let a computer mix all its pixels; no person can"


def hartley(x: Tensor) -> Tensor:
    """Hartley's transform of x (... h w), orthonormal and its own inverse."""
    f: Tensor = torch.fft.fft2(x, norm="ortho")
    return f.real - f.imag


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


@cached(LRUCache(8), key=lambda seed, height, width, device: (seed, height, width, str(device)))
def mix(seed: int, height: int, width: int, device: torch.device) -> Mix:
    """P as an order of pixels (h*w), S_1 and S_2 (h w)."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(height * width, generator=generator)
    signs = 2 * torch.randint(2, (2, height, width), generator=generator) - 1
    return order.to(device), signs[0].to(device), signs[1].to(device)
