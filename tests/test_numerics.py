"""Small public formulas against independent ones: SciPy's, scikit-image's, diffusers', torchvision's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.spatial.distance
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from diffusion_tricks import metrics
from diffusion_tricks.diffusion.levels import training_level
from diffusion_tricks.errors import UsageError
from diffusion_tricks.plugin import (
    Level,
    bootstrap,
    diversity,
    frechet_distance,
    gaussian_blur,
    kernel_distance,
    psnr,
    sharpness,
)


@pytest.fixture
def x() -> Tensor:
    return torch.rand((2, 3, 40, 36), generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_psnr_is_scikit_images(x: Tensor) -> None:
    y = x + 0.1
    assert psnr(x, y) == pytest.approx(peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=2.0), rel=1e-6)
    assert psnr(x, y, range=1) == pytest.approx(psnr(x, y) - 20 * math.log10(2))
    assert psnr(x, x) == math.inf


def test_sharpness_is_the_variance_of_scipys_laplacian(x: Tensor) -> None:
    gray = x.double().mean(1).numpy()
    expected = np.stack([scipy.ndimage.laplace(page)[1:-1, 1:-1] for page in gray]).var()
    assert sharpness(x) == pytest.approx(expected, rel=1e-12)
    assert sharpness(torch.full_like(x, 0.3)) == pytest.approx(0, abs=1e-12)
    assert sharpness(gaussian_blur(x, 9, 2)) < sharpness(x) / 10


def test_diversity_is_the_mean_cosine_distance() -> None:
    features = torch.randn((7, 12), generator=torch.Generator().manual_seed(1))
    expected = scipy.spatial.distance.pdist(features.double().numpy(), "cosine").mean()
    assert diversity(features) == pytest.approx(expected, rel=1e-12)
    assert diversity(features[:1].expand(5, -1)) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_is_that_of_the_matrix_root() -> None:
    generator = torch.Generator().manual_seed(2)
    a, b = torch.randn((50, 6), generator=generator), torch.randn((40, 6), generator=generator) * 1.5 + 0.3
    cov_a, cov_b = np.cov(a.double().numpy().T), np.cov(b.double().numpy().T)
    root = np.real(scipy.linalg.sqrtm(cov_a @ cov_b))
    expected = float(((a.double().mean(0) - b.double().mean(0)) ** 2).sum()) + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a[:, :1], a[:, :1] + 3) == pytest.approx(9, rel=1e-6)


def test_kernel_distance_is_the_unbiased_estimate() -> None:
    """Summed pair by pair in NumPy; on average over many draws 0 for one distribution, whatever the size."""
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn((9, 5), generator=generator), torch.randn((7, 5), generator=generator) + 0.5

    def k(u: Any, v: Any) -> float:
        return float((u @ v / 5 + 1) ** 3)

    x, y = a.double().numpy(), b.double().numpy()
    within = [np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y)]
    expected = sum(within) - 2 * np.mean([k(u, v) for u in x for v in y])
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-10)
    drawn = torch.randn((400, 2, 6, 5), generator=generator)
    assert np.mean([kernel_distance(*pair) for pair in drawn]) == pytest.approx(0, abs=0.02)


def test_a_bootstrap_interval_holds_the_mean_and_shrinks_with_the_pairs() -> None:
    """Against the normal approximation for many values, and exact where all are equal."""
    assert bootstrap(torch.full((7,), 0.25)) == (0.25, 0.25)
    values = torch.rand(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = bootstrap(values)
    half = 1.96 * float(values.std()) / 20
    assert (low, high) == pytest.approx((float(values.mean()) - half, float(values.mean()) + half), abs=2e-3)
    assert bootstrap(values) == (low, high)
    assert bootstrap(torch.tensor([0.0, 0.0, 1.0]), lambda drawn: drawn.amax(1)) == (0.0, 1.0)


def test_a_bootstrap_of_very_many_values_draws_them_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """4000 times 50,000 values would be gigabytes; the same draws, in smaller parts, are the same interval."""
    values, drawn = torch.rand(90, generator=torch.Generator().manual_seed(0), dtype=torch.float64), []
    whole = bootstrap(values)
    monkeypatch.setattr(metrics, "AT_ONCE", 1000)
    assert bootstrap(values, lambda rows: drawn.append(rows.numel()) or rows.mean(1)) == whole
    assert max(drawn) <= 1000
    assert sum(drawn) == metrics.DRAWS * 90


@pytest.mark.parametrize(("taps", "sigma"), [(33, 2.0), (5, 1.0), (1, 1.0), (71, 9.0)])
def test_the_blur_is_torchvisions(x: Tensor, taps: int, sigma: float) -> None:
    """As torchvision's `gaussian_blur` is written: a sampled, normalized Gaussian, outer product, reflected edges."""
    half = (taps - 1) * 0.5
    pdf = torch.exp(-0.5 * (torch.linspace(-half, half, taps) / sigma).pow(2))
    kernel = pdf / pdf.sum()
    kernel2d = torch.outer(kernel, kernel).expand(3, 1, taps, taps)
    padded = torch.nn.functional.pad(x, (taps // 2,) * 4, mode="reflect")
    expected = torch.nn.functional.conv2d(padded, kernel2d, groups=3)
    torch.testing.assert_close(gaussian_blur(x, taps, sigma), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("taps", "sigma"), [(4, 1.0), (73, 1.0), (3, 0.0), (-1, 1.0)])
def test_a_blur_that_cannot_be_is_refused(x: Tensor, taps: int, sigma: float) -> None:
    with pytest.raises(UsageError, match=r"kernel of an odd number of pixels up to 71 and a sigma above 0, got"):
        gaussian_blur(x, taps, sigma)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("t", [0, 250, 999])
def test_the_forward_process_is_diffusers(x: Tensor, schedule: Any, t: int) -> None:
    scheduler = DDPMScheduler(beta_schedule=schedule)
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    level = training_level(scheduler, t)
    torch.testing.assert_close(level.noised(x, eps), scheduler.add_noise(x, eps, torch.tensor([t])))
    bar = float(scheduler.alphas_cumprod[t])
    assert level.snr == pytest.approx(bar / (1 - bar), rel=1e-5)


@pytest.mark.parametrize("t", [1, 400, 1000])
def test_the_forward_process_of_a_flow(x: Tensor, t: int) -> None:
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    level = training_level(scheduler, t)
    torch.testing.assert_close(level.noised(x, eps), scheduler.scale_noise(x, torch.tensor([float(t)]), eps))
    assert Level(1, 0).snr == math.inf


@pytest.mark.parametrize("t", [-1, 1000])
def test_a_timestep_that_there_is_not_is_refused(t: int) -> None:
    with pytest.raises(UsageError, match=f"t must be between 0 and 999 for this model, got {t}"):
        training_level(DDPMScheduler(), t)


def test_a_scheduler_without_timesteps_is_refused() -> None:
    with pytest.raises(UsageError, match="EDMEulerScheduler counts no timesteps"):
        training_level(EDMEulerScheduler(), 5)
