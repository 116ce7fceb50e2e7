"""Samplers, of which an exact model makes no difference: all end in the one picture that it knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffusion_tricks_learn.experiments import samplers as lesson
from diffusion_tricks_learn.experiments.samplers import SAMPLERS, samplers
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.brightness import judged, two_grays

FEW = (("ddpm", 8), ("ddim", 3), ("ddim", 5), ("dpm++2m", 4))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "SAMPLERS", FEW)


def test_the_course_compares_these() -> None:
    assert SAMPLERS == (("ddpm", 100), ("ddim", 20), ("ddim", 50), ("dpm++2m", 20))


def test_all_end_in_the_known_pictures_at_their_own_cost() -> None:
    parts = list(samplers(judged(two_grays()), ["bright", "dark"], count=2))
    assert [part.done for part in parts] == [0.25, 0.5, 0.75, 1]
    table = parts[-1].table
    assert [(row["sampler"], row["steps"]) for row in table] == list(FEW)
    assert [row["denoiser_calls"] for row in table] == [8, 3, 5, 4]
    assert all(row["share_right"] == 1 for row in table)
    assert [row["frechet_distance"] for row in table] == pytest.approx([0] * 4, abs=1e-3)
    assert parts[-1].numbers["how"] == "guidance 1; Frechet distance to pictures by ddpm from other noise"
    assert parts[-1].figure.width >= 900


def test_a_latent_model(tiny_sd: Path) -> None:
    found = last(samplers(Session(str(tiny_sd)), ["a fox", "a cup"], count=1))
    assert [row["denoiser_calls"] for row in found.table] == [8, 3, 5, 4]


def test_digits_are_held_against_held_out_digits() -> None:
    found = last(samplers(Session(), count=1))
    assert found.numbers["how"] == "guidance 1; Frechet distance to held-out digits"
    assert found.numbers["judge"] == "the digit classifier"
    assert all(row["frechet_distance"] > 0 for row in found.table)
