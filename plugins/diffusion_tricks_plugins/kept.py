"""What an edit kept, by number: pixels that changed outside the mask, their fingerprint, and the seam at its edge.

    seam = (mean |a - b| over neighbours across the mask's edge + 1) / (the same over those near it on either side + 1)

in steps of 8 bit. 1 is an edge that is no rougher than its surroundings. No paper: it is a ratio of finite differences.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]  # (h w) or (h w c), of any unsigned depth
NEAR = 8  # px from the edge that count as its surroundings


def differing(before: Pixels, after: Pixels) -> NDArray[np.bool_]:
    """Which pixels (h w) differ between two pictures of one size and kind, in any channel."""
    differs = before != after
    return differs if differs.ndim == 2 else differs.any(axis=2)


def changed_outside(before: Pixels, after: Pixels, kept: NDArray[np.bool_]) -> int:
    """How many kept pixels (h w) differ between the two pictures, in colour or alpha."""
    return int(np.count_nonzero(differing(before, after) & kept))


def kept_hash(pixels: Pixels, kept: NDArray[np.bool_]) -> str:
    """SHA-256 of the bytes of the kept pixels, row by row."""
    return hashlib.sha256(pixels[kept].tobytes()).hexdigest()


def seam(pixels: Pixels, kept: NDArray[np.bool_]) -> float | None:
    """How much rougher the mask's edge is than what lies within `NEAR` px of it; None for a mask that has no edge."""
    from scipy.ndimage import binary_dilation

    rows, columns = (_span(kept, axis) for axis in (1, 0))
    if rows is None or columns is None:
        return None
    part, kept = pixels[rows, columns], kept[rows, columns]
    values = part.reshape(*kept.shape, -1).astype(np.float32) * (255 / np.iinfo(pixels.dtype).max)
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
