"""How an anagram's views become one: weights over the schedule, and least squares against NumPy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from command_line import run as command
from diffusion_tricks import UsageError, load_model, sample
from diffusion_tricks.registry.view import view_named
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks_plugins import Anagram
from diffusion_tricks_plugins.least_squares import adjoint, least_squares
from diffusion_tricks_plugins.shares import pieces_of, weight_at, weightless
from test_anagram import DUCK, RABBIT, TWO

BACK = DUCK.rot90(1, (2, 3))  # the duck as the picture holds it
WARPED = ("rotate:30", "lens:2", "cylinder:150", "cone:270", "scale:0.5", "polar")


def steps_of(trick: Anagram, steps: int = 10, scheduler: str = "ddim", model: Any = None) -> list[Step]:
    model = model or exact_model({"rabbit": RABBIT, "duck": DUCK})
    return list(sample(model, tricks=[trick], steps=steps, scheduler=scheduler, seed=3))


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (2.0, [2, 2, 2, 2]), ("1@0-0.4,0.5@0.4-1", [1, 0.5, 0.5, 0.5]), ("3@0.25-0.5", [0, 3, 0, 0]),
        (" .5 @ 0.5 - 1 , 1@0-.25", [1, 0, 0.5, 0.5]), ("1e-1@0-1", [0.1] * 4), ("1E+1@0-1", [10.0] * 4),
    ],
)  # fmt: skip
def test_a_weight_holds_within_its_share(weight: float | str, expected: list[float]) -> None:
    assert [weight_at(weight, i / 4 + (i == 1) * 0.2) for i in range(4)] == expected
    assert weight_at(weight, 1) == expected[-1]


def test_the_first_share_without_any_weight_is_found() -> None:
    assert weightless([1.0, "1@0-0.5"]) is None
    assert weightless(["1@0-0.4", "1@0.6-1"]) == (0.4, 0.6)
    assert weightless(["1@0.2-1", 0.0]) == (0.0, 0.2)
    assert weightless([0.0, 0.0]) == (0.0, 1.0)


def test_a_large_weight_is_a_number_however_it_is_written() -> None:
    assert Anagram(prompts=["a", "b"], weights=[1e20, "1e+20"]).options.weights == [1e20, 1e20]


@pytest.mark.parametrize("weight", ["", "x", "-1", "1@", "1@0.5", "1@0-2", "1@0.5-0.5", "1@0.6-0.4", "1@0-0.6,2@0.4-1"])
def test_what_is_no_weight_is_refused(weight: str) -> None:
    with pytest.raises(ValueError, match=r"weight|share"):
        pieces_of(weight)
    with pytest.raises(UsageError, match=r"anagram: weights.1: .*(weight|share)"):
        Anagram(views=TWO, weights=[1, weight])


@pytest.mark.parametrize("space", ["latent", "pixel"])
def test_each_step_has_the_weights_of_its_share(space: str) -> None:
    """Exact denoisers know each view's picture in every step, so its clean estimate is the weighted mean of them."""
    trick = Anagram(views=TWO, weights=["1@0-0.4,3@0.4-0.7", "1@0-0.7,2@0.7-1"], space=space)
    steps = steps_of(trick)
    for step, share in zip(steps, [0.5] * 4 + [0.75] * 3 + [0.0] * 3, strict=True):
        expected = share * RABBIT + (1 - share) * BACK
        torch.testing.assert_close(step.estimate.clean, expected, atol=2e-4, rtol=0)
    assert [step.rows for step in steps] == ([2] * 7 + [1] * 3 if space == "latent" else [2] * 10)


@pytest.mark.parametrize("scheduler", [None, "heun"])
@pytest.mark.parametrize("reduction", ["mean", "weighted", "least_squares"])
def test_weights_of_the_whole_schedule_are_plain_numbers_to_the_bit(reduction: str, scheduler: str | None) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    ends = [
        list(sample(model, tricks=[Anagram(views=TWO, weights=w, reduction=r)], steps=3, scheduler=scheduler))[-1].x
        for w, r in (([3, 1], "mean"), (["3@0-1", "1@0-0.5,1@0.5-1"], reduction), (["3", 1], reduction))
    ]
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": ["1@0-0.4", "1@0.6-1"]}, "expected 2 weights, >= 0 and one above 0 at 0.4-0.6 of the schedule"),
        ({"weights": ["1@0-1"]}, "expected 2 weights, one for each view"),
        ({"reduction": "weighted"}, "reduction 'weighted' needs `weights`, one for each of 2 views"),
        ({"reduction": "alternate", "weights": ["1@0-1", 1]}, "take turns have no weights"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Anagram(views=TWO, **options)


def test_the_command_line_takes_both_kinds_of_weights(tiny: Path, tmp_path: Path) -> None:
    words = ("anagram", "a", "b", "-m", tiny, "--steps", 2, "--seed", 1, "--weight", "1@0-0.4,0.5@0.4-1", "--weight", 1)
    made = command(*words, "-o", tmp_path / "a.png", "--json")
    assert made.code == 0, made.err
    assert made.json["recipe"]["tricks"][0]["weights"] == ["1@0-0.4,0.5@0.4-1", 1.0]
    again = command("rerun", tmp_path / "a.png", "-m", tiny, "-o", tmp_path / "b.png")
    assert again.code == 0, again.err
    wrong = command(*words[:-1], "1@0-x", "-o", tmp_path / "c.png")
    assert (wrong.code, "1@0-0.4,0.5@0.4-1, got '1@0-x'" in wrong.err) == (2, True), wrong.err


def matrix(view: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """A view as the matrix (d d) that it is, a column for each pixel."""
    size = int(np.prod(shape))
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    return np.asarray(view.apply(basis).reshape(size, size).T)


@pytest.mark.parametrize("name", ["flip", "negate", *WARPED])
def test_the_adjoint_is_the_transposed_matrix(name: str) -> None:
    view, shape = view_named(name), (1, 8, 8)
    y = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = (matrix(view, shape).T @ y.reshape(2, -1).numpy().T).T.reshape(2, *shape)
    np.testing.assert_allclose(adjoint(view, y).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", WARPED)
def test_the_picture_is_that_of_numpys_least_squares(name: str) -> None:
    """min |M p - b| over all p, the one nearest to the start: p0 + lstsq(M, b - M p0), rows times sqrt(w_i) W_i."""
    views, shape, weights = [view_named("identity"), view_named(name)], (1, 6, 6), [1.0, 3.0]
    generator = torch.Generator().manual_seed(1)
    seen = [torch.randn(1, *shape, dtype=torch.float64, generator=generator) for _ in views]
    start = torch.zeros(1, *shape, dtype=torch.float64)
    rows, sides = [], []
    for view, weight, x in zip(views, weights, seen, strict=True):
        window = np.sqrt(weight) * view.filled(start).expand(1, *shape).numpy().ravel()
        rows.append(window[:, None] * matrix(view, shape))
        sides.append(window * x.numpy().ravel())
    expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(sides), rcond=None)[0].reshape(1, *shape)
    np.testing.assert_allclose(least_squares(views, seen, weights, start, 40).numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(least_squares(views, seen, weights, start).numpy(), expected, atol=2e-2)


def test_what_no_view_sees_stays_as_it_was() -> None:
    lens, start = view_named("scale:2"), torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = least_squares([lens], [torch.zeros(1, 3, 16, 16)], [1.0], start)
    unseen = adjoint(lens, torch.ones_like(start)) == 0
    assert int(unseen.sum()) > 100
    assert torch.equal(found[unseen], start[unseen])
    assert float(found[~unseen].abs().max()) < float(start.abs().max())


@pytest.mark.parametrize("space", ["latent", "pixel"])
def test_of_orthogonal_views_it_is_the_weighted_mean(space: str) -> None:
    trick = Anagram(views=TWO, weights=[3, 1], reduction="least_squares", space=space)
    torch.testing.assert_close(steps_of(trick)[-1].x, (3 * RABBIT + BACK) / 4, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["rotate:45", "lens:1.5", "scale:0.5"])
def test_no_picture_fits_the_views_better(name: str) -> None:
    """The sum of squares that it is the least of is below that of the mean, with exact denoisers of two pictures."""
    view = view_named(name)
    model = exact_model({"rabbit": RABBIT, "duck": DUCK})

    def off(x: Tensor) -> float:
        return float((x - RABBIT).square().sum() + (view.filled(x) * (view.apply(x) - DUCK)).square().sum())

    views = [("identity", "rabbit"), (name, "duck")]
    mean, least = (
        steps_of(Anagram(views=views, reduction=reduction), model=model)[-1].x
        for reduction in ("mean", "least_squares")
    )
    assert off(least) < 0.999 * off(mean)
    best = least_squares([view_named("identity"), view], [RABBIT, DUCK], [1.0, 1.0], RABBIT, 100)
    assert off(least) <= 1.01 * off(best)


@pytest.mark.parametrize("views", [("identity", "negate"), ("identity", "lens:2")], ids="+".join)
def test_it_holds_what_a_trick_must(views: tuple[str, str]) -> None:
    named = list(zip(views, ("a rabbit", "a duck"), strict=True))
    check_trick(Anagram(views=named, reduction="least_squares", weights=["1@0-0.5,2@0.5-1", 1]))
