"""Hybrid images against filters written in NumPy and exact denoisers, for which the result is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusion_tricks import UsageError, load_model, sample
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline
from diffusion_tricks_plugins import Hybrid
from diffusion_tricks_plugins.filters import blur, gray, identity_error, motion, odd, three_bands, two_bands

Page = NDArray[np.float64]


def numpy_blur(page: Page, sigma: float, taps: int) -> Page:
    """A Gaussian over the whole (taps x taps) square around each pixel, edges reflected; page (c h w)."""
    radius = taps // 2
    at = np.arange(-radius, radius + 1)
    kernel = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(page, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (taps, taps), axis=(1, 2))
    return np.einsum("chwij,ij->chw", windows, kernel)


def numpy_motion(page: Page, taps: int) -> Page:
    """The mean along the diagonal through each pixel, edges reflected; page (c h w)."""
    radius, (_, height, width) = taps // 2, page.shape
    padded = np.pad(page, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    out = np.zeros_like(page)
    for i in range(height):
        for j in range(width):
            out[:, i, j] = np.mean([padded[:, i + k, j + k] for k in range(taps)], axis=0)
    return out


def picture(side: int, seed: int, channels: int = 3) -> Tensor:
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def page(x: Tensor) -> Page:
    return x[0].double().numpy()


@pytest.mark.parametrize(
    ("side", "sigma", "taps"),
    [(64, 2.0, 33), (32, 1.0, 17), (128, 4.0, 67), (16, 0.5, 9)],
)
def test_the_hybrids_blur_is_numpys_at_every_size(side: int, sigma: float, taps: int) -> None:
    """Sigma 2 and 33 taps at 64 pixels; both grow and shrink with the size, and the taps stay odd."""
    x = picture(side, 0)
    expected = torch.from_numpy(numpy_blur(page(x), sigma, taps)).float()
    torch.testing.assert_close(blur(2.0, 33, side)(x)[0], expected, atol=1e-5, rtol=0)


def test_a_wide_blur_gets_a_wide_kernel() -> None:
    """Four sigma at least, or the edges of the kernel would show; but no further than reflection reaches."""
    x = picture(64, 0)
    torch.testing.assert_close(
        blur(8.0, 33, 64)(x)[0], torch.from_numpy(numpy_blur(page(x), 8.0, 65)).float(), atol=1e-5, rtol=0
    )
    assert blur(40.0, 33, 64)(x).shape == x.shape


@pytest.mark.parametrize(("side", "taps"), [(64, 7), (256, 29), (32, 3), (8, 1)])
def test_motion_is_a_diagonal_line_of_7_pixels_at_64_and_29_at_256(side: int, taps: int) -> None:
    assert odd(7 * side / 64) == taps
    x = picture(side, 0, channels=1)
    expected = torch.from_numpy(numpy_motion(page(x), taps)).float()
    torch.testing.assert_close(motion(7, side)(x)[0], expected, atol=1e-5, rtol=0)


FAR, MID, NEAR = (picture(64, seed) for seed in (1, 2, 3))
PICTURES = {"far": FAR, "mid": MID, "near": NEAR}


def made(prediction: str = "epsilon", **options: Any) -> Page:
    model = exact_model(PICTURES, prediction=prediction)
    trick = Hybrid(far="far", near="near", **options)
    return page(list(sample(model, tricks=[trick], steps=4, scheduler="ddim"))[-1].x)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_far_is_the_low_pass_and_near_the_high_pass(prediction: str) -> None:
    """With exact denoisers the result is G far + (near - G near), whatever it is that the model predicts."""
    far, near = page(FAR), page(NEAR)
    expected = numpy_blur(far, 2.0, 33) + near - numpy_blur(near, 2.0, 33)
    np.testing.assert_allclose(made(prediction=prediction), expected, atol=2e-5)


def test_sigma_is_an_option() -> None:
    far, near = page(FAR), page(NEAR)
    expected = numpy_blur(far, 1.3, 33) + near - numpy_blur(near, 1.3, 33)
    np.testing.assert_allclose(made(sigma=1.3), expected, atol=2e-5)


def test_three_bands_are_those_of_the_paper() -> None:
    """high = e - G1 e, low = G2 G1 e, mid = G1 e - low, with sigma 1 and 2 and 25 taps at 64 pixels."""
    far, mid, near = page(FAR), page(MID), page(NEAR)

    def g1(e: Page) -> Page:
        return numpy_blur(e, 1.0, 25)

    def low(e: Page) -> Page:
        return numpy_blur(g1(e), 2.0, 25)

    expected = low(far) + (g1(mid) - low(mid)) + (near - g1(near))
    np.testing.assert_allclose(made(mid="mid"), expected, atol=2e-5)


def test_split_color_takes_gray_from_far_and_colour_from_near() -> None:
    far, near = page(FAR), page(NEAR)
    expected = far.mean(0, keepdims=True) + near - near.mean(0, keepdims=True)
    np.testing.assert_allclose(made(split="color"), expected, atol=2e-5)


def test_split_motion_takes_the_moving_picture_from_far() -> None:
    far, near = page(FAR), page(NEAR)
    expected = numpy_motion(far, 7) + near - numpy_motion(near, 7)
    np.testing.assert_allclose(made(split="motion"), expected, atol=2e-5)


def test_equal_prompts_change_nothing() -> None:
    """The components add up to the identity, so a hybrid of one prompt is the plain picture."""
    model = load_model(tiny_pipeline("if"), device="cpu")
    plain = list(sample(model, prompt="a duck", steps=3))[-1].x
    for options in ({}, {"mid": "a duck"}, {"split": "color"}, {"split": "motion"}):
        trick = Hybrid(far="a duck", near="a duck", **options)
        torch.testing.assert_close(list(sample(model, tricks=[trick], steps=3))[-1].x, plain, atol=1e-4, rtol=0)


def test_the_learned_variance_is_the_mean_and_is_not_filtered() -> None:
    x, level = picture(64, 4), Level(0.6, 0.8)
    answers = {name: Estimate(picture(64, i), x, level, picture(64, 10 + i)) for i, name in enumerate(PICTURES)}
    low, high = two_bands(blur(2.0, 33, 64))
    both = answers["far"].map(low) + answers["near"].map(high)
    assert torch.equal(both.variance, (answers["far"].variance + answers["near"].variance) / 2)
    bands = three_bands(blur(1.0, 25, 64), blur(2.0, 25, 64))
    far, mid, near = (answer.map(band) for answer, band in zip(answers.values(), bands, strict=True))
    expected = sum(answer.variance for answer in answers.values()) / 3
    torch.testing.assert_close((far + mid + near).variance, expected)


def test_a_hybrid_of_learned_variance_hands_their_mean_to_the_scheduler() -> None:
    """On a tiny DeepFloyd IF: the step's variance is the mean of what the UNet says for the two prompts."""
    model = load_model(tiny_pipeline("if"), device="cpu")
    latents = picture(16, 0)
    first = next(iter(sample(model, tricks=[Hybrid(far="a", near="b")], latents=latents, steps=3)))
    alone = [next(iter(sample(model, prompt=p, latents=latents, steps=3))).estimate.variance for p in ("a", "b")]
    assert not torch.allclose(*alone)
    torch.testing.assert_close(first.estimate.variance, sum(alone) / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [8, 64, 96])
def test_all_components_add_up_to_the_identity(side: int) -> None:
    for bands in (
        two_bands(gray), two_bands(motion(7, side)), two_bands(blur(2.0, 33, side)),
        three_bands(blur(1.0, 25, side), blur(2.0, 25, side)),
    ):  # fmt: skip
        assert identity_error(bands, (3, side, side)) < 1e-5


def test_components_that_do_not_add_up_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks_plugins.filters.two_bands", lambda low: [low, low])
    with pytest.raises(UsageError, match="the components of hybrid do not add up to the picture"):
        made()


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a_latent_model_filters_its_latents(kind: Any) -> None:
    """x0 of the first estimate is the far one's low and the near one's high frequencies, in latents of 8 a side."""
    model, latents = load_model(tiny_pipeline(kind), device="cpu"), picture(8, 0, channels=4)
    alone = [next(iter(sample(model, prompt=p, latents=latents, steps=2))).estimate.clean for p in ("a", "b")]
    both = next(iter(sample(model, tricks=[Hybrid(far="a", near="b")], latents=latents, steps=2))).estimate.clean
    far, near = (page(clean) for clean in alone)
    expected = numpy_blur(far, 0.25, 5) + near - numpy_blur(near, 0.25, 5)
    np.testing.assert_allclose(page(both), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"far": "a"}, "hybrid: near: Field required"),
        ({"far": "a", "near": "b", "mid": "c", "split": "color"}, "mid is a band of frequencies"),
        ({"far": "a", "near": "b", "sigma": 0}, "sigma: expected a number above 0, got 0"),
        ({"far": "a", "near": "b", "space": "pixels"}, "'auto', 'latent' or 'pixel', got 'pixels'"),
        ({"far": "a", "near": "b", "split": "colour"}, "'frequency', 'color' or 'motion', got 'colour'"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Hybrid(**options)


@pytest.mark.parametrize("options", [{}, {"mid": "a skull"}, {"split": "color"}, {"split": "motion"}], ids=str)
def test_a_hybrid_holds_what_a_trick_must(options: dict[str, Any]) -> None:
    check_trick(Hybrid(far="a rabbit", near="a duck", **options))
