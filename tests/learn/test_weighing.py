"""The lesson on the trick clip-guidance, where the pictures and CLIP's scores are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from diffusion_tricks import UsageError
from diffusion_tricks_learn.experiments.clip_guidance import clip_guidance, ways
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.brightness import BRIGHT, MIDDLE, Brightness, judged


@pytest.fixture
def _brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.plugin.scorer_named", Brightness)


@pytest.mark.usefixtures("_brightness")
def test_pictures_and_weights_are_those_of_the_formula() -> None:
    found = last(clip_guidance(judged(), "bright", temperature=0.5, scale=1.5))
    w = 1 / (1 + math.exp((MIDDLE - BRIGHT) / 0.5))
    expected = [MIDDLE + s * (BRIGHT - MIDDLE) for s in (0, 1, w, 1.5, 1.5 * w)]
    assert [row["clip_score"] for row in found.table] == pytest.approx(expected, abs=0.012)
    assert [row["mean_weight"] for row in found.table if row["mean_weight"]] == pytest.approx([w, w], abs=0.01)
    assert [row["denoiser_calls"] for row in found.table] == [30, 15, 30, 30, 30]
    steps = found.numbers["steps"]["weighted, w by CLIP"][0]
    assert [one["step"] for one in steps] == list(range(15))
    assert np.allclose([one["score_uncond"] for one in steps], MIDDLE, atol=0.01)
    assert found.figure.width >= 1000


def test_findings_grow_and_the_ways_are_named(tiny: Path) -> None:
    parts = list(clip_guidance(Session(str(tiny)), "a fox"))
    assert [part.done for part in parts] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert len(parts[0].table) == 1
    assert parts[0].figure.width > 100
    assert [label.partition("\n")[0] for label, _ in ways(None, 7)] == [
        "unconditional", "conditional", "weighted", "plain guidance", "weighted guidance",
    ]  # fmt: skip


def test_a_latent_model_and_the_same_seed(tiny_sd: Path) -> None:
    found = [last(clip_guidance(Session(str(tiny_sd), seed=2), "a fox")) for _ in range(2)]
    assert found[0].numbers == found[1].numbers


def test_it_needs_a_model_of_text(tiny_plain: Path) -> None:
    with pytest.raises(UsageError, match="expected a model that takes a text"):
        last(clip_guidance(Session(str(tiny_plain))))
