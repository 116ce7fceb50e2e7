"""Guidance, where the model knows one picture with the prompt and one without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffusion_tricks import UsageError
from diffusion_tricks.plugin import to_images
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.experiments.guidance import Guided, guidance, said
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.sessions import pattern, session_of


def test_the_pictures_are_those_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """eps and x0 are linear in one another, so that the guided picture is u + gamma (c - u)."""
    cond, uncond = pattern() / 4, pattern(1) / 4
    session, made = session_of(exact_model({"a fox": cond, None: uncond})), []
    monkeypatch.setattr(session, "make", lambda recipe: made.append(Session.make(session, recipe)) or made[-1])
    found = last(guidance(session, "a fox"))
    for results, scale in zip(made, (1, 7), strict=True):
        expected = to_images(uncond + scale * (cond - uncond))[0]
        for result in results:
            got = torch.tensor(list(result.image.tobytes())).int()
            assert (got - torch.tensor(list(expected.tobytes())).int()).abs().max() <= 1
    assert [row["guidance"] for row in found.table] == [1, 7]
    assert [row["denoiser_calls"] for row in found.table] == [10, 20]
    assert [row["diversity"] for row in found.table] == pytest.approx([0, 0], abs=1e-6)
    for row, scale in zip(found.table, (1, 7), strict=True):
        levels = ((uncond + scale * (cond - uncond)).clamp(-1, 1) / 2 + 0.5) * 255
        ends = ((levels < 0.5) | (levels > 254.5)).double().mean()
        assert row["clipped_share"] == pytest.approx(float(ends), abs=1 / 768)


def test_each_scale_starts_from_the_same_noise(tiny: Path) -> None:
    found = list(guidance(Session(str(tiny), seed=2), "a fox", (1, 1), count=2))
    assert [part.done for part in found] == [0.5, 1]
    assert found[-1].table[0]["clip_score"] == pytest.approx(found[-1].table[1]["clip_score"])


@pytest.mark.parametrize(
    ("scores", "diversities", "told"),
    [
        ((0.3, 0.4), (0.2, 0.1), ["rises", "buys likeness"]),
        ((0.3, 0.4), (0.1, 0.2), ["rises"]),
        ((0.4, 0.3), (0.2, 0.1), ["falls", "too much"]),
    ],
)
def test_the_sentences_follow_the_numbers(
    scores: tuple[float, float], diversities: tuple[float, float], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guided, "row", {"denoiser_calls": 10})
    monkeypatch.setattr(Guided, "clipped", 0.25)
    text = " ".join(said([Guided(s, [], [a], d) for s, a, d in zip((1, 7), scores, diversities, strict=True)], 3))
    assert f"the score {told[0]}" in text
    assert [phrase for phrase in ("buys likeness", "too much") if phrase in text] == told[1:]


def test_a_model_that_takes_no_prompt_is_refused(tiny_plain: Path) -> None:
    with pytest.raises(UsageError, match=r"takes none; give a model of text or of classes"):
        last(guidance(Session(str(tiny_plain))))


def test_a_latent_model(tiny_sd: Path) -> None:
    found = last(guidance(Session(str(tiny_sd)), count=2))
    assert len(found.table) == 2
    assert found.figure.width > 200
