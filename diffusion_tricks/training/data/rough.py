"""Pictures as a generator may draw them, or as they are seen from afar."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.training.data.styles import smooth_noise


def roughened(pictures: Tensor, strength: float, random: np.random.Generator) -> Tensor:
    """Pictures (b 3 h w) in -1..1 as a generator may draw them, or as seen from afar.

    A third are blurred (sigma up to 3 px at 64), others are noisy or stained, some gray; contrast and tint differ.
    strength: of all that, 0 to 1; 0 changes nothing.
    """
    count, size = len(pictures), pictures.shape[-1]
    x = pictures.clone()
    hit = [torch.from_numpy(random.random(count) < strength * share) for share in (0.33, 0.06, 0.3, 0.3)]
    soft, gray, noisy, stained = (torch.nonzero(each)[:, 0] for each in hit)
    if len(soft):
        x[soft] = blurred(x[soft], (0.4 + 2.6 * random.random() ** 1.5) * size / 64)
    x[gray] = x[gray].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    tint = torch.from_numpy(random.uniform(-1, 1, (count, 4, 1, 1)).astype(np.float32)) * strength
    x = x * (1 + 0.2 * tint[:, 3:]) + 0.1 * tint[:, :3]
    sand = torch.from_numpy(random.standard_normal((len(noisy), 3, size, size), dtype=np.float32))
    x[noisy] += sand * torch.from_numpy(random.uniform(0, 0.2, (len(noisy), 1, 1, 1)).astype(np.float32))
    if len(stained):
        stain = torch.stack([smooth_noise(size, random.uniform(1, 6), random) for _ in stained])  # (k 1 h w)
        x[stained] += 0.25 * stain * tint[stained, :3]
    return x.clamp(-1, 1)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (b c h w), sigma in pixels, reflected edges."""
    radius = math.ceil(3 * sigma)
    at = torch.arange(-radius, radius + 1) / sigma
    kernel = torch.exp(-0.5 * at.square())
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (radius,) * 4, mode="reflect")
    x = F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])
    return F.conv2d(x, kernel, groups=x.shape[1])
