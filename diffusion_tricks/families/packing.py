"""Latents as tokens of 2 x 2, as FLUX and Qwen-Image are shown them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from diffusion_tricks.families.shapes import PATCH


def packed(x: Tensor) -> Tensor:
    """Latents (n c h w) as tokens (n h/2*w/2 4c), row by row; the four of a channel stand side by side."""
    return pixel_unshuffle(x, PATCH).flatten(2).transpose(1, 2).contiguous()


def unpacked(tokens: Tensor, height: int) -> Tensor:
    """Tokens (n h/2*w/2 4c) as latents (n c h w); height: h."""
    n, _, channels = tokens.shape
    return pixel_shuffle(tokens.transpose(1, 2).reshape(n, channels, height // PATCH, -1), PATCH)
