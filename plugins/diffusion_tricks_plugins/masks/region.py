"""The part of a picture that the model is shown: the mask with its surroundings, in the model's proportions."""

from __future__ import annotations

from diffusion_tricks.plugin import Box, UsageError
from diffusion_tricks_plugins.masks.mask import Size
from diffusion_tricks_plugins.masks.numbers import Malformed, length


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
    try:
        around = length(padding)
    except Malformed:
        around = None
    if around is None or around.value < 0:
        raise UsageError(f"padding {padding!r}: expected pixels or a share of the mask, for example 40 or 50%")
    return round(around.px(side))


def _grown(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """low..high made `length` long about its middle, moved and if need be cut to lie in 0..limit."""
    length = min(max(length, high - low), limit)
    start = min(max((low + high - length) // 2, 0), limit - length)
    return start, start + length
