"""What an edit kept, by number: pixels that changed outside the mask, their fingerprint, and the seam at its edge.

    seam = (mean |a - b| over neighbours across the mask's edge + 1) / (the same over those near it on either side + 1)

in steps of 8 bit. 1 is an edge that is no rougher than its surroundings. No paper: it is a ratio of finite differences.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks.plugin import Raster, read_picture

Pixels = NDArray[Any]  # (h w) or (h w c), of any unsigned depth
NEAR = 8  # px from the edge that count as its surroundings


def read_pixels(path: str | Path) -> Pixels:
    """The pixels of a picture file at its own depth: (h w) or (h w c) of uint8 or uint16; see `pixels_of`.

    Raises PictureError for what cannot be read.
    """
    return pixels_of(read_picture(path).raster)


def pixels_of(raster: Raster) -> Pixels:
    """A picture as (h w) or (h w c) of uint8 or uint16; inks, floats and others as they are shown, in 8-bit RGB."""
    plain = raster.mode != "CMYK" and raster.samples.dtype.kind == "u" and raster.top in {255, 65535}
    samples = raster.samples if plain else np.asarray(raster.shown())
    return samples[..., 0] if samples.shape[2] == 1 else samples


def alike(before: Pixels, after: Pixels) -> tuple[Pixels, Pixels]:
    """Two pictures as of one kind (h w 4): at the greater depth, gray as three equal colours, no alpha as opaque.

    8 bit become 16 by v * 257, which is exact.
    """
    deep = np.uint16 in (before.dtype, after.dtype)
    return _whole(before, deep), _whole(after, deep)


def _whole(pixels: Pixels, deep: bool) -> Pixels:
    if deep and pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * np.uint16(257)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = pixels.shape[2] - (pixels.shape[2] in {2, 4})
    alpha = (
        pixels[..., colours:]
        if pixels.shape[2] > colours
        else np.full_like(pixels[..., :1], np.iinfo(pixels.dtype).max)
    )
    return np.concatenate([np.repeat(pixels[..., :colours], 3 // colours, axis=2), alpha], axis=2)


def differing(before: Pixels, after: Pixels) -> NDArray[np.bool_]:
    """Which pixels (h w) differ between two pictures of one size and kind, in any channel."""
    differs = before != after
    return np.asarray(differs if differs.ndim == 2 else differs.any(axis=2))


def changed_outside(before: Pixels, after: Pixels, kept: NDArray[np.bool_]) -> int:
    """How many kept pixels (h w) differ between the two pictures, in colour or alpha."""
    return int(np.count_nonzero(differing(before, after) & kept))


def kept_hash(pixels: Pixels, kept: NDArray[np.bool_]) -> str:
    """SHA-256 of the bytes of the kept pixels, row by row."""
    return hashlib.sha256(pixels[kept].tobytes()).hexdigest()


def seam(pixels: Pixels, kept: NDArray[np.bool_]) -> float | None:
    """How much rougher the mask's edge is than what lies within `NEAR` px of it; None for a mask that has no edge.

    pixels: (h w) or (h w c); alpha is not looked at.
    """
    from scipy.ndimage import binary_dilation

    rows, columns = (_span(kept, axis) for axis in (1, 0))
    if rows is None or columns is None:
        return None
    part, kept = pixels[rows, columns], kept[rows, columns]
    part = part.reshape(*kept.shape, -1)
    colours = part.shape[2] - (part.shape[2] in {2, 4})
    values = part[..., :colours].astype(np.float32) * (255 / np.iinfo(pixels.dtype).max)
    edges = [_between(kept, axis) for axis in (0, 1)]
    edge = np.zeros(kept.shape, bool)
    edge[1:] |= edges[0]
    edge[:, 1:] |= edges[1]
    near = binary_dilation(edge, iterations=NEAR)
    across, around = [], []
    for axis, crossing in enumerate(edges):
        step = np.abs(np.diff(values, axis=axis)).mean(axis=2)
        across.append(step[crossing])
        around.append(step[~crossing & (near[1:] if axis == 0 else near[:, 1:])])
    crossed, beside = np.concatenate(across), np.concatenate(around)
    return round(float((crossed.mean() + 1) / ((beside.mean() if len(beside) else 0) + 1)), 3)


def _between(kept: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Where one of two neighbours is kept and the other is not."""
    return np.diff(kept, axis=axis)


def _span(kept: NDArray[np.bool_], axis: int) -> slice | None:
    """The rows, or columns, with a kept pixel beside one that is not, and some around them; None where all are one."""
    made = np.flatnonzero((~kept).any(axis=axis))
    if not len(made) or not kept.any():
        return None
    return slice(max(int(made[0]) - NEAR - 1, 0), int(made[-1]) + NEAR + 2)
