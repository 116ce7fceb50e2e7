"""What is done to the rim of a mask: grow, shrink, feather, blur, and fill its holes.

grow    w'(p) = max w(q) over |p - q| <= r        grey-scale dilation by a disc: Serra, Image Analysis and Mathematical
shrink  w'(p) = min w(q) over |p - q| <= r        Morphology, 1982, chapter XII; shrink is erosion
blur    w' = G_s * w                              a Gaussian of standard deviation s

The picture's own edge is no edge of the mask: what lies beyond it is as what lies at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks_plugins.masks.mask import Mask, Weights, hard, settled


def grown(weights: Weights, radius: float) -> Weights:
    """Larger by `radius` px, >= 0; 0 changes nothing."""
    return weights if radius == 0 else _about(weights, math.ceil(radius), lambda part: _dilated(part, radius))


def shrunk(weights: Weights, radius: float) -> Weights:
    """Smaller by `radius` px, >= 0; 0 changes nothing."""
    return weights if radius == 0 else _about(weights, 1, lambda part: 255 - _dilated(255 - part, radius))


def blurred(weights: Weights, sigma: float) -> Weights:
    """Softer on both sides of its edge, by a Gaussian of `sigma` px, >= 0; 0 changes nothing."""
    from scipy.ndimage import gaussian_filter  # here, as help needs no mask

    if sigma == 0:
        return weights
    soft: NDArray[np.float32] = gaussian_filter(weights.astype(np.float32), sigma, mode="nearest")
    return settled(soft.round().astype(np.uint8))


def without_holes(weights: Weights, _: float = 0) -> Weights:
    """With what it encloses: every part that is kept and has no way to the picture's edge is made new."""
    from scipy.ndimage import binary_fill_holes

    inside = weights >= 128
    return np.where(np.asarray(binary_fill_holes(inside)) & ~inside, np.uint8(255), weights)


def softened(weights: Weights, radius: float) -> Weights:
    """With a soft inner edge, as `feathered`."""
    return feathered(Mask(weights), radius) if weights.any() else weights


# name: (what it does, whether it takes a length)
EDGES: dict[str, tuple[Callable[[Weights, float], Weights], bool]] = {
    "grow": (grown, True), "shrink": (shrunk, True), "feather": (softened, True), "blur": (blurred, True),
    "holes": (without_holes, False),
}  # fmt: skip


def _about(weights: Weights, margin: int, work: Callable[[Weights], Weights]) -> Weights:
    """`work` done on the mask's box and `margin` px around it alone: large pictures mostly have small masks."""
    if not weights.any():
        return weights
    left, top, right, bottom = Mask(weights).bounds
    part = np.s_[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    whole = weights.copy()
    whole[part] = work(weights[part])
    return whole


def _dilated(weights: Weights, radius: float) -> Weights:
    """The greatest weight in a disc about each pixel: by distance, or, of a soft mask, the disc's rows one by one."""
    from scipy.ndimage import maximum_filter1d

    if not ((weights > 0) & (weights < 255)).any():
        return hard(depth(weights == 0) <= radius)
    grown = np.zeros_like(weights)
    for shift in range(-min(int(radius), len(weights) - 1), min(int(radius), len(weights) - 1) + 1):
        half = math.isqrt(int(radius**2 - shift**2))
        row = maximum_filter1d(weights, 2 * half + 1, axis=1, mode="constant")
        to, of = (np.s_[shift:], np.s_[: len(row) - shift]) if shift >= 0 else (np.s_[:shift], np.s_[-shift:])
        np.maximum(grown[to], row[of], out=grown[to])
    return grown


def feathered(mask: Mask, radius: float) -> Weights:
    """The weights (h w) with a soft inner edge: times d / (radius + 1) for a pixel d px from the nearest kept one.

    radius: px, >= 0; 0 changes nothing. Only pixels less than radius + 1 px inside the mask change, so what is kept
    stays kept, and from there inwards all is new. The picture's own edge is not an edge of the mask.
    """
    if radius == 0:
        return mask.weights
    left, top, right, bottom = mask.bounds
    part = np.s_[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
    ramp = np.minimum(depth(mask.weights[part] > 0) / (radius + 1), 1.0)
    soft = mask.weights.copy()
    soft[part] = np.ceil(mask.weights[part] * ramp)  # upwards, so that what is in the mask does not fall out of it
    return soft


def depth(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance (h w) in px of every pixel that is `inside` to the nearest that is not (Euclidean); inf if all are."""
    from scipy.ndimage import distance_transform_edt  # here, as help needs no mask

    if inside.all():
        return np.full(inside.shape, np.inf, np.float32)
    return np.asarray(distance_transform_edt(inside), np.float32)
