"""Views: the registry, their parameters, their direction, and that they keep noise what it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.manager import host
from diffusion_tricks.testing import check_view
from diffusion_tricks.views import View, orthogonality_error, view_named

VIEWS = [*host().entries("view"), "skew:-0.7", "patches:4,seed=3", "inner_circle:90", "inner_circle:-270,radius=0.5"]


@pytest.mark.parametrize("name", VIEWS)
def test_every_registered_view_holds_what_a_view_must(name: str) -> None:
    check_view(name)


@pytest.mark.parametrize("name", VIEWS)
def test_every_registered_view_is_exactly_orthogonal(name: str) -> None:
    """All are permutations with signs: the matrix itself, column by column, is orthogonal to the last bit."""
    basis = torch.eye(3 * 8 * 8, dtype=torch.float64).reshape(-1, 3, 8, 8)
    matrix = view_named(name).apply(basis).reshape(len(basis), -1)
    assert torch.equal(matrix @ matrix.T, torch.eye(len(basis), dtype=torch.float64))
    assert orthogonality_error(view_named(name), (3, 64, 64)) < 1e-12


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("identity", lambda page: page),
        ("flip", np.flipud),
        ("mirror", np.fliplr),
        ("rotate_cw", lambda page: np.rot90(page, k=-1)),
        ("rotate_ccw", lambda page: np.rot90(page, k=1)),
        ("rotate_180", lambda page: np.rot90(page, k=2)),
        ("negate", np.negative),
    ],
)
def test_orientation_is_numpys(name: str, reference: object) -> None:
    page = np.arange(36.0).reshape(6, 6)
    seen = view_named(name).apply(torch.from_numpy(page)[None, None])[0, 0]
    assert np.array_equal(seen.numpy(), reference(page))


def test_skew_shifts_columns_around_the_edge() -> None:
    page = np.arange(64.0).reshape(8, 8)
    seen = view_named("skew").apply(torch.from_numpy(page)[None, None])[0, 0].numpy()
    for j in range(8):
        assert np.array_equal(seen[:, j], np.roll(page[:, j], round(1.5 * (j - 3.5))))


def test_patches_move_whole_and_follow_the_seed() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    seen = view_named("patches:4,seed=3").apply(x)
    assert not torch.equal(seen, view_named("patches:4,seed=4").apply(x))
    assert torch.equal(seen, view_named("patches:grid=4, seed=3").apply(x))

    def patches(page: Tensor) -> set[tuple[float, ...]]:
        return {tuple(page[0, 0, i : i + 2, j : j + 2].flatten().tolist()) for i in (0, 2, 4, 6) for j in (0, 2, 4, 6)}

    assert patches(seen) == patches(x)
    assert not torch.equal(seen, x)


def test_inner_circle_turns_the_disc_of_radius_three_eighths_alone() -> None:
    x = torch.arange(64.0 * 64).reshape(1, 1, 64, 64)
    seen, turned = view_named("inner_circle").apply(x), x.rot90(2, (-2, -1))
    for i, j in ((32, 32), (32, 55), (32, 56), (10, 32), (0, 0), (5, 40)):
        inside = math.hypot(i - 31.5, j - 31.5) <= 24
        assert seen[0, 0, i, j] == (turned if inside else x)[0, 0, i, j]


def test_a_variance_is_moved_but_never_negated() -> None:
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(view_named("negate").invert_variance(x), x)
    assert torch.equal(view_named("flip").invert_variance(x), x.flip(-2))


class Blurred(View):
    """Not orthogonal, though its inverse is right."""

    def apply(self, x: Tensor) -> Tensor:
        return x * 0.5

    def invert(self, x: Tensor) -> Tensor:
        return x / 0.5


class Turned(View):
    """Orthogonal, but its inverse is wrong."""

    def apply(self, x: Tensor) -> Tensor:
        return x.rot90(1, (-2, -1))

    def invert(self, x: Tensor) -> Tensor:
        return x.rot90(1, (-2, -1))


class Sheared(View):
    """Keeps the length of most of what it is shown, but not its angles."""

    def apply(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1, :] + x[..., 1:2, :], x[..., 1:, :]], dim=-2)

    def invert(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1, :] - x[..., 1:2, :], x[..., 1:, :]], dim=-2)


class Scribbling(View):
    """Writes into what it is handed."""

    def apply(self, x: Tensor) -> Tensor:
        return x.neg_()

    def invert(self, x: Tensor) -> Tensor:
        return -x


@pytest.mark.parametrize("view", [Blurred(), Turned(), Sheared()])
def test_a_view_that_is_not_orthogonal_is_detected(view: View) -> None:
    assert orthogonality_error(view, (3, 16, 16)) > 1e-3
    with pytest.raises(AssertionError, match=r"not orthogonal|is not x"):
        check_view(view, (3, 16, 16))


def test_a_view_that_writes_into_its_input_is_detected() -> None:
    with pytest.raises(AssertionError, match="apply wrote into its input"):
        check_view(Scribbling(), (3, 16, 16))


def test_unknown_view_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown view 'flp'; did you mean 'flip'\?"):
        view_named("flp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip:3", "view 'flip' takes no parameters, got 1"),
        ("patches:8,3,1", r"view 'patches' takes 2 parameters \(grid, seed\), got 3"),
        ("patches:grid=8,size=3", "view 'patches' has no parameter 'size'; it takes: grid, seed"),
        ("patches:8,grid=4", "parameter 'grid' is given twice, as '8' and '4'"),
        ("patches:eight", "view 'patches:eight': grid: .* valid integer.*, got 'eight'"),
        ("patches:0", "grid: .*greater than or equal to 1, got '0'"),
        ("skew:nan", "factor: .*finite number"),
        ("inner_circle:180,radius=0.7", "radius: .*less than or equal to 0.5"),
    ],
)
def test_bad_parameters_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        view_named(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rotate_cw", "a quarter turn needs a square picture, got 8x16"),
        ("patches:3", "needs a height and width that 3 divides, got 8x16"),
        ("inner_circle:90", "multiples of 90 degrees, of 180 unless square, got 90"),
        ("inner_circle:45", "multiples of 90 degrees"),
    ],
)
def test_a_view_that_does_not_fit_the_size_says_so(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        view_named(text).apply(torch.zeros(1, 3, 16, 8))
