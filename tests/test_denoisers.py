"""Exact denoisers of data sets of many pictures, against their formula in NumPy and samplers written out there."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from diffusion_tricks import UsageError, sample
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.testing import denoiser_model, exact_model, posterior_mean

Array = np.ndarray[Any, Any]
POINTS = torch.randn(7, 2, 1, 1, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(5, 2, 1, 1, generator=torch.Generator().manual_seed(1))


def guess(x: Array, alpha: float, sigma: float, points: Array) -> Array:
    """sum_i w_i x_i,  w_i ~ exp(-|x - alpha x_i|^2 / (2 sigma^2)), a row at a time."""
    rows = []
    for row in x:
        exponents = np.array([-np.sum((row - alpha * point) ** 2) / (2 * sigma**2) for point in points])
        weights = np.exp(exponents - exponents.max())
        rows.append(sum(w * point for w, point in zip(weights / weights.sum(), points, strict=True)))
    return np.array(rows)


def flat(x: torch.Tensor) -> Array:
    return x.double().flatten(1).numpy()


@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.4), (0.1, 0.99), (0.0, 1.0), (1.0, 0.001)])
def test_the_posterior_mean_is_the_weighted_mean_of_the_data_set(alpha: float, sigma: float) -> None:
    found = posterior_mean(NOISE, Level(alpha, sigma), POINTS)
    np.testing.assert_allclose(flat(found), guess(flat(NOISE), alpha, sigma, flat(POINTS)), rtol=1e-6, atol=1e-7)


def test_ddim_on_many_points_is_the_recurrence_written_out() -> None:
    own = DDIMScheduler(clip_sample=False)
    steps = list(sample(exact_model(POINTS, own), latents=NOISE, steps=10))
    bars = own.alphas_cumprod.double().numpy()
    x, times = flat(NOISE), [int(step.t) for step in steps]
    for t, after in zip(times, [*times[1:], None], strict=True):
        bar, next_bar = bars[t], bars[0] if after is None else bars[after]
        if after is None and own.config.set_alpha_to_one:
            next_bar = 1.0
        x0 = guess(x, bar**0.5, (1 - bar) ** 0.5, flat(POINTS))
        eps = (x - bar**0.5 * x0) / (1 - bar) ** 0.5
        x = next_bar**0.5 * x0 + (1 - next_bar) ** 0.5 * eps
    np.testing.assert_allclose(flat(steps[-1].x), x, atol=1e-4)


def test_a_flow_on_many_points_is_eulers_method_on_its_velocity() -> None:
    model = exact_model(POINTS, FlowMatchEulerDiscreteScheduler())
    steps = list(sample(model, latents=NOISE, steps=10))
    x, levels = flat(NOISE), steps[0].run.levels
    for level, after in pairwise(levels):
        velocity = (x - guess(x, level.alpha, level.sigma, flat(POINTS))) / level.sigma
        x = x + (after.sigma - level.sigma) * velocity
    np.testing.assert_allclose(flat(steps[-1].x), x, atol=1e-4)


@pytest.mark.parametrize("own", [DDPMScheduler(clip_sample=False), FlowMatchEulerDiscreteScheduler()])
def test_every_sample_of_an_exact_model_is_one_of_its_pictures(own: Any) -> None:
    ends = list(sample(exact_model(POINTS, own), count=32, steps=50))[-1].x
    nearest = torch.cdist(ends.flatten(1), POINTS.flatten(1)).min(1)
    assert float(nearest.values.max()) < 0.02
    assert len(set(nearest.indices.tolist())) > 3


def test_each_prompt_has_a_data_set_of_its_own() -> None:
    model = exact_model({"low": POINTS - 20, "high": POINTS + 20})
    ends = list(sample(model, prompt=["low", "high"], scheduler="ddim", steps=10))[-1].x
    assert ends[0].max() < -10
    assert ends[1].min() > 10


def test_any_function_from_noisy_to_clean_is_a_model() -> None:
    seen: list[tuple[torch.dtype, Level, list[str | None]]] = []

    def denoise(x: torch.Tensor, level: Level, prompts: Any) -> torch.Tensor:
        seen.append((x.dtype, level, list(prompts)))
        return torch.full_like(x, 0.25)

    steps = list(sample(denoiser_model(denoise, (2, 3, 4)), prompt="a", steps=4))
    torch.testing.assert_close(steps[-1].x, torch.full((1, 2, 3, 4), 0.25))
    assert [prompts for _, _, prompts in seen] == [["a"]] * 4
    assert {dtype for dtype, _, _ in seen} == {torch.float64}
    assert seen[0][1].alpha == pytest.approx(steps[0].level.alpha)
    with pytest.raises(UsageError, match=r"knows pictures of size \(4, 3\), got \(3, 3\)"):
        list(sample(denoiser_model(denoise, (2, 3, 4)), size=(3, 3)))
