"""A view by a permutation that a file holds; there is no paper behind it."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path

import torch
from pydantic import field_validator
from torch import Tensor

from diffusion_tricks.plugin import Outline, Size
from diffusion_tricks_plugins.views.cut import Cut
from diffusion_tricks_plugins.views.outlines import rectangles
from diffusion_tricks_plugins.views.pieces import InPieces, Permuted, fitting, moved


class Permute(InPieces):
    """The cells of a grid in the order that a file gives.

    file: .npy, or .json or text, with the rows of the grid: at each place the number of the cell of the picture that is
    seen there, in reading order from 0. A plain row of them stands for a square. It is read once.
    """

    file: str

    @field_validator("file")
    @classmethod
    def _readable(cls, file: str) -> str:
        _grid_of(file)
        return file

    def cut_up(self, height: int, width: int) -> Permuted:
        """The cells, unturned."""
        cut, shown = self._cut(height, width), torch.tensor(_grid_of(self.file))
        target = shown.flatten().argsort()
        return moved(cut, cut.owner(), target, torch.zeros_like(target), math.hypot(cut.p, cut.q) / 2)

    def pieces(self, size: Size) -> list[Outline]:
        """The cells, in reading order."""
        return rectangles(self._cut(size[1], size[0]))

    def _cut(self, height: int, width: int) -> Cut:
        rows, columns = len(grid := _grid_of(self.file)), len(grid[0])
        return fitting(Cut(height, width, rows, columns), f"permute:{self.file}")

    def instruction(self) -> str:
        """Another order."""
        rows, columns = len(grid := _grid_of(self.file)), len(grid[0])
        return f"cut it into {columns} x {rows} pieces and lay them in the order of {Path(self.file).name}"


@lru_cache(maxsize=16)
def _grid_of(file: str) -> tuple[tuple[int, ...], ...]:
    """The rows of a permutation. Raises ValueError for what is none."""
    try:
        grid = _read(Path(file))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"cannot read a permutation from {file!r}: {error}") from None
    if grid.ndim == 1 and math.isqrt(len(grid)) ** 2 == len(grid):
        grid = grid.reshape(math.isqrt(len(grid)), -1)
    numbers = torch.arange(grid.numel())
    if grid.ndim != 2 or not grid.numel() or not torch.equal(grid.flatten().sort().values, numbers):
        raise ValueError(
            f"expected in {file!r} the rows of a grid with each number from 0 to one less than its cells once,"
            f" got the shape {tuple(grid.shape)}"
        )
    return tuple(tuple(row) for row in grid.tolist())


def _read(path: Path) -> Tensor:
    """Whole numbers of any shape."""
    if path.suffix == ".npy":
        import numpy as np

        values = torch.from_numpy(np.load(path, allow_pickle=False).astype("int64", casting="same_kind"))
        return values
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if path.suffix == ".json" else [line.split() for line in text.splitlines() if line.strip()]
    if path.suffix != ".json":
        rows = [[int(number) for number in row] for row in rows]
        rows = rows[0] if len(rows) == 1 else rows
    found = torch.tensor(rows)
    if found.is_floating_point():
        raise ValueError("expected whole numbers")
    return found
