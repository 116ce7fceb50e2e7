"""Where scissors cut: the outlines of the pieces that views are made of, in pixels from the top left corner."""

from __future__ import annotations

import math
from collections.abc import Iterator

from diffusion_tricks.plugin import Outline
from diffusion_tricks_plugins.views.cut import Cut

KNOB = 0.24  # length of a knob, in shorter sides of a piece
HEAD, NECK = 0.4, 0.22  # of its length: the radius of its round head, and half the width of its neck
ARC = 24  # corners of a head
HINGE = 1 / 12  # of a square's side that is left uncut, so that it hangs on its neighbour

Point = tuple[float, float]
SIDES = ((1, 0), (0, 1), (-1, 0), (0, -1))  # the way along each side, clockwise from the top left: right and down


def rectangles(cut: Cut) -> list[Outline]:
    """The cells of a grid, in reading order."""
    return [[corner for corner, _ in _sides(cut, row, column)] for row, column in _cells(cut)]


def interlocked(cut: Cut) -> list[Outline]:
    """The pieces of a jigsaw, in reading order: each inner side has a knob at a quarter, and a hole at three."""
    return [
        [point for side, (corner, length) in enumerate(_sides(cut, row, column))
         for point in [corner, *(_knobbed(cut, corner, side, length) if _inner(cut, row, column, side) else ())]]
        for row, column in _cells(cut)
    ]  # fmt: skip


def hinges(cut: Cut) -> list[Outline]:
    """The short lines at the corners of squares by which they hang together while each swings against its neighbours.

    An even square swings counter-clockwise: at its lower right corner it hangs on the square to its right, and the two
    below hang together; where it is odd, the two left and the two right hang together, one above the other.
    """
    (top, left), p, q, found = cut.origin, cut.p, cut.q, list[Outline]()
    for row, column in _cells(cut):
        if row == cut.rows - 1 or column == cut.columns - 1:
            continue
        x, y = left + (column + 1) * q, top + (row + 1) * p
        right, down = (0.0, HINGE * p) if (row + column) % 2 == 0 else (HINGE * q, 0.0)
        found += [[(x, y), (x - right, y - down)], [(x, y), (x + right, y + down)]]
    return found


def hinged(cut: Cut) -> list[Outline]:
    """The squares in reading order, with corners where their hinges end, too."""
    ends = {end for _, end in hinges(cut)}
    return [_with_ends(outline, ends) for outline in rectangles(cut)]


def _with_ends(outline: Outline, ends: set[Point]) -> Outline:
    found: Outline = []
    for (x, y), (then_x, then_y) in zip(outline, [*outline[1:], outline[0]], strict=True):
        here = [
            end for end in ends
            if min(x, then_x) <= end[0] <= max(x, then_x) and min(y, then_y) <= end[1] <= max(y, then_y)
        ]  # fmt: skip
        found += [(x, y), *sorted(here, key=lambda end: abs(end[0] - x) + abs(end[1] - y))]
    return found


def _cells(cut: Cut) -> Iterator[tuple[int, int]]:
    return ((row, column) for row in range(cut.rows) for column in range(cut.columns))


def _sides(cut: Cut, row: int, column: int) -> list[tuple[Point, int]]:
    """The corner that each side of a cell begins at, clockwise from the top left, and its length."""
    (top, left), p, q = cut.origin, cut.p, cut.q
    x, y = left + column * q, top + row * p
    return [((x, y), q), ((x + q, y), p), ((x + q, y + p), q), ((x, y + p), p)]


def _inner(cut: Cut, row: int, column: int, side: int) -> bool:
    """Whether a neighbour lies behind that side."""
    right, down = ((0, -1), (1, 0), (0, 1), (-1, 0))[side]
    return 0 <= row + down < cut.rows and 0 <= column + right < cut.columns


def _knobbed(cut: Cut, corner: Point, side: int, length: int) -> Iterator[Point]:
    """What a side does between its corners: the knob, then the hole, that knob turned about the middle."""
    (along_x, along_y), size = SIDES[side], KNOB * min(cut.p, cut.q)
    knob = [(length / 4 + along, out) for along, out in _knob(size)]
    hole = [(length - along, -out) for along, out in reversed(knob)]
    for along, out in [*knob, *hole]:  # out is to the left of the way
        x, y = corner
        yield round(x + along * along_x + out * along_y, 6), round(y + along * along_y - out * along_x, 6)


def _knob(length: float) -> list[Point]:
    """A round head upon a neck: how far along the side from its middle, and how far out of it."""
    centre, radius, half = (1 - HEAD) * length, HEAD * length, NECK * length
    start = math.pi / 2 + math.acos(-math.sqrt(radius**2 - half**2) / radius)  # where the neck meets the head
    angles = [start + (math.pi - 2 * start) * i / ARC for i in range(ARC + 1)]
    head = [(radius * math.cos(a), centre + radius * math.sin(a)) for a in angles]
    return [(-half, 0.0), *head, (half, 0.0)]


__all__ = ["HEAD", "KNOB", "NECK", "hinged", "hinges", "interlocked", "rectangles"]
