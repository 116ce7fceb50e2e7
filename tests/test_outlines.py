"""Outlines of pieces against the pixels that the views move: what scissors cut is what the view turns."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_tricks.registry.view import view_named
from diffusion_tricks_plugins.views.pieces import InPieces
from diffusion_tricks_print.jigsaw import numbered

Edge = frozenset[tuple[float, float]]


def edges(outline: list[tuple[float, float]]) -> list[Edge]:
    rounded = [(round(x, 3), round(y, 3)) for x, y in outline]
    return [frozenset(ends) for ends in pairwise([*rounded, rounded[0]])]


@pytest.mark.parametrize("size", [(96, 96), (130, 101), (64, 96)])
@pytest.mark.parametrize("name", ["jigsaw:4,seed=3", "jigsaw:3x5", "hinge:3", "permute:order.json"])
def test_the_outlines_are_those_of_the_pieces_that_move(
    name: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order.json").write_text("[[3, 1, 5], [0, 4, 2]]")
    view = view_named(name)
    assert isinstance(view, InPieces)
    outlines, owner = view.pieces(size), view.cut_up(size[1], size[0]).pieces.owner.numpy()
    count = owner.max() if (owner == owner.max()).sum() else 0
    numbers = numbered(size, outlines)
    assert len(outlines) in {count, count + 1}  # the margin, where there is one, has a number of its own
    expected = np.where(owner < len(outlines), owner + 1, 0)
    assert np.count_nonzero(numbers != expected) <= 0.002 * owner.size  # pixels whose middle lies on a round head


def test_what_two_pieces_share_has_the_same_corners_in_both() -> None:
    found = [edge for outline in view_named("jigsaw:4x3").pieces((120, 90)) for edge in edges(outline)]
    shared = 2 * 3 * 4 - 4 - 3  # sides between neighbours
    twice = [edge for edge in set(found) if found.count(edge) == 2]
    assert len(found) == len(set(found)) + len(twice)
    assert len(twice) % shared == 0
    assert len(found) - 2 * len(twice) == 2 * (4 + 3)  # and the sides of the picture are straight


def test_a_knob_is_as_long_and_as_round_as_that_of_the_view() -> None:
    outline = np.array(view_named("jigsaw:2").pieces((200, 200))[0])
    length = 0.24 * 100
    assert outline[:, 0].max() == pytest.approx(100 + length, abs=0.1)  # the head of 24 corners falls a little short
    head = outline[outline[:, 0] > 100 + 0.27 * length]
    assert np.hypot(head[:, 0] - 100 - 0.6 * length, head[:, 1] - 25) == pytest.approx(0.4 * length, abs=1e-5)


@pytest.mark.parametrize("angle", [1.0, 20.0, 45.0, 89.0])
def test_squares_hang_together_by_their_hinges_however_far_they_swing(angle: float) -> None:
    """Rotating squares: square (i, j) turns by (-1)^(i + j) angle while centres spread by cos + sin."""
    view, side, theta = view_named("hinge:4"), 25.0, math.radians(angle)
    spread = math.cos(theta) + math.sin(theta)

    def swung(row: int, column: int, point: tuple[float, float]) -> torch.Tensor:
        centre = torch.tensor([(column + 0.5) * side, (row + 0.5) * side])
        turn = theta if (row + column) % 2 == 0 else -theta  # counter-clockwise, with down as the second axis
        way = torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        return centre * spread + way @ (torch.tensor(point) - centre)

    hinges = view.folds((100, 100))
    assert len(hinges) == 2 * 3 * 3
    for (x, y), (end_x, end_y) in hinges:
        step = np.sign([end_x - x, end_y - y])
        across = np.array([step[1], step[0]])  # to both sides of the line
        middle = np.array([x, y]) + step * side / 2
        (one, other) = ((middle + k * across * side / 2) // side for k in (1, -1))
        assert torch.dist(swung(int(one[1]), int(one[0]), (x, y)), swung(int(other[1]), int(other[0]), (x, y))) < 1e-3
