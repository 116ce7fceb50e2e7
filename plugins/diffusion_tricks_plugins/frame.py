"""The photo's own frame and size: what a model changed of it at a size of its own, brought back to the whole photo.

    photo' = photo + enlarge(made - given)

made: what the model made, given: what it was shown of the photo, both at the model's size. What is finer than that size
is the photo's own, and where nothing was changed all of it is. No paper: a pyramid's level is replaced, as in Burt and
Adelson (IEEE Trans. Communications 31(4), 1983), with one level.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Box, Fit, Raster, Shape, Size

Samples = NDArray[Any]
REACH = 2  # times the model's own sides, at the most, and half of them at the least
OF_AREA = 0.5  # what a share of the model's area is worth, beside one of the proportions
BAND = 256  # rows that are brought back at a time
SQUEEZED = 1.1  # the photo's proportions may differ from what was made by this factor before a note says so


def size_like(photo: Size, shape: Shape) -> Size:
    """The size in the proportions of a photo, or near them, that a model makes as well as its own.

    It has no more pixels than that, and no side is longer than twice or shorter than half of its own. Of those it is
    the one that has most nearly the photo's proportions and the model's own pixels.
    """
    most, step = shape.size[0] * shape.size[1], shape.multiple
    sides = [range(max(side // REACH // step, 1) * step, _longest(side, shape) + 1, step) for side in shape.size]
    fitting = [(w, h) for w in sides[0] for h in sides[1] if w * h <= most]

    def off(size: Size) -> float:
        lacking = math.log(most / (size[0] * size[1]))
        return abs(math.log(size[0] * photo[1] / (size[1] * photo[0]))) + OF_AREA * lacking

    return min(fitting, key=off, default=shape.size)


def _longest(side: int, shape: Shape) -> int:
    return min(REACH * side, shape.largest or REACH * side)


def size_in_tiles(photo: Size, own: Size, multiple: int) -> Size:
    """The photo's size in multiples of `multiple`, rounded up, and no side shorter than the model's own."""
    larger = max(1.0, *(side / of for side, of in zip(own, photo, strict=True)))
    width, height = (math.ceil(round(of * larger, 6) / multiple) * multiple for of in photo)
    return width, height


def cropped(photo: Size, size: Size) -> Box:
    """The part of a photo that covers a size, and is as large as it can be, in its middle."""
    scale = min(photo[0] / size[0], photo[1] / size[1])
    return _middle(photo, (min(round(size[0] * scale), photo[0]), min(round(size[1] * scale), photo[1])))


def padded(photo: Size, size: Size) -> Box:
    """The part of a size that a whole photo takes, in its middle."""
    scale = min(size[0] / photo[0], size[1] / photo[1])
    return _middle(size, (max(1, round(photo[0] * scale)), max(1, round(photo[1] * scale))))


def _middle(whole: Size, part: Size) -> Box:
    left, top = (whole[0] - part[0]) // 2, (whole[1] - part[1]) // 2
    return left, top, left + part[0], top + part[1]


def framed(photo: Size, size: Size, how: Fit) -> tuple[Box, Box]:
    """The part of a photo that is shown, and the part of what is made that shows it, as `how` fits it to a size."""
    shown, made = (0, 0, *photo), (0, 0, *size)
    return (cropped(photo, size) if how == "crop" else shown), (padded(photo, size) if how == "pad" else made)


def note_on(name: str, photo: Size, size: Size, how: Fit) -> str | None:
    """What of a photo is not shown, or not in its proportions, in a sentence; None where all is."""
    box = cropped(photo, size)
    whole = f"{name}, which is {photo[0]} x {photo[1]} pixels"
    if how == "crop" and box != (0, 0, *photo):
        return f'the model saw the part {",".join(map(str, box))} of {whole}; `fit="pad"` shows all of it'
    squeezed = size[0] * photo[1] / (size[1] * photo[0])
    if how == "stretch" and max(squeezed, 1 / squeezed) > SQUEEZED:
        return f'the model saw {whole}, squeezed to {size[0]} x {size[1]}; `fit="pad"` keeps its proportions'
    return None


def brought_back(photo: Raster, shown: Box, made: Samples, given: Samples) -> Raster:
    """A photo with what was changed of it: photo + enlarge(made - given), in its own mode, depth and space.

    shown: the part of the photo that was. made, given: (h w c) in the photo's own colours and depth, see
    `Raster.values_of`. Enlarged by a bicubic kernel (Keys, a = -1/2). Alpha stays, and so do all samples where nothing
    of them is changed or nothing of them is seen.
    """
    change = made.astype(np.float32) - given.astype(np.float32)  # (h w c)
    left, top, right, bottom = shown
    part = photo.samples[top:bottom, left:right].copy()
    for first in range(0, bottom - top, BAND):
        rows = slice(first, min(first + BAND, bottom - top))
        for channel in range(change.shape[2]):
            _add(part[rows, :, channel], _enlarged(change[..., channel], (right - left, bottom - top), rows), photo.top)
    if photo.alpha:
        old = photo.samples[top:bottom, left:right]
        part = np.where(old[..., -1:] > 0, part, old)
    return photo.with_part(part, (left, top))


def _enlarged(change: NDArray[np.float32], size: Size, rows: slice) -> NDArray[np.float32]:
    """Some rows of a change (h w) at a size."""
    height, width = change.shape
    box = (0, rows.start * height / size[1], width, rows.stop * height / size[1])
    image = Image.fromarray(change).resize((size[0], rows.stop - rows.start), Image.Resampling.BICUBIC, box)
    return np.asarray(image)


def _add(samples: Samples, change: NDArray[np.float32], top: float) -> None:
    """Adds a change to samples (h w) of the result, within 0..top; whole numbers are rounded."""
    old = samples.astype(np.float32) if samples.dtype.kind == "f" else samples.astype(np.float64)
    new = (old + change).clip(np.minimum(old, 0), np.maximum(old, top))
    samples[...] = np.where(change == 0, samples, new if samples.dtype.kind == "f" else new.round())
