"""Averages that grow with the run, held against the integral that defines them (arXiv:2312.02696)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training import averages_kept as keeping
from diffusion_tricks.training.averages import PowerAverages, gamma, mixture

STEPS = 400


def test_the_exponent_has_the_length_it_was_asked_for():
    for sigma_rel in (0.05, 0.10, 0.2):
        g = gamma(sigma_rel)
        assert math.isclose(math.sqrt((g + 1) / ((g + 2) ** 2 * (g + 3))), sigma_rel, rel_tol=1e-9)
    assert math.isclose(gamma(0.10), 6.94, abs_tol=0.01)  # section 3.1 of the paper
    assert math.isclose(gamma(0.05), 16.97, abs_tol=0.01)


def averaged(lengths: list[float], every: int = 1) -> tuple[PowerAverages, np.ndarray]:
    """Averages over a walk of one weight, and the walk."""
    path = np.cumsum(np.random.default_rng(0).normal(size=STEPS)) / 10
    weight = nn.Parameter(torch.zeros(1))
    made = PowerAverages([weight], lengths, every)
    for value in path:
        with torch.no_grad():
            weight.fill_(float(value))
        made.step([weight])
    return made, path


@pytest.mark.parametrize("length", [0.05, 0.1])
def test_an_average_is_the_integral_of_the_weights_times_a_power_of_time(length):
    made, path = averaged([length])
    t, power = np.arange(1, STEPS + 1), gamma(length) + 1
    weights = (t / STEPS) ** power - ((t - 1) / STEPS) ** power
    torch.testing.assert_close(made.held[0][0].item(), float(weights @ path), atol=2e-2, rtol=0)


def test_fewer_updates_give_nearly_the_same_average():
    one, four = averaged([0.1]), averaged([0.1], every=4)
    torch.testing.assert_close(one[0].held[0][0], four[0].held[0][0], atol=0.05, rtol=0)


def test_a_kept_average_is_a_mixture_of_itself():
    weights = mixture([100, 100, 200, 200], [0.05, 0.1, 0.05, 0.1], 200, 0.1)
    np.testing.assert_allclose(weights, [0, 0, 0, 1], atol=1e-6)


def test_an_average_of_another_length_is_made_of_those_that_were_kept(tmp_path: Path):
    path = np.cumsum(np.random.default_rng(1).normal(size=STEPS)) / 10
    weight = nn.Parameter(torch.zeros(3))
    two, wanted = PowerAverages([weight], [0.05, 0.1]), PowerAverages([weight], [0.07])
    for step, value in enumerate(path, 1):
        with torch.no_grad():
            weight.fill_(float(value))
        two.step([weight])
        wanted.step([weight])
        if step % 20 == 0:
            keeping.keep(tmp_path, step, two)
    made = keeping.average(tmp_path, 0.07)
    torch.testing.assert_close(made[0], wanted.held[0][0], atol=0.02, rtol=0)
    assert len(keeping.averages_kept(tmp_path)) == STEPS // 20
    assert keeping.average(tmp_path, 0.1, seen=100)[0].shape == (3,)


def test_what_keeps_no_averages_says_so(tmp_path: Path, capsys):
    with pytest.raises(UsageError, match="keeps no averages"):
        keeping.average(tmp_path, 0.1)
    assert keeping.main([str(tmp_path), str(tmp_path / "model")]) == 2
    assert "keeps no averages" in capsys.readouterr().err


def test_averages_go_on_from_what_was_saved():
    made, _ = averaged([0.05, 0.1], every=4)
    again = PowerAverages([nn.Parameter(torch.zeros(1))], [0.2])
    again.load_state_dict(made.state_dict())
    assert again.state_dict() == made.state_dict()
    weight = nn.Parameter(torch.ones(1))
    made.store([weight])
    made.copy_to([weight], 1)
    assert weight.item() == made.held[1][0].item()
    made.restore([weight])
    assert weight.item() == 1
