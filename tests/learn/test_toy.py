"""Points in the plane: the data against their curves, the trained denoiser against the exact one, samplers by seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffusion_tricks.plugin import Level
from diffusion_tricks.testing import posterior_mean
from diffusion_tricks_learn.experiments.toy import Ways, nearest, said, toy
from diffusion_tricks_learn.plane import PointDenoiser, points
from diffusion_tricks_learn.session import Session


@pytest.mark.parametrize("shape", ["moons", "roll"])
def test_points_are_centred_and_of_spread_one(shape: str) -> None:
    xy = points(shape, 400, torch.Generator().manual_seed(1))
    torch.testing.assert_close(xy.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(xy.std(0), torch.ones(2))
    again = points(shape, 400, torch.Generator().manual_seed(1))
    assert torch.equal(xy, again)


def test_moons_are_two_half_circles_and_a_roll_winds_outwards() -> None:
    """Up to the scale of each axis: sklearn's definitions, in NumPy."""
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(2000, generator=torch.Generator().manual_seed(0)).numpy()
    even = np.arange(2000) % 2 == 0
    x = np.where(even, np.cos(np.pi * u), 1 - np.cos(np.pi * u))
    y = np.where(even, np.sin(np.pi * u), 0.5 - np.sin(np.pi * u))
    found = points("moons", 2000, generator).numpy()
    for mine, theirs in zip(found.T, (x, y), strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] > 0.995
    angle = 1.5 * np.pi * (1 + 2 * u)
    rolled = points("roll", 2000, torch.Generator().manual_seed(0)).numpy()
    for mine, theirs in zip(rolled.T, (angle * np.cos(angle), angle * np.sin(angle)), strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] > 0.995


@pytest.mark.parametrize("level", [Level(math.cos(1.0), math.sin(1.0)), Level(0.5, 0.5, "flow_prediction")])
def test_a_trained_network_comes_near_the_exact_denoiser_at_any_level(level: Level) -> None:
    generator = torch.Generator().manual_seed(0)
    known, network = points("moons", 300, generator), PointDenoiser(0)
    losses = network.learn(known, 400, Session(seed=0))
    assert sum(losses[-50:]) < 0.97 * sum(losses[:50])
    x0 = known[:200, :, None, None]
    x = level.noised(x0, torch.randn(x0.shape, generator=generator))
    exact, found = posterior_mean(x, level, known[..., None, None]), network(x, level)
    assert float((found - exact).square().mean()) < 0.15 * float((x0 - exact).square().mean()) + 0.02


def test_the_length_of_a_way_and_the_distance_of_its_end() -> None:
    corner = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])[:, None]  # (3 1 2)
    ways = Ways("exact", "DDIM", corner, torch.tensor([[3.0, 6.0], [9.0, 9.0]]))
    assert ways.detour == pytest.approx(7 / 5)
    assert ways.distance == pytest.approx(2)
    assert nearest(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0]])) == pytest.approx(0.5)
    assert "ends beside its data" in said([ways], fresh=0.1)[0]
    assert "repeats its data" in said([ways], fresh=10)[0]


def test_the_exact_denoiser_ends_on_the_data_and_a_seed_settles_all() -> None:
    stream = toy(Session(seed=3))
    first = next(stream)
    row = first.table[0]
    assert (row["denoiser"], row["sampler"], row["steps"]) == ("exact", "DDPM", 100)
    assert row["distance_to_data"] < 0.02
    assert 0 < first.done < 1
    assert first.figure.size == (1240, 320)
    assert next(toy(Session(seed=3))).table == first.table
    assert next(toy(Session(seed=4))).table != first.table


def test_another_model_is_said_to_be_of_no_use() -> None:
    said_: list[str] = []
    next(toy(Session(model="if", tell=said_.append)))
    assert said_[0] == "this lesson makes a model of points itself: the model 'if' is not asked"
