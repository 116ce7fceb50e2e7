"""Views that cut the picture into congruent pieces and put each in another's place: exact permutations at any size.

Visual Anagrams, arXiv:2311.17919, figure 5, has a jigsaw and hinged squares; those here are cut so that the pieces are
congruent to the pixel. What is left over of a size that the pieces do not divide is a margin, which stays.
"""

from __future__ import annotations

import math
import random
import re
from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Protocol

import torch
from cachetools import LRUCache, cached
from pydantic import Field, field_validator
from torch import Tensor

from diffusion_tricks.plugin import Outline, Size, UsageError, View
from diffusion_tricks_plugins.views.cut import Cut, SquareCut
from diffusion_tricks_plugins.views.moving import TABLE, Pieces, flown
from diffusion_tricks_plugins.views.outlines import HEAD, KNOB, NECK, hinged, hinges, interlocked

KEPT_BYTES = 128 * 2**20  # of permutations that are kept
GRID = re.compile(r"[1-9]\d*(x[1-9]\d*)?", re.ASCII)
MOST_FLYING = 1024  # pieces that a film draws as such; of more it moves the pixels


@dataclass(frozen=True)
class Permuted:
    """Which pixel of the picture each pixel of the view shows (h*w), the inverse, and the pieces that do it."""

    order: Tensor
    back: Tensor
    pieces: Pieces

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return self.order.nbytes + self.back.nbytes + self.pieces.owner.nbytes

    def to(self, device: torch.device) -> Permuted:
        """The same on a device."""
        return Permuted(self.order.to(device), self.back.to(device), self.pieces.to(device))


def moved(cut: Cut, owner: Tensor, target: Tensor, quarters: Tensor, reach: float) -> Permuted:
    """Every piece in the place of the cell that is its target (n), turned by its quarters counter-clockwise (n).

    owner: the piece of each pixel (h w), congruent to its target's.
    """
    centres, n = cut.centres(), len(target)
    places = torch.stack(torch.meshgrid(torch.arange(cut.height), torch.arange(cut.width), indexing="ij"), -1)
    inside = owner < n
    source, piece = places[inside], owner[inside]
    y, x = (2 * source - centres[piece]).unbind(-1)
    turns = quarters[piece]
    ways = (y, x), (-x, y), (-y, -x), (x, -y)  # by 0, 1, 2, 3 quarters
    down, right = (sum(torch.where(turns == k, way[i], 0) for k, way in enumerate(ways)) for i in (0, 1))
    landed = (centres[target[piece]] + torch.stack([down, right], -1)) // 2  # type: ignore[list-item]
    order = torch.arange(cut.height * cut.width)
    order[landed[:, 0] * cut.width + landed[:, 1]] = source[:, 0] * cut.width + source[:, 1]
    pieces = Pieces(owner, centres / 2, centres[target] / 2, quarters, reach)
    return Permuted(order, order.argsort(), pieces)


class Pieced(Protocol):
    """A view that is made of pieces."""

    def cut_up(self, height: int, width: int) -> Permuted:
        """The pieces of a picture of that size and where they go."""


class InPieces(View):
    """Base of the views that are made of pieces; what they are is said by `cut_up`."""

    @abstractmethod
    def cut_up(self, height: int, width: int) -> Permuted:
        """The pieces of a picture of that size and where they go. Raises UsageError for one that is too small."""

    def apply(self, x: Tensor) -> Tensor:
        """Every piece in its new place."""
        return x.flatten(-2).index_select(-1, kept(self, *x.shape[-2:], x.device).order).reshape(x.shape)

    def invert(self, x: Tensor) -> Tensor:
        """Every piece back in its own."""
        return x.flatten(-2).index_select(-1, kept(self, *x.shape[-2:], x.device).back).reshape(x.shape)

    def between(self, picture: Tensor, share: float) -> Tensor:
        """The pieces on their way; where there are very many, every pixel on its own."""
        return drawn_between(picture, kept(self, *picture.shape[-2:], picture.device), share, self.size(share))

    def size(self, share: float) -> float:
        """Of the pieces on their way, in sizes of their own."""
        return 1


def drawn_between(picture: Tensor, known: Permuted, share: float, size: float = 1) -> Tensor:
    """The picture (b c h w) while its pieces are on their way; size: theirs meanwhile, 1 is their own."""
    if len(known.pieces.start) > MOST_FLYING:
        return _strewn(picture, known.back, share)
    return flown(picture, known.pieces, share, size)


def _strewn(picture: Tensor, back: Tensor, share: float) -> Tensor:
    height, width = picture.shape[-2:]
    start = torch.arange(height * width, device=picture.device)
    down, right = (
        torch.lerp(a.float(), b.float(), share).round().long()
        for a, b in ((start // width, back // width), (start % width, back % width))
    )
    canvas = torch.full_like(picture, TABLE).flatten(-2)
    canvas[..., down * width + right] = picture.flatten(-2)
    return canvas.reshape(picture.shape)


@cached(
    LRUCache(KEPT_BYTES, lambda known: min(known.nbytes, KEPT_BYTES)),
    key=lambda view, height, width, device: (view, height, width, str(device)),
    lock=Lock(),
)
def kept(view: Pieced, height: int, width: int, device: torch.device) -> Permuted:
    return view.cut_up(height, width).to(device)


def fitting(cut: Cut, what: str) -> Cut:
    """The cut itself. Raises UsageError where its cells would be empty; what: the view, as it was named."""
    if not (cut.p and cut.q):
        raise UsageError(f"{what} needs at least {cut.columns}x{cut.rows} pixels, got {cut.width}x{cut.height}")
    return cut


class Jigsaw(InPieces):
    """Interlocking pieces that change places, and turn where that fits: corners stay corners, and edges edges.

    Each side of a piece has a knob and a hole, point-symmetric about its middle, so that all inner pieces are congruent
    and fit in every way round; so are all edges, and all corners. Oblong pieces fit upright and upside down.
    grid: a side, or columns x rows as in "4x6". seed: of who goes where.
    """

    grid: Annotated[str, Field(coerce_numbers_to_str=True)] = "4"
    seed: int = 0

    @field_validator("grid")
    @classmethod
    def _grid(cls, grid: str) -> str:
        if not GRID.fullmatch(grid):
            raise ValueError(f"expected a side or columns x rows, as in 4 or 4x6, got {grid!r}")
        return grid

    @property
    def shape(self) -> tuple[int, int]:
        """Columns and rows."""
        columns, _, rows = self.grid.partition("x")
        return int(columns), int(rows or columns)

    def cut_up(self, height: int, width: int) -> Permuted:
        """The pieces, whose knobs reach into their neighbours' cells."""
        cut = self._cut(height, width)
        columns, rows = self.shape
        target, quarters = dealt(rows, columns, cut.p == cut.q, self.seed)
        return moved(cut, interlocking(cut), target, quarters, 0.75 * math.hypot(cut.p, cut.q))

    def pieces(self, size: Size) -> list[Outline]:
        """The pieces with their knobs, in reading order."""
        return interlocked(self._cut(size[1], size[0]))

    def _cut(self, height: int, width: int) -> Cut:
        columns, rows = self.shape
        return fitting(Cut(height, width, rows, columns), f"jigsaw:{self.grid}")

    def instruction(self) -> str:
        """A puzzle to lay."""
        columns, rows = self.shape
        return f"cut it into the {columns} x {rows} pieces of its jigsaw and lay them the other way"


def interlocking(cut: Cut) -> Tensor:
    """The piece of each pixel (h w) of a jigsaw, n for the margin."""
    owner, (top, left), (p, q) = cut.owner(), cut.origin, (cut.p, cut.q)
    n = cut.rows * cut.columns
    cells = torch.arange(n).reshape(cut.rows, cut.columns)
    cells = cells[..., None]
    rows = top + p * torch.arange(cut.rows)[:, None, None]
    columns = left + q * torch.arange(cut.columns)[:, None]
    r, d = knob(p, min(p, q))  # to the right, and half a turn of that, to the left
    owner[rows + r, columns[1:] + d] = cells[:, :-1]
    owner[rows + p - 1 - r, columns[1:] - 1 - d] = cells[:, 1:]
    r, d = knob(q, min(p, q))  # a quarter turn of that, down, and up
    owner[rows[1:] + d, columns + q - 1 - r] = cells[:-1]
    owner[rows[1:] - 1 - d, columns + r] = cells[1:]
    return owner


def knob(side: int, size: int) -> tuple[Tensor, Tensor]:
    """The pixels of a knob: how far along the side, and how far out of it, both from 0 (k).

    It stands at a quarter of the side: a round head upon a neck. size: the shorter side of the piece.
    """
    length = KNOB * size
    along, out = torch.meshgrid(
        torch.arange(side) + 0.5 - side / 4, torch.arange(math.ceil(length)) + 0.5, indexing="ij"
    )
    centre = (1 - HEAD) * length
    head = along.square() + (out - centre).square() <= (HEAD * length) ** 2
    neck = (along.abs() <= NECK * length) & (out <= centre)
    r, d = (head | neck).nonzero(as_tuple=True)
    return r, d


def dealt(rows: int, columns: int, square: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Where each piece of a jigsaw goes (n), and its quarter turns (n); none stays as it is if it can do otherwise."""
    turns = range(4) if square else (0, 2)
    flat = [_flat(i, j, rows, columns) for i in range(rows) for j in range(columns)]
    kinds: dict[Hashable, list[int]] = {}
    for piece, sides in enumerate(flat):
        kinds.setdefault(min(_turned(sides, k) for k in turns), []).append(piece)
    chance = random.Random(seed)
    target, quarters = torch.arange(len(flat)), torch.zeros(len(flat), dtype=torch.long)
    for group in kinds.values():
        chance.shuffle(group)
        for piece, place in zip(group, group[1:] + group[:1], strict=True):  # one ring: every piece moves
            fits = [k for k in turns if _turned(flat[piece], k) == flat[place]]
            target[piece] = place
            quarters[piece] = chance.choice(fits[1:] if piece == place and len(fits) > 1 else fits)
    return target, quarters


def _flat(i: int, j: int, rows: int, columns: int) -> tuple[int, ...]:
    """The sides of a piece that lie on the picture's edge: right, top, left, bottom are 0 to 3."""
    edges = j == columns - 1, i == 0, j == 0, i == rows - 1
    return tuple(side for side, edge in enumerate(edges) if edge)


def _turned(sides: tuple[int, ...], quarters: int) -> tuple[int, ...]:
    return tuple(sorted((side + quarters) % 4 for side in sides))


class Hinge(InPieces):
    """Squares that hang together by their corners and swing by a quarter turn, each against its neighbours.

    squares: along the shorter side.
    """

    squares: Annotated[int, Field(ge=1)] = 2

    def cut_up(self, height: int, width: int) -> Permuted:
        """Every square, turned in its own place."""
        cut = self._cut(height, width)
        even = (torch.arange(cut.rows)[:, None] + torch.arange(cut.columns)).flatten() % 2 == 0
        return moved(cut, cut.owner(), torch.arange(len(even)), torch.where(even, 1, 3), 0.75 * cut.side)

    def pieces(self, size: Size) -> list[Outline]:
        """The squares, in reading order."""
        return hinged(self._cut(size[1], size[0]))

    def folds(self, size: Size) -> list[Outline]:
        """What of the cuts between the squares is left, so that they hang together."""
        return hinges(self._cut(size[1], size[0]))

    def _cut(self, height: int, width: int) -> SquareCut:
        side = min(height, width) // self.squares
        if not side:
            raise UsageError(f"hinge:{self.squares} needs at least {self.squares} pixels a side, got {width}x{height}")
        return SquareCut(height, width, height // side, width // side, side)

    def size(self, share: float) -> float:
        """They spread as they swing, and one steps back to see them all."""
        angle = math.pi / 2 * share
        return 1 / (math.cos(angle) + math.sin(angle))

    def instruction(self) -> str:
        """A thing of squares."""
        return "cut it into squares hinged at their corners, and swing each by a quarter against its neighbours"


__all__ = ["Hinge", "InPieces", "Jigsaw"]
