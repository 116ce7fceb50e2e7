"""Masks: where a picture is made new, and the part of it that the model is shown for that.

A mask is an array (h w) of weights as large as its picture: 0 keeps a pixel, 255 makes it new, between is a blend.
No paper: boxes, ellipses and distances are school geometry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion_tricks.plugin import Box, Picture, UsageError, alpha_of, flatten, read_picture

Weights = NDArray[np.uint8]
Size = tuple[int, int]  # width, height in pixels
FORMS = (
    "expected a picture file, alpha, box:x0,y0,x1,y1 or ellipse:x0,y0,x1,y1,"
    " in pixels or percent, for example box:25%,0%,75%,40%"
)
SHAPE = re.compile(r"(\w+):(.*)", re.DOTALL)
COORDINATE = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(%|px)?\s*")
FULL = "the mask covers the whole picture: all of it is made new"
LOSS = 8  # weights this near to 0 and 255 are taken for them: lossy files leave such specks in black and white


@dataclass(frozen=True)
class Mask:
    """Weights (h w) of a picture's pixels, and what there is to say about them."""

    weights: Weights
    notes: tuple[str, ...] = ()

    @property
    def bounds(self) -> Box:
        """The smallest box that holds every pixel that is not kept."""
        across, down = (np.flatnonzero(self.weights.any(axis)) for axis in (0, 1))
        return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def read_mask(text: str, picture: Picture, *, fit: bool = False, invert: bool = False) -> Mask:
    """The mask that `text` names: a file (white = make new), `alpha` (transparent = make new), `box:` or `ellipse:`.

    fit: resize a mask file of another size. invert: make new what would be kept. Raises UsageError for a mask of
    another size, an empty one, a shape that is malformed or off the picture; PictureError for a file that is not read.
    """
    mask = _named(text, picture, fit)
    weights = _settled(255 - mask.weights if invert else mask.weights)
    if not weights.any():
        raise UsageError(
            f"the mask {text!r} is empty: nothing in it is {_meant(text, invert)}, so nothing would be made new;"
            " paint what is to change, or turn the mask round with invert"
        )
    full = (FULL,) if weights.min() > 0 else ()
    return Mask(weights, mask.notes + full)


def mask_of_size(text: str, size: Size) -> Mask:
    """The mask that `text` names, for a picture of that size (width, height) that is yet to be made.

    A file of another size is resized. Raises as `read_mask`.
    """
    mask = read_mask(text, Picture(Image.new("RGB", size), None, Path("the picture that is made")), fit=True)
    return Mask(mask.weights, tuple(note for note in mask.notes if note != FULL))


def names_a_file(text: str) -> bool:
    """Whether a mask is read from a file, and not a shape or the picture's own alpha."""
    return text != "alpha" and not text.startswith(("box:", "ellipse:"))


def _meant(text: str, invert: bool) -> str:
    """What makes a pixel new."""
    if text == "alpha":
        return "opaque" if invert else "transparent"
    return "black" if invert else "white"


def _settled(weights: Weights) -> Weights:
    weights = np.where(weights < LOSS, np.uint8(0), weights)
    return np.where(weights > 255 - LOSS, np.uint8(255), weights)


def _named(text: str, picture: Picture, fit: bool) -> Mask:
    if text == "alpha":
        return Mask(_from_alpha(picture))
    shape = SHAPE.fullmatch(text)
    if shape and shape[1] in {"box", "ellipse"}:
        return _from_shape(text, shape[1], shape[2], picture.image.size)
    if shape and len(shape[1]) > 1 and not Path(text).exists():  # one letter is a Windows drive
        raise UsageError(f"mask {text!r}: unknown form {shape[1]!r}; {FORMS}")
    return Mask(_from_file(text, picture, fit))


def _from_alpha(picture: Picture) -> Weights:
    alpha = alpha_of(picture.image)
    if alpha is None:
        raise UsageError(f"mask 'alpha': {picture.path} has no alpha channel; give a mask file, a box: or an ellipse:")
    return 255 - np.asarray(alpha)


def _from_file(text: str, picture: Picture, fit: bool) -> Weights:
    gray = flatten(read_picture(text).image, (0, 0, 0)).convert("L")  # what a mask leaves transparent is kept
    if gray.size != picture.image.size and not fit:
        raise UsageError(
            f"mask {text} is {gray.width} x {gray.height} pixels, expected {picture.image.width} x"
            f" {picture.image.height} as {picture.path}; make them equal, or resize the mask with `mask_fit=True`"
        )
    if gray.size != picture.image.size:
        gray = gray.resize(picture.image.size, Image.Resampling.BILINEAR)
    return np.asarray(gray)


def _from_shape(text: str, kind: str, values: str, size: Size) -> Mask:
    """The box, or the ellipse that fills it, cut at the picture's edge."""
    left, top, right, bottom = _coordinates(text, values, size)
    inside = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise UsageError(f"mask {text!r} lies off the picture, which is {size[0]} x {size[1]} pixels; {FORMS}")
    x, y = np.arange(inside[0], inside[2]) + 0.5, np.arange(inside[1], inside[3])[:, None] + 0.5
    across = (2 * x - left - right) / (right - left)  # (w) -1..1 over the whole box
    down = (2 * y - top - bottom) / (bottom - top)  # (h 1)
    covered = across**2 + down**2 <= 1 if kind == "ellipse" else np.ones((len(y), len(x)), bool)
    weights = np.zeros((size[1], size[0]), np.uint8)
    weights[inside[1] : inside[3], inside[0] : inside[2]] = np.where(covered, np.uint8(255), np.uint8(0))
    cut = inside != (left, top, right, bottom)
    note = f"the mask {text!r} reaches over the picture's edge and is cut at {size[0]} x {size[1]} pixels"
    return Mask(weights, (note,) if cut else ())


def _coordinates(text: str, values: str, size: Size) -> Box:
    """Left, top, right, bottom in whole pixels, at least one wide and high; they may lie off the picture."""
    parts = [COORDINATE.fullmatch(value) for value in values.split(",")]
    if len(parts) != 4 or None in parts:
        raise UsageError(f"mask {text!r} is malformed; {FORMS}")
    pixels = [
        float(part[1]) * (side / 100 if part[2] == "%" else 1)
        for part, side in zip(parts, (*size, *size), strict=True)
        if part is not None
    ]
    if pixels[0] >= pixels[2] or pixels[1] >= pixels[3]:
        raise UsageError(f"mask {text!r} has no area: expected x0 < x1 and y0 < y1; {FORMS}")
    left, top, right, bottom = (round(value) for value in pixels)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def region_around(box: Box, picture: Size, model: Size, padding: str | None) -> Box:
    """The part of the picture the model is shown: `box` with its surroundings, in the proportions of `model`.

    padding: surroundings in px ("40") or as a share of the box's longer side ("50%"); None is 25 %, at least 32 px.
    The region never leaves the picture; where the picture is too narrow for the proportions, it is cut there.
    """
    around = padding_px(padding, max(box[2] - box[0], box[3] - box[1]))
    left, right = max(box[0] - around, 0), min(box[2] + around, picture[0])
    top, bottom = max(box[1] - around, 0), min(box[3] + around, picture[1])
    wide = -(-(bottom - top) * model[0] // model[1])
    high = -(-(right - left) * model[1] // model[0])
    (left, right), (top, bottom) = _grown(left, right, wide, picture[0]), _grown(top, bottom, high, picture[1])
    return left, top, right, bottom


def padding_px(padding: str | None, side: int) -> int:
    """`padding` in px for a box whose longer side has `side` px. Raises UsageError for a text that is none."""
    if padding is None:
        return max(32, side // 4)
    part = COORDINATE.fullmatch(padding)
    if part is None or float(part[1]) < 0:
        raise UsageError(f"padding {padding!r}: expected pixels or a share of the mask, for example 40 or 50%")
    return round(float(part[1]) * (side / 100 if part[2] == "%" else 1))


def _grown(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """low..high made `length` long about its middle, moved and if need be cut to lie in 0..limit."""
    length = min(max(length, high - low), limit)
    start = min(max((low + high - length) // 2, 0), limit - length)
    return start, start + length


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
