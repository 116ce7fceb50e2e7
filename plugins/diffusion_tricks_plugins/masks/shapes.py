"""Boxes, ellipses, circles and polygons. No paper: this is school geometry.

A pixel is in an ellipse, a circle or a polygon if its centre is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks.plugin import Box, UsageError
from diffusion_tricks_plugins.masks.mask import Canvas, Size, Weights, hard
from diffusion_tricks_plugins.masks.numbers import LENGTH, Length, Malformed, length, lengths

GEOMETRY = re.compile(rf"\s*({LENGTH})\s*x\s*({LENGTH})\s*(?:\+\s*({LENGTH})\s*\+\s*({LENGTH}))?\s*")
Corners = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Rectangle:
    """A box, or the ellipse that fills it: from corner to corner, or so wide and high from a corner on."""

    text: str
    first: tuple[Length, Length]
    second: tuple[Length, Length]
    sized: bool = False  # `second` is a width and a height
    round: bool = False

    @classmethod
    def read(cls, text: str, value: str) -> Rectangle:
        """Of `x0,y0,x1,y1`, or as X11 and ImageMagick write it, `WxH+X+Y`. Raises Malformed."""
        is_round = text.startswith("ellipse")
        if "," not in value and (found := GEOMETRY.fullmatch(value)):
            width, height, x, y = (length(part or "0") for part in found.groups())
            return cls(text, (x, y), (width, height), True, is_round)
        if value.count(",") != 3:
            raise Malformed("expected x0,y0,x1,y1 or WxH+X+Y, in pixels or percent")
        left, top, right, bottom = lengths(value)
        return cls(text, (left, top), (right, bottom), False, is_round)

    def corners(self, size: Size) -> Corners:
        """On a picture of that size. Raises UsageError for what has no area."""
        left, top, right, bottom = (
            part.px(side) for part, side in zip((*self.first, *self.second), (*size, *size), strict=True)
        )
        if self.sized:
            right, bottom = left + right, top + bottom
        if left >= right or top >= bottom:
            raise UsageError(f"mask {self.text!r} has no area: expected x0 < x1 and y0 < y1")
        return left, top, right, bottom

    def draw(self, canvas: Canvas) -> Weights:
        """Cut at the picture's edge, which is noted. Raises UsageError for what lies off the picture."""
        left, top, right, bottom = (round(value) for value in self.corners(canvas.size))
        return drawn(self.text, (left, top, max(right, left + 1), max(bottom, top + 1)), canvas, self.round)


@dataclass(frozen=True)
class Circle:
    """All that is at most `radius` from a point; a radius in percent is of the picture's shorter side."""

    text: str
    centre: tuple[Length, Length]
    radius: Length

    @classmethod
    def read(cls, text: str, value: str) -> Circle:
        """Of `x,y,r`. Raises Malformed."""
        if value.count(",") != 2:
            raise Malformed("expected x,y,r: the centre and the radius, in pixels or percent")
        x, y, radius = lengths(value)
        if radius.value <= 0:
            raise Malformed("expected a radius above 0", value.rindex(",") + 1)
        return cls(text, (x, y), radius)

    def draw(self, canvas: Canvas) -> Weights:
        """Cut at the picture's edge, which is noted. Raises UsageError for one that lies off the picture."""
        width, height = canvas.size
        x, y, radius = self.centre[0].px(width), self.centre[1].px(height), self.radius.px(min(canvas.size))
        across, down = np.arange(width) + 0.5 - x, np.arange(height)[:, None] + 0.5 - y
        weights = hard(across**2 + down**2 <= radius**2)
        _check_on(self.text, weights, canvas)
        _note_cut(self.text, (x - radius, y - radius, x + radius, y + radius), canvas)
        return weights


@dataclass(frozen=True)
class Polygon:
    """All that is inside a closed line through some points; where it crosses itself, by the even-odd rule."""

    text: str
    points: tuple[tuple[Length, Length], ...]

    @classmethod
    def read(cls, text: str, value: str) -> Polygon:
        """Of `x0,y0,x1,y1,x2,y2,...`, or `x0,y0 x1,y1 x2,y2 ...`. Raises Malformed."""
        found = lengths(value)
        if len(found) < 6 or len(found) % 2:
            raise Malformed(f"expected x,y of three points or more, got {len(found)} numbers")
        return cls(text, tuple(zip(found[::2], found[1::2], strict=True)))

    def draw(self, canvas: Canvas) -> Weights:
        """Cut at the picture's edge, which is noted. Raises UsageError for one that lies off the picture."""
        width, height = canvas.size
        points = np.array([(x.px(width), y.px(height)) for x, y in self.points])  # (n 2)
        weights = hard(inside_polygon(points, canvas.size))
        _check_on(self.text, weights, canvas)
        _note_cut(self.text, (*points.min(0), *points.max(0)), canvas)
        return weights


def inside_polygon(points: NDArray[np.float64], size: Size) -> NDArray[np.bool_]:
    """Which pixels (h w) have their centre inside a polygon of points (n 2), by the even-odd rule.

    In each row, every side of the polygon that crosses it turns what is to the right of the crossing inside out.
    """
    width, height = size
    turns = np.zeros((height, width + 1), np.uint8)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = sorted((y0, y1))
        rows = np.arange(max(int(np.ceil(low - 0.5)), 0), min(int(np.ceil(high - 0.5)), height))
        if len(rows):
            crossing = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            turns[rows, np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)] ^= 1
    return np.bitwise_xor.accumulate(turns, axis=1)[:, :width].astype(bool)


def drawn(text: str, box: Box, canvas: Canvas, is_round: bool) -> Weights:
    """The box, or the ellipse that fills it, cut at the picture's edge."""
    (left, top, right, bottom), size = box, canvas.size
    inside = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise _off(text, size)
    x, y = np.arange(inside[0], inside[2]) + 0.5, np.arange(inside[1], inside[3])[:, None] + 0.5
    across = (2 * x - left - right) / (right - left)  # (w) -1..1 over the whole box
    down = (2 * y - top - bottom) / (bottom - top)  # (h 1)
    covered = across**2 + down**2 <= 1 if is_round else np.ones((len(y), len(x)), bool)
    weights = np.zeros((size[1], size[0]), np.uint8)
    weights[inside[1] : inside[3], inside[0] : inside[2]] = hard(covered)
    _note_cut(text, box, canvas)
    return weights


def _check_on(text: str, weights: Weights, canvas: Canvas) -> None:
    if not weights.any():
        raise _off(text, canvas.size)


def _off(text: str, size: Size) -> UsageError:
    return UsageError(f"mask {text!r} lies off the picture, which is {size[0]} x {size[1]} pixels; move it onto that")


def _note_cut(text: str, box: Corners, canvas: Canvas) -> None:
    width, height = canvas.size
    if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
        canvas.notes.append(
            f"the mask {text!r} reaches over the picture's edge and is cut at {width} x {height} pixels"
        )
