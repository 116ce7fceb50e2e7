"""What a network learns to predict, against the formulas of the papers, and exact networks whose loss is nothing."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.objectives import Objective, objective, shares, training_schedule
from diffusion_tricks.training.options import TrainOptions, check_looked_at
from diffusion_tricks.training.rates import learning_rate, total_steps

KINDS = ("epsilon", "v", "sample", "flow")
PLAIN = contextlib.nullcontext()


def made(**options: Any) -> Objective:
    asked = TrainOptions(**options)
    return objective(asked, training_schedule(asked))


def exact(task: Objective, x0: Tensor) -> Any:
    """The network that knows the one picture of each row."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = task.level(t)
        eps = (x.double() - alpha * x0) / sigma
        answers = {"epsilon": eps, "v": alpha * eps - sigma * x0, "sample": x0, "flow": eps - x0}
        return answers[task.kind]

    return network


@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_network_has_no_loss_and_another_has(kind: str) -> None:
    task, x0 = made(objective=kind, timesteps=200), torch.rand(8, 1, 4, 4) * 2 - 1
    assert task.loss(exact(task, x0), x0, {}, PLAIN) < 1e-4
    assert task.loss(lambda x, t: x * 0.5, x0, {}, PLAIN) > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_below_a_timestep_all_of_them_are_drawn_alike_and_none_above(kind: str) -> None:
    task = made(objective=kind, timesteps=200, below=50)
    t = task.times(5000, torch.device("cpu")).double()
    assert (float(t.min()) < 1, 49 <= float(t.max()) <= 50) == (True, True)
    np.testing.assert_allclose(np.histogram(t.numpy(), 5, (0, 50))[0], 1000, atol=5)


@pytest.mark.parametrize("task", ["denoiser", "class", "text", "upscale"])
def test_only_a_refiner_learns_below_a_timestep(task: str) -> None:
    with pytest.raises(UsageError, match=f"`task` unconditional alone, and `task` is {task}"):
        check_looked_at(TrainOptions(task=task, below=20))  # type: ignore[arg-type]


def test_below_a_timestep_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="below must be less than the 200 timesteps, got 200"):
        made(timesteps=200, below=200)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_schedule_is_the_papers(schedule: str) -> None:
    bars = made(schedule=schedule, timesteps=400, objective="epsilon").alpha_bars
    assert bars is not None
    t = np.arange(400)
    if schedule == "linear":
        expected = np.cumprod(1 - np.linspace(1e-4, 0.02, 400))
    else:  # arXiv:2102.09672, equation 17, with betas below 0.999

        def f(u: Any) -> Any:
            return np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2

        expected = np.cumprod(1 - np.minimum(1 - f((t + 1) / 400) / f(t / 400), 0.999))
    np.testing.assert_allclose(bars.numpy(), expected, rtol=2e-4, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weighs_the_error_in_the_clean_picture(kind: str, gamma: float) -> None:
    """However it is predicted, the weighted loss is min(SNR, gamma) |x0' - x0|^2 (arXiv:2303.09556, section 3.4)."""
    task = made(objective=kind, timesteps=100, min_snr=gamma)
    t = torch.tensor([5.0, 40.0, 90.0]) if kind == "flow" else torch.tensor([5, 40, 90])
    alpha, sigma = (level.double() for level in task.level(t))
    x0, eps, wrong = (torch.randn(3, 1, 2, 2, dtype=torch.float64) for _ in range(3))
    x = alpha * x0 + sigma * eps
    said = task.target(x0, eps, alpha, sigma) + 0.1 * wrong
    clean = {
        "epsilon": (x - sigma * said) / alpha,
        "v": alpha * x - sigma * said,
        "sample": said,
        "flow": x - sigma * said,
    }[kind]
    weighted = task.weight(alpha, sigma) * (0.1 * wrong) ** 2
    torch.testing.assert_close(weighted, ((alpha / sigma) ** 2).clamp(max=gamma) * (clean - x0) ** 2)


def test_min_snr_gives_the_weights_that_the_paper_names() -> None:
    alpha, sigma = torch.tensor(0.8).sqrt().double(), torch.tensor(0.2).sqrt().double()
    snr = 4.0
    for kind, expected in {"epsilon": 3 / snr, "v": 3 / (snr + 1), "sample": 3.0}.items():
        weight = made(objective=kind, min_snr=3.0).weight(alpha, sigma)
        assert float(weight) == pytest.approx(expected, rel=1e-5)
    assert float(made(objective="epsilon").weight(alpha, sigma)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_absolute_errors_weigh_as_they_are(kind: str) -> None:
    """A prediction that is off by 0.3 everywhere costs 0.3, and squared 0.09; min-SNR weighs both alike."""
    x0, t = torch.rand(4, 1, 8, 8) * 2 - 1, torch.tensor([3, 10, 20, 40])
    for options in ({}, {"min_snr": 5.0}):
        task = made(objective=kind, timesteps=100, error="absolute", **options)
        known = exact(task, x0)
        found = task.errors(lambda x, t, known=known: known(x, t) + 0.3, x0, t, {}, PLAIN)
        weight = task.weight(*task.level(t))[:, 0, 0, 0]
        torch.testing.assert_close(found, (0.3 * weight).to(found), rtol=1e-3, atol=0)
        squared = made(objective=kind, timesteps=100, **options)
        found = squared.errors(lambda x, t, known=known: known(x, t) + 0.3, x0, t, {}, PLAIN)
        torch.testing.assert_close(found, (0.09 * weight).to(found), rtol=1e-3, atol=0)


@pytest.mark.parametrize("shift", [1.0, 3.5, 8.0])
def test_steps_are_shifted_as_in_the_paper(shift: float) -> None:
    """arXiv:2403.03206, equation 23: t' = s t / (1 + (s - 1) t), here for evenly spread t."""
    steps = np.sort(made(shift=shift).times(4000, torch.device("cpu")).numpy())
    share = (np.arange(4000) + 0.5) / 4000
    assert np.abs(steps - 1000 * shift * share / (1 + (shift - 1) * share)).max() < 4
    assert steps.min() >= 0
    assert steps.max() <= 999


def test_logit_normal_steps_are_the_papers() -> None:
    """logit(t) ~ N(mean, std), arXiv:2403.03206, section 3.1."""
    task = made(objective="flow", draw="logit-normal", logit_mean=0.5, logit_std=1.5)
    t = task.times(20_000, torch.device("cpu")) / task.total
    logits = torch.logit(t.double())
    assert float(logits.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(logits.std()) == pytest.approx(1.5, abs=0.02)


def test_neutral_draws_change_nothing() -> None:
    u = torch.rand(10)
    assert shares(TrainOptions())(u) is u


def test_the_denoiser_sees_noise_of_one_level_where_black_is_0_and_white_is_1() -> None:
    task = made(task="denoiser", sigma=0.5)
    t = task.times(6, torch.device("cpu"))
    assert (t == 0).all()
    alpha, sigma = task.level(t)
    torch.testing.assert_close(sigma / alpha, torch.full_like(sigma, 2 * 0.5))  # from black to white is 2 here
    assert task.target(torch.ones(1), torch.zeros(1), alpha, sigma) == 1


def test_rates_rise_and_fall_as_asked() -> None:
    plain = TrainOptions(lr=0.1, warm_up=0, lr_schedule="constant")
    assert learning_rate(plain, 0, 0.0) == learning_rate(plain, 99, 0.99) == 0.1
    cosine = TrainOptions(lr=0.1, warm_up=9, lr_schedule="cosine")
    assert learning_rate(cosine, 0, 0.0) == pytest.approx(0.01)
    assert learning_rate(cosine, 50, 0.5) == pytest.approx(0.05)
    assert learning_rate(cosine, 100, 1.0) == pytest.approx(0)
    falling = TrainOptions(lr=0.1, warm_up=0, lr_schedule="exponential", lr_final=0.1)
    assert learning_rate(falling, 0, 1 / 20) == pytest.approx(0.1 * 0.1 ** (1 / 20))  # after one epoch of twenty


def test_how_long_is_said_in_epochs_steps_or_minutes() -> None:
    assert total_steps(TrainOptions(epochs=2, batch=8), 100, 2) == 13
    assert total_steps(TrainOptions(steps=7), 100, 2) == 7
    assert total_steps(TrainOptions(minutes=1), 100, 2) is None
    assert total_steps(TrainOptions(batch=10), 100, 1) == 100
