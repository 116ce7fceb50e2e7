"""Squares and circles: counted, and every number of the lesson against its closed form."""

from __future__ import annotations

import math

import pytest
import torch

from diffusion_tricks_learn.experiments.basic import COUNT, SHOWN, as_written, basic, filtered, said, shapes
from diffusion_tricks_learn.findings import Findings, last
from diffusion_tricks_learn.session import Session


@pytest.fixture(scope="module")
def found() -> Findings:
    return last(basic(Session(seed=0)))


def test_there_are_as_many_squares_as_circles_and_all_are_whole() -> None:
    drawn = shapes(torch.Generator().manual_seed(0))
    assert drawn.shape == (200, 1, 32, 32)
    assert set(drawn.unique().tolist()) == {0, 1}
    rows, columns = drawn.amax(3)[:, 0].sum(1), drawn.amax(2)[:, 0].sum(1)
    filling = drawn.sum((1, 2, 3)) / (rows * columns)
    assert (filling[: COUNT // 2] == 1).all()
    torch.testing.assert_close(filling[COUNT // 2 :].mean(), torch.tensor(math.pi / 4), atol=0.06, rtol=0)
    assert ((rows - columns).abs() <= 1).all()


def test_noise_of_a_spread_has_the_psnr_of_its_formula(found: Findings) -> None:
    written, mended = found.table
    assert written["noisy_psnr_db"] == pytest.approx(20 * math.log10(255 / 0.3), abs=0.4)
    assert mended["noisy_psnr_db"] == pytest.approx(20 * math.log10(1 / 0.3), abs=0.4)
    assert mended["filtered_psnr_db"] > mended["noisy_psnr_db"]
    assert written["filtered_psnr_db"] < written["noisy_psnr_db"]


def test_a_filter_of_250_pixels_leaves_gray() -> None:
    """So wide a Gaussian is a mean over the picture and its reflections: what contrast it leaves is next to none."""
    x = shapes(torch.Generator().manual_seed(0))[-1:]
    _, contrast = as_written(x, torch.zeros_like(x))
    assert contrast < 6


def test_the_exact_model_ends_in_one_of_its_pictures(found: Findings) -> None:
    assert found.numbers["made_psnr_to_nearest_db"] > 50
    assert 0 <= found.numbers["made_nearest_picture"] < COUNT
    assert "it remembers" in found.says[-1]


def test_what_is_said_follows_the_numbers(found: Findings) -> None:
    apart = said(found.table, {**found.numbers, "made_psnr_to_nearest_db": 12.3})
    assert "12 dB from picture" in apart[-1]
    assert "59 dB and cannot be seen" in apart[0]


def test_a_seed_settles_the_lesson_and_it_leaves_what_is_done(found: Findings) -> None:
    parts = list(basic(Session(seed=0)))
    assert [part.done for part in parts] == [0.2, 0.4, 1.0]
    assert parts[-1].figure.tobytes() == found.figure.tobytes()
    assert last(basic(Session(seed=1))).figure.tobytes() != found.figure.tobytes()
    assert len(SHOWN) == 5
    _, table = filtered(torch.ones(1, 1, 32, 32), torch.Generator().manual_seed(0))
    assert len(table) == 2
