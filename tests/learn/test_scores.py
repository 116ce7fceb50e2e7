"""Scores of classes, against pictures whose scores are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffusion_tricks_learn.experiments.scores import scores
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.brightness import BRIGHT, DARK, judged, two_grays


def test_classes_are_in_order_of_their_scores_and_scores_are_the_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    model = two_grays()
    monkeypatch.setattr(model, "defaults", type(model.defaults)(steps=5, guidance=1.0))
    parts = list(scores(judged(model), ["dark", "bright"], count=3))
    assert [part.done for part in parts] == [0.5, 1]
    found = parts[-1]
    assert [row["class"] for row in found.table] == ["bright", "dark"]
    assert [row["clip_score_mean"] for row in found.table] == pytest.approx([BRIGHT, -DARK], abs=1e-6)
    assert [row["clip_score_sd"] for row in found.table] == pytest.approx([0, 0], abs=1e-6)
    assert [row["share_right"] for row in found.table] == [1, 1]
    assert (found.numbers["best_class"], found.numbers["worst_class"]) == ("bright", "dark")
    assert found.figure.width >= 900


def test_a_latent_model(tiny_sd: Path) -> None:
    found = last(scores(Session(str(tiny_sd)), ["a fox", "a cup"], count=2))
    assert all(row["clip_score_worst"] <= row["clip_score_mean"] <= row["clip_score_best"] for row in found.table)
    again = last(scores(Session(str(tiny_sd)), ["a fox", "a cup"], count=2))
    assert found.table == again.table
