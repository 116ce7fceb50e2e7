"""The pieces that a view moves, read from where each of its pixels comes from.

A piece is a connected set of pixels under one rigid motion: p_seen = R_k p + offset, k clockwise quarters.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FEWEST, MOST = 3, 256  # pieces of a puzzle
SMALLEST = 4  # pixels: of the shorter side of half of the pieces
RIGHT = ((0, 1), (-1, 0), (0, -1), (1, 0))  # where the neighbour on the right comes from, for each k: (row, column)
DOWN = ((1, 0), (0, 1), (-1, 0), (0, -1))  # and the one below
Places: TypeAlias = "NDArray[np.int64]"  # (2 h w), row and column


@dataclass(frozen=True)
class Piece:
    """One piece: its box in the picture, where the box's middle is seen, and by how many quarters it is turned."""

    x: int
    y: int
    width: int
    height: int
    seen_x: float
    seen_y: float
    quarters: int


@dataclass(frozen=True)
class Puzzle:
    """All pieces, and to which of them each pixel of the picture belongs (h w)."""

    labels: NDArray[np.uint8]
    pieces: list[Piece]

    def data(self) -> list[dict[str, Any]]:
        """The pieces as plain data."""
        return [asdict(piece) for piece in self.pieces]


def puzzle_of(sources: NDArray[np.float64]) -> Puzzle | None:
    """The puzzle of a view that shows at each place the pixel from `sources` (2 h w), row and column.

    None where it is no permutation of pixels, or none of few large pieces.
    """
    places = np.round(sources).astype(np.int64)
    _, height, width = places.shape
    within = ((places >= 0) & (places < np.array([height, width])[:, None, None])).all()
    if not within or np.abs(sources - places).max() > 1e-6:
        return None
    flat = places[0] * width + places[1]  # (h w)
    if len(np.unique(flat)) != flat.size:
        return None
    seen = _components(_motions(places))
    count = int(seen.max()) + 1
    if not FEWEST <= count <= MOST:
        return None
    labels = np.empty(flat.size, np.uint8)
    labels[flat.ravel()] = seen.ravel()
    labels = labels.reshape(height, width)
    quarters = _quarters(places)
    pieces = [_piece(labels == i, seen == i, quarters) for i in range(count)]
    return Puzzle(labels, pieces) if np.median([min(p.width, p.height) for p in pieces]) >= SMALLEST else None


def _quarters(places: Places) -> Places:
    """By how many quarters each place's surroundings are turned (h w): what most of its four neighbours say."""
    votes = np.zeros((4, *places.shape[1:]), np.int64)
    for k in range(4):
        right = (np.diff(places, axis=2) == np.array(RIGHT[k])[:, None, None]).all(0)
        below = (np.diff(places, axis=1) == np.array(DOWN[k])[:, None, None]).all(0)
        votes[k, :, :-1] += right
        votes[k, :, 1:] += right
        votes[k, :-1] += below
        votes[k, 1:] += below
    most: Places = votes.argmax(0)
    return most


def _motions(places: Places) -> NDArray[np.int64]:
    """A number for the rigid motion of each place (h w)."""
    k = _quarters(places)
    row, column = places
    turned = np.choose(k, [row, column, -row, -column]), np.choose(k, [column, -row, -column, row])
    at = np.indices(places.shape[1:])
    keys = np.stack([k, at[0] - turned[0], at[1] - turned[1]], -1).reshape(-1, 3)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(places.shape[1:])


def _components(motions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Connected sets of one motion, numbered from 0; corners connect."""
    from scipy.ndimage import find_objects, label

    numbered, count = np.zeros(motions.shape, np.int64), 0
    for motion, where in enumerate(find_objects(motions + 1)):
        found, more = label(motions[where] == motion, np.ones((3, 3)))
        numbered[where] += np.where(found > 0, found + count, 0)
        count += more
        if count > MOST:
            break
    return numbered - 1


def _piece(here: NDArray[np.bool_], seen: NDArray[np.bool_], quarters: NDArray[np.int64]) -> Piece:
    (top, bottom), (left, right) = _span(here, 0), _span(here, 1)
    (seen_top, seen_bottom), (seen_left, seen_right) = _span(seen, 0), _span(seen, 1)
    return Piece(
        left, top, right - left, bottom - top, (seen_left + seen_right) / 2, (seen_top + seen_bottom) / 2,
        int(np.bincount(quarters[seen]).argmax()),
    )  # fmt: skip


def _span(mask: NDArray[np.bool_], axis: int) -> tuple[int, int]:
    """The first place along an axis that a mask holds, and the one behind the last."""
    at = np.nonzero(mask)[axis]
    return int(at.min()), int(at.max()) + 1
