"""Anagrams and hybrids: which pairs, what is shown of each, and models of text, of classes and of latents."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffusion_tricks import Scorer, UsageError, load_model
from diffusion_tricks.plugin import Shown
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_learn.experiments.illusions import (
    COURSE,
    OWN,
    Illusion,
    Made,
    illusions,
    near_and_far,
    pairs_for,
    turned,
)
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session


def of_classes(*classes: str) -> Any:
    return SimpleNamespace(name="digits", family=SimpleNamespace(classes=classes), vocabulary=None)


def test_the_course_has_three_of_each_and_so_has_the_model_inside() -> None:
    for pairs in (COURSE, OWN):
        assert [one.kind for one in pairs] == ["anagram"] * 3 + ["hybrid"] * 3
    assert COURSE[0].second == "an oil painting of people around a campfire"
    assert COURSE[0].first == "an oil painting of an old man"
    assert (COURSE[3].first, COURSE[3].second) == ("a lithograph of a skull", "a lithograph of waterfalls")


def test_the_model_inside_gets_pairs_of_what_it_was_taught() -> None:
    model = load_model("emoji")
    assert pairs_for(model, "auto") is OWN
    assert pairs_for(model, "course") is COURSE
    assert model.vocabulary is not None
    assert not model.vocabulary.unknown(prompt for one in OWN for prompt in (one.first, one.second))


def test_classes_are_shown_with_one_another() -> None:
    pairs = pairs_for(of_classes(*"0123456789"), "auto")
    assert Illusion("6", "9", "rotate_180") in pairs
    assert Illusion("6", "9") in pairs
    assert pairs_for(of_classes("a", "b"), "auto") == [Illusion("a", "b", "rotate_180"), Illusion("a", "b")]
    with pytest.raises(UsageError, match="'digits' knows one class"):
        pairs_for(of_classes("a"), "auto")


def made(illusion: Illusion) -> Made:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    views = [Shown("near", picture, illusion.first), Shown("far", picture, illusion.second)]
    return Made(illusion, picture, Scorer().score(views))


def test_a_turned_picture_is_turned_and_a_far_one_is_blurred_and_small() -> None:
    flipped = made(Illusion("a rabbit", "a duck", "flip"))
    (as_it_is, first), (turned_, second) = turned(flipped)
    assert as_it_is is flipped.picture
    assert turned_.tobytes() == flipped.picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes()
    assert first.startswith("a rabbit\nscore")
    assert second.startswith("upside down: a duck\nscore")
    hybrid = made(Illusion("a skull", "a rose"))
    near, far, small = (tile for tile, _ in near_and_far(hybrid, 33, 2.0))
    assert near.size == far.size == (32, 32)
    assert small.size == (8, 8)
    x = np.pad(np.asarray(near, np.float64), ((8, 8), (8, 8), (0, 0)), mode="reflect")
    at = np.arange(-8, 9)
    kernel = np.exp(-(at**2) / 2)  # sigma 2 of 64 is 1 of 32, and 33 taps are 17
    kernel /= kernel.sum()
    rows = sum(k * x[i : i + 32] for i, k in enumerate(kernel))
    expected = sum(k * rows[:, i : i + 32] for i, k in enumerate(kernel))
    np.testing.assert_allclose(np.asarray(far, np.float64), expected, atol=0.51)


def test_a_latent_model_makes_all_six_and_a_seed_settles_them(tmp_path: Path) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path)
    found = last(illusions(Session(model=str(tmp_path), seed=1), pairs="own"))
    assert [row["kind"] for row in found.table] == ["anagram"] * 3 + ["hybrid"] * 3
    assert found.table[0]["views"] == "as it is, rotate_180"
    assert all(row["alignment"] == min(row["clip_score_first"], row["clip_score_second"]) for row in found.table)
    assert found.figure.height > 600
    assert len(found.says) == 2
    again = next(illusions(Session(model=str(tmp_path), seed=1), pairs="own"))
    assert again.table[0] == found.table[0]
    assert again.done < 1


def test_a_model_without_prompts_is_refused(tmp_path: Path) -> None:
    tiny_pipeline("ddpm").save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="takes none"):
        next(illusions(Session(model=str(tmp_path))))
