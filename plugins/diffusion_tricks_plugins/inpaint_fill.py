"""What stands under the mask when a run starts from its picture, and colours that are matched when it ends.

edge    f(p) = f(q),  q the kept pixel nearest to p
blur    f = G * (k f) / G * k,  k 1 where kept          normalised convolution: H. Knutsson, C.-F. Westin, CVPR 1993
telea   the fast marching method                        A. Telea, Journal of Graphics Tools 9(1), 2004, by OpenCV
match   f' = (f - mean) std' / std + mean'              E. Reinhard et al., Color Transfer between Images, 2001
poisson grad f' = grad f inside, f' = old at its rim    P. Perez et al., Poisson Image Editing, 2003, by OpenCV
mixed   the same, with grad old where it is the larger  section 4: texture shows through what is flat
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks.plugin import Box, UsageError

Colours = NDArray[np.uint8]  # (h w 3)
Places = NDArray[np.bool_]  # (h w)
Fill = Literal["original", "noise", "mean", "blur", "edge", "telea"]
Match = Literal["off", "mean", "poisson", "mixed"]
RING = 16  # px of kept pixels around the mask whose colours are matched
RADIUS = 3  # px, of Telea's method


def filled(colours: Colours, new: Places, how: Fill) -> Colours:
    """The picture with something else where it is made new; what is kept is as it was.

    "original" changes nothing, and neither does "noise", which is put into the latents. Where nothing is kept, there is
    nothing to fill with, and all is as it was. Raises UsageError where OpenCV is missing.
    """
    if how in {"original", "noise"} or new.all() or not new.any():
        return colours
    return np.where(new[..., None], FILLS[how](colours, new), colours)


def _mean(colours: Colours, new: Places) -> Colours:
    return np.broadcast_to(colours[~new].mean(0).round().astype(np.uint8), colours.shape)


def _edge(colours: Colours, new: Places) -> Colours:
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(new, return_distances=False, return_indices=True)
    return np.asarray(colours[rows, columns])


def _blur(colours: Colours, new: Places) -> Colours:
    """With a kernel so wide that it reaches what is kept from everywhere."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    sigma, kept = float(distance_transform_edt(new).max()) / 2, (~new).astype(np.float64)
    total = gaussian_filter(kept, sigma, mode="nearest")
    weighed = np.stack([gaussian_filter(colours[..., i] * kept, sigma, mode="nearest") for i in range(3)], axis=2)
    return np.asarray((weighed / np.maximum(total, 1e-12)[..., None]).round().clip(0, 255), np.uint8)


def _telea(colours: Colours, new: Places) -> Colours:
    cv2 = opencv('fill="telea"')
    return np.asarray(cv2.inpaint(np.ascontiguousarray(colours), new.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA))


FILLS: dict[str, Callable[[Colours, Places], Colours]] = {
    "mean": _mean, "edge": _edge, "blur": _blur, "telea": _telea,
}  # fmt: skip


def opencv(wanted: str) -> Any:
    """OpenCV. Raises UsageError where it is not installed."""
    try:
        import cv2
    except ImportError:
        raise UsageError(
            f"`{wanted}` is done by OpenCV, which is not installed; install it with"
            " pip install 'diffusion-tricks[opencv]', or choose another"
        ) from None
    return cv2


def check_at_hand(how: Match) -> None:
    """Raises UsageError where matching so needs OpenCV and it is missing, before a picture is made in vain."""
    if how in {"poisson", "mixed"}:
        opencv(f'match="{how}"')


def matched(new: Colours, old: Colours, made: Places, how: Match) -> Colours:
    """What was made, in the colours of what it is laid into: as the model shows what is kept, and as that is.

    made: where the picture is new. "mean" leaves all as it is where nothing is kept near that; "poisson" and
    "mixed" need nothing but what was there before. Raises UsageError where OpenCV is missing.
    """
    if how == "off" or not made.any():
        return new
    if how != "mean":
        return _cloned(new, old, made, how)
    ring = _ring(made)
    return _mean_and_spread(new, old, ring) if ring.any() else new


def _ring(made: Places) -> Places:
    """The kept pixels that lie within `RING` px of what was made."""
    from scipy.ndimage import distance_transform_edt

    if not made.any():
        return made
    return ~made & (np.asarray(distance_transform_edt(~made)) <= RING)


def _mean_and_spread(new: Colours, old: Colours, ring: Places) -> Colours:
    shown, there = new[ring].astype(np.float64), old[ring].astype(np.float64)  # (n 3)
    spread = (there.std(0) + 1) / (shown.std(0) + 1)  # + 1 of 255: what is flat has no spread to compare
    return np.asarray(((new - shown.mean(0)) * spread + there.mean(0)).round().clip(0, 255).astype(np.uint8))


def _cloned(new: Colours, old: Colours, made: Places, how: Match) -> Colours:
    cv2 = opencv(f'match="{how}"')
    left, top, right, bottom = _bounds(made)
    middle = (left + right) // 2, (top + bottom) // 2
    mask = made.astype(np.uint8) * 255
    way = cv2.MIXED_CLONE if how == "mixed" else cv2.NORMAL_CLONE
    return np.asarray(cv2.seamlessClone(np.ascontiguousarray(new), np.ascontiguousarray(old), mask, middle, way))


def _bounds(made: Places) -> Box:
    across, down = (np.flatnonzero(made.any(axis)) for axis in (0, 1))
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1
