"""The pen's path through a letter: ink thinned to its middle line, and the distance to it.

Thinning: Zhang and Suen, "A fast parallel algorithm for thinning digital patterns", CACM 27(3), 1984.
"""

from __future__ import annotations

import numpy as np

AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise, from the top


def thinned(ink: np.ndarray) -> np.ndarray:
    """The middle line (h w), one pixel wide and connected as the ink (h w) is."""
    line = ink.astype(bool)
    while True:
        before = line.sum()
        for first in (True, False):
            line = line & ~_peeled(line, first)
        if line.sum() == before:
            return line


def _peeled(ink: np.ndarray, first: bool) -> np.ndarray:
    """The pixels of the rim that one of the paper's two sub-iterations takes away."""
    padded = np.pad(ink, 1)
    h, w = ink.shape
    near = np.stack([padded[1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for dy, dx in AROUND])  # P2 .. P9
    count = near.sum(0)
    rises = (~near & np.roll(near, -1, axis=0)).sum(0)
    top, right, bottom, left = near[::2]
    open_sides = (
        ~(top & right & bottom) & ~(right & bottom & left) if first else ~(top & right & left) & ~(top & bottom & left)
    )
    peeled: np.ndarray = ink & (count >= 2) & (count <= 6) & (rises == 1) & open_sides
    return peeled


def distance(line: np.ndarray) -> np.ndarray:
    """How far each pixel (h w) is from the nearest of the line, in pixels, Euclidean; infinite where there is none."""
    steps = np.arange(max(line.shape), dtype=np.float32)
    squares = (steps[:, None] - steps[None, :]) ** 2
    h, w = line.shape
    across = np.where(line[:, None, :], squares[None, :w, :w], np.inf).min(2)  # (h w): within the row
    far: np.ndarray = np.sqrt((across[None, :, :] + squares[:h, :h, None]).min(1))
    return far
