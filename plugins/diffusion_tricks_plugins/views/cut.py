"""How a picture is cut into a grid: what the pieces do not divide is a margin around it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cut:
    """A grid of cells of height p and width q, and the picture (h w) that it stands in the middle of."""

    height: int
    width: int
    rows: int
    columns: int

    @property
    def p(self) -> int:
        """Height of a cell in pixels."""
        return self.height // self.rows

    @property
    def q(self) -> int:
        """Width of a cell in pixels."""
        return self.width // self.columns

    @property
    def origin(self) -> tuple[int, int]:
        """Margin above and to the left, in pixels."""
        return (self.height - self.p * self.rows) // 2, (self.width - self.q * self.columns) // 2

    def owner(self) -> Tensor:
        """The cell of each pixel in reading order (h w); rows * columns for the margin."""
        (top, left), n = self.origin, self.rows * self.columns
        cells = torch.arange(n).reshape(self.rows, self.columns)
        owner = torch.full((self.height, self.width), n)
        grid = cells.repeat_interleave(self.p, 0).repeat_interleave(self.q, 1)
        owner[top : top + self.p * self.rows, left : left + self.q * self.columns] = grid
        return owner

    def centres(self) -> Tensor:
        """Twice the centre of each cell, down and right in pixels, whole numbers (n 2)."""
        top, left = self.origin
        down = 2 * (top + self.p * torch.arange(self.rows)) + self.p - 1
        right = 2 * (left + self.q * torch.arange(self.columns)) + self.q - 1
        return torch.cartesian_prod(down, right)


@dataclass(frozen=True)
class SquareCut(Cut):
    """Cells that are squares, however long the picture."""

    side: int

    @property
    def p(self) -> int:
        """Height of a cell in pixels."""
        return self.side

    @property
    def q(self) -> int:
        """Width of a cell in pixels."""
        return self.side
