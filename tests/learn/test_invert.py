"""A network that inverts the sine, against arcsin and against the mean of its branches."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_learn.experiments.invert import TRIED, Inverse, invert, learned, rms, said
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session


def test_where_there_is_one_answer_the_network_finds_it() -> None:
    one = learned(Session(seed=0), "a", math.pi / 2, 600)
    assert rms(one.f - TRIED.arcsin()) < 0.05
    assert float(one.x.abs().max()) <= math.pi / 2
    torch.testing.assert_close(one.mean, TRIED.arcsin())


def test_where_there_are_two_it_gives_their_mean() -> None:
    """E[x | y] = (arcsin y + pi - arcsin y) / 2 = pi / 2 above 0, and as much below: measured away from the jump."""
    two = learned(Session(seed=0), "b", math.pi, 600)
    away = TRIED.abs() > 0.3
    branches = (TRIED.arcsin() + TRIED.sign() * math.pi - TRIED.arcsin()) / 2
    torch.testing.assert_close(two.mean, branches)
    assert rms((two.f - branches)[away]) < 0.15
    assert rms((two.f - TRIED.arcsin())[away]) > 0.6


def test_the_errors_are_those_of_their_formulas() -> None:
    shifted = Inverse("c", math.pi / 2, torch.zeros(3), TRIED.arcsin() + 0.5)
    assert shifted.row["rms_to_arcsin_rad"] == pytest.approx(0.5)
    assert shifted.row["rms_to_mean_of_branches_rad"] == pytest.approx(0.5)
    expected = float(((TRIED.double().arcsin() + 0.5).sin() - TRIED.double()).square().mean().sqrt())
    assert shifted.row["rms_of_sin_f_minus_y"] == pytest.approx(expected, rel=1e-5)
    exact = Inverse("d", math.pi, torch.zeros(3), TRIED.arcsin())
    assert exact.row["rms_of_sin_f_minus_y"] == pytest.approx(0, abs=1e-6)
    words = said([shifted, exact], {"sharpness_one_step": 0.2, "sharpness_many_steps": 0.1})
    assert "it takes one" in words[1]
    assert "not less than" in words[2]


def test_any_model_shows_its_one_step(tmp_path: Path) -> None:
    """A latent one: what is shown and measured are pictures."""
    tiny_pipeline("sd").save_pretrained(tmp_path)
    stream = invert(Session(model=str(tmp_path), seed=2))
    first = next(stream)
    assert len(first.table) == 1
    assert first.figure.width == 1200
    end = last(stream)
    assert end.done == 1
    assert end.numbers["sharpness_one_step"] > 0
    assert end.figure.height > first.figure.height
