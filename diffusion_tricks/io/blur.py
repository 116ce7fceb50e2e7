"""The Gaussian blur, as everybody's libraries have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def gaussian(sigma: float, taps: int, device: torch.device | str = "cpu") -> Tensor:
    """A Gaussian of `taps` values (an odd number) that add up to 1; sigma: in taps, > 0."""
    import torch

    radius = taps // 2
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    return (kernel / kernel.sum()).to(device, torch.float32)


def convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """x (b c h w) with every channel filtered by `kernel` (k) down the columns and along the rows."""
    import torch.nn.functional as F

    channels, radius = x.shape[1], len(kernel) // 2
    weight = kernel.to(x.dtype).expand(channels, 1, 1, -1)
    x = F.pad(x, (radius,) * 4, mode="reflect")  # (b c h+2r w+2r)
    x = F.conv2d(x, weight.transpose(2, 3), groups=channels)  # (b c h w+2r)
    return F.conv2d(x, weight, groups=channels)  # (b c h w)


def gaussian_blur(x: Tensor, kernel_size: int, sigma: float) -> Tensor:
    """Pictures (b c h w) blurred with reflected edges, as torchvision's `gaussian_blur` does.

    kernel_size: taps, odd, and at most 2 min(h, w) - 1, as further no reflection reaches; sigma: in pixels, > 0.
    Raises UsageError for others.
    """
    most = 2 * min(x.shape[-2:]) - 1
    if kernel_size % 2 != 1 or not 1 <= kernel_size <= most or sigma <= 0:
        raise UsageError(
            f"expected a kernel of an odd number of pixels up to {most} and a sigma above 0, got {kernel_size} and"
            f" {sigma}"
        )
    return convolved(x, gaussian(sigma, kernel_size, x.device))
