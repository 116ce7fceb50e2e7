"""Five pictures from noise: how various they are, and where they come from."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from diffusion_tricks import load_model
from diffusion_tricks import sample as sampled
from diffusion_tricks.plugin import to_images
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.experiments.sample import sample
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.sessions import pattern, session_of


def test_score_and_diversity_are_those_of_the_pictures(tiny: Path) -> None:
    session = Session(str(tiny), seed=4)
    found = last(sample(session, "a fox"))
    *_, end = sampled(load_model(str(tiny)), prompt="a fox", seed=4, count=5, steps=found.numbers["steps"])
    features = session.scorer.pictures(to_images(end.run.pixels())).double().numpy()
    said = session.scorer.texts(["a fox"]).double().numpy()[0]
    pairs = [1 - a @ b for a, b in itertools.combinations(features, 2)]
    assert [row["seed"] for row in found.table] == [4, 5, 6, 7, 8]
    assert [row["clip_score"] for row in found.table] == pytest.approx(list(features @ said), abs=1e-5)
    assert found.numbers["diversity"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found.numbers["clip_score"] == pytest.approx(np.mean(features @ said), abs=1e-5)


def test_the_model_that_knows_one_picture_is_not_various() -> None:
    found = last(sample(session_of(exact_model(pattern())), "a fox", count=3))
    assert found.numbers["diversity"] == pytest.approx(0, abs=1e-6)
    assert len(found.table) == 3


def test_the_same_seed_finds_the_same(tiny: Path) -> None:
    first, again, other = (last(sample(Session(str(tiny), seed=seed), "a fox", 2)) for seed in (1, 1, 2))
    assert first.table == again.table
    assert first.figure.tobytes() == again.figure.tobytes()
    assert first.table[1]["clip_score"] == pytest.approx(other.table[0]["clip_score"], abs=1e-4), "seed 2 of both"


@pytest.mark.parametrize("kind", ["tiny_sd", "tiny_flow", "tiny_plain"])
def test_other_kinds_of_models(kind: str, request: pytest.FixtureRequest) -> None:
    found = last(sample(Session(str(request.getfixturevalue(kind))), count=2))
    assert ("clip_score" in found.table[0]) == (kind != "tiny_plain")
    assert found.figure.width > 200
