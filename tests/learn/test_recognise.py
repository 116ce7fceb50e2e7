"""When a picture is recognised, against models whose every answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from diffusion_tricks import UsageError, sample
from diffusion_tricks_learn.experiments.recognise import latents_of, recognise, recognised_at, said, typical
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.brightness import BRIGHT, gray, judged, two_grays


def test_a_picture_is_recognised_from_the_step_on_from_which_it_stays_so() -> None:
    hits = torch.tensor([[1, 0, 0, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]).bool()
    at = recognised_at(hits)
    assert at[:3].tolist() == [0.25, 0.75, 1.0]
    assert at[3].isnan()


def test_the_typical_picture_is_recognised_when_most_are() -> None:
    assert typical(torch.tensor([0.1, math.nan, 0.5, 0.6])) == 2
    assert typical(torch.tensor([math.nan, math.nan])) == 0


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_noisy_pictures_have_variance_1_whatever_the_scheduler(scheduler: str) -> None:
    """An exact model leaves the noise as it was: x = sqrt(abar) x0 + sqrt(1 - abar) eps, abar = a^2 / (a^2 + s^2)."""
    eps = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    for step in sample(two_grays(), prompt="bright", latents=eps, scheduler=scheduler, steps=6):
        level = step.next_level
        abar = level.alpha**2 / (level.alpha**2 + level.sigma**2)
        expected = math.sqrt(abar) * gray(BRIGHT) + math.sqrt(1 - abar) * eps
        torch.testing.assert_close(latents_of(step)["noisy"], expected, atol=2e-2, rtol=0)
        torch.testing.assert_close(latents_of(step)["clean"], gray(BRIGHT), atol=1e-3, rtol=0)


def test_an_exact_model_is_recognised_in_its_first_estimate() -> None:
    found = last(recognise(judged(), ["bright", "dark"], count=3))
    assert [row["class"] for row in found.table] == ["bright", "dark"]
    assert all(row["clean_mean_share"] == pytest.approx(1 / 20) for row in found.table)
    assert all(row["noisy_mean_share"] >= row["clean_mean_share"] for row in found.table)
    assert found.numbers["clean_share_right"] == [1.0] * 20
    assert found.numbers["noisy_share_right"][-1] == 1.0
    assert found.numbers["pictures"] == 6
    assert found.figure.width > 900


def test_the_sentences_follow_the_numbers() -> None:
    numbers = {"noisy_mean_share": 0.6, "clean_mean_share": 0.1, "noisy_sd_share": 0.1, "clean_sd_share": 0.2}
    assert "after 60% of the steps" in said(numbers)[0]
    assert len(said(numbers)) == 2
    assert len(said({**numbers, "clean_mean_share": 0.7})) == 1


def test_it_needs_a_model_that_is_told_what_to_draw(tiny_plain: Path) -> None:
    with pytest.raises(UsageError, match="takes no prompt"):
        last(recognise(Session(str(tiny_plain))))


def test_a_latent_model_and_the_same_seed(tiny_sd: Path) -> None:
    found = [last(recognise(Session(str(tiny_sd), seed=4), ["a fox", "a cup"], count=1)) for _ in range(2)]
    assert str(found[0].numbers) == str(found[1].numbers)
