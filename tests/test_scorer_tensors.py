"""CLIP on tensors, against CLIP on pictures, and the guidance that its gradient gives, against its formula."""

from __future__ import annotations

import pytest
import torch

from diffusion_tricks import Model, Scorer, load_model, sample
from diffusion_tricks.plugin import answered_at, to_images
from diffusion_tricks.testing import check_trick, tiny_pipeline
from diffusion_tricks_plugins import ClipGuidance


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(tiny_pipeline("if"), device="cpu")


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (200, 160)])
def test_tensors_are_seen_as_pictures_are(size: tuple[int, int]) -> None:
    scorer = Scorer()
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(-1, 1)
    cosine = (scorer.pixels(pixels) * scorer.pictures(to_images(pixels))).sum(1)
    assert cosine.min() > 0.999


def test_the_gradient_is_that_of_the_cosine() -> None:
    scorer, text = Scorer(), Scorer().texts(["a cat"])
    pixels = (torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1).requires_grad_()
    (slope,) = torch.autograd.grad((scorer.pixels(pixels) * text).sum(), pixels)
    h = 0.3 * slope / slope.norm()
    with torch.no_grad():
        up, down = ((scorer.pixels(x) * text).sum() for x in (pixels + h, pixels - h))
    torch.testing.assert_close((up - down) / (2 * h.norm()), slope.norm(), rtol=0.05, atol=0)
    assert all(weight.requires_grad for weight in scorer.model.parameters())


def test_clips_gradient_is_taken_of_the_clean_estimate(model: Model) -> None:
    plain, made = (
        next(iter(sample(model, prompt="a cat", tricks=[ClipGuidance(gradient=g)], steps=3, seed=1))) for g in (0, 2.0)
    )
    scorer = Scorer()
    x = plain.estimate.x
    step = plain
    slopes = []
    for channel in range(2):  # by differences, along two directions
        d = torch.randn(x.shape, generator=torch.Generator().manual_seed(channel))

        def score(x: torch.Tensor) -> torch.Tensor:
            clean = answered_at(step, x, 0, "a cat").clean
            return (scorer.pixels(clean) * scorer.texts(["a cat"])).sum() / scorer.temperature

        h = 1e-2
        slopes.append((d, (score(x + h * d) - score(x - h * d)) / (2 * h)))
    for d, along in slopes:
        moved = (made.estimate.noise - plain.estimate.noise) * d
        torch.testing.assert_close(moved.sum(), -2 * made.sigma * along, rtol=0.1, atol=2e-3)
    assert made.differentiated == 1


def test_it_holds_what_every_trick_holds() -> None:
    check_trick(ClipGuidance(gradient=1.0))
