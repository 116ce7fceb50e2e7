"""A part of a picture shown to the model, and what the model made of it laid back into the picture.

No paper: a weighted mean of what is visible, and a mean over what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Source
    from diffusion_tricks_plugins.masks import Weights

Samples = NDArray[Any]
Shares = NDArray[np.floating[Any]]
BAND = 256  # rows that are blended at a time


def uncontaminated(source: Source, kept: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    """The region at `size` (width, height), where what is kept (H W) takes no colour from what is made new.

    Plain resampling would leave a rim of the old content around the mask, for the model to continue. Each kept pixel is
    the mean over the kept pixels under the same kernel: resample(kept colour) / resample(kept).
    """
    seen = source.seen(size)
    part = source.part
    if part.size == size or not kept.any():
        return seen
    share = _resampled(kept.astype(np.float32), size)
    colour = np.asarray(part) * kept[..., None].astype(np.float32)  # (H W 3)
    mean = np.stack([_resampled(colour[..., i], size) for i in range(3)], axis=2) / np.maximum(share, 0.5)[..., None]
    mixed = (share > 0.5) & (abs(share - 1) > 1e-4)  # a kernel that lies on one side of the mask's edge mixes nothing
    return Image.fromarray(np.where(mixed[..., None], mean.round().clip(0, 255).astype(np.uint8), np.asarray(seen)))


def _resampled(values: Shares, size: tuple[int, int]) -> Shares:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.LANCZOS))


def blended(old: Samples, new: Samples, weights: Weights, top: float, fill: bool, keep_alpha: bool = False) -> Samples:
    """`old` (h w c) with the colours `new` laid on it by weights (h w) of 0..255; weight 0 keeps every bit.

    top: the value of white and of opaque. With alpha, which `old` has one channel more for, colours are blended by what
    is visible of them. fill: lay `old` on `new`, opaque, wherever there is weight: what was transparent is filled.
    keep_alpha: blend colours alone, as if all were visible, and leave alpha as it is. Some rows at a time, so that a
    large photo takes no more memory than its own.
    """
    after = np.empty_like(old)
    for first in range(0, len(old), BAND):
        rows = slice(first, first + BAND)
        after[rows] = _blended(old[rows], new[rows], weights[rows], top, fill, keep_alpha)
    return after


def _blended(old: Samples, new: Samples, weights: Weights, top: float, fill: bool, keep_alpha: bool) -> Samples:
    share = weights[..., None].astype(np.float32) / 255  # (h w 1)
    count, colour = new.shape[2], new.astype(np.float32)
    rgb: Shares = old[..., :count].astype(np.float32)
    alpha: Shares = old[..., count:].astype(np.float32) / top if old.shape[2] > count else np.ones_like(share)
    if keep_alpha:
        colours = _in_kind(rgb * (1 - share) + colour * share, old[..., :count], share)
        return np.concatenate([colours, old[..., count:]], axis=2)
    if fill:
        rgb, alpha = alpha * rgb + (1 - alpha) * colour, np.ones_like(share)
    cover = alpha * (1 - share) + share
    mixed = (rgb * alpha * (1 - share) + colour * share) / np.maximum(cover, 1e-6)
    after = np.concatenate([mixed, cover * top], axis=2)[..., : old.shape[2]]
    return _in_kind(after, old, share)


def _in_kind(after: Samples, old: Samples, share: Shares) -> Samples:
    """`after` where there is a share (h w 1) of it, in the kind of numbers that `old` has, and `old` elsewhere."""
    return np.where(share > 0, after if old.dtype.kind == "f" else after.round(), old).astype(old.dtype)
