"""Pictures as CLIP's own image processor prepares them, but as tensors, so that gradients go back through it."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def as_prepared(processor: Any, pixels: Tensor) -> Tensor:
    """Pictures (b 3 H W) in -1..1, resized, cropped and normalised (b 3 h w); not rounded to 8 bits on the way."""
    crop = processor.crop_size["height"], processor.crop_size["width"]
    short = processor.size["shortest_edge"] / min(pixels.shape[-2:])
    sides = [round(length * short) for length in pixels.shape[-2:]]
    x = F.interpolate(pixels, sides, mode="bicubic", antialias=True, align_corners=False)
    top, left = ((side - kept) // 2 for side, kept in zip(sides, crop, strict=True))
    x = x[..., top : top + crop[0], left : left + crop[1]]
    mean, std = (x.new_tensor(values)[:, None, None] for values in (processor.image_mean, processor.image_std))
    prepared: Tensor = (x / 2 + 0.5 - mean) / std
    return prepared
