"""Noise by the formula, on a picture and on a digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_tricks import UsageError
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.experiments.forward import drawn_digit, forward
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.sessions import pattern, saved, session_of


def test_the_numbers_are_those_of_the_formula(tmp_path: Path) -> None:
    x0 = pattern()
    found = last(forward(session_of(exact_model(x0), seed=3), saved(x0, tmp_path / "x.png"), (250, 750)))
    abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))  # DDPM's linear schedule
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(3)).numpy()
    for row, t in zip(found.table[:2], (250, 750), strict=True):
        x_t = np.sqrt(abar[t]) * x0.numpy() + np.sqrt(1 - abar[t]) * eps
        error = np.mean((np.clip(x_t, -1, 1) - x0.numpy()) ** 2)
        assert row["alpha_bar"] == pytest.approx(abar[t], rel=1e-5)
        assert row["snr"] == pytest.approx(abar[t] / (1 - abar[t]), rel=1e-4)
        assert row["psnr_db"] == pytest.approx(10 * np.log10(4 / error), abs=1e-3)


def test_a_digit_of_the_training_data_goes_the_same_way(tmp_path: Path) -> None:
    x0 = pattern()
    found = last(forward(session_of(exact_model(x0), seed=17), saved(x0, tmp_path / "x.png")))
    assert [row["picture"] for row in found.table] == ["x"] * 3 + ["a 7 of the training data"] * 3
    assert [row["alpha_bar"] for row in found.table[:3]] == [row["alpha_bar"] for row in found.table[3:]]
    assert found.figure.width > 400
    digit = drawn_digit(17)
    assert digit.shape == (1, 1, 32, 32)
    assert torch.equal(digit, drawn_digit(17))
    assert not torch.equal(digit, drawn_digit(7))


def test_a_timestep_beyond_the_schedule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="t must be between 0 and 999"):
        last(forward(session_of(exact_model(pattern())), saved(pattern(), tmp_path / "x.png"), (1000,)))


def test_in_a_latent_model_the_latents_become_noisy(tiny_sd: Path, tmp_path: Path) -> None:
    found = last(forward(Session(str(tiny_sd)), saved(pattern(), tmp_path / "x.png")))
    assert len(found.table) == 6
    assert np.isfinite([row["psnr_db"] for row in found.table]).all()
