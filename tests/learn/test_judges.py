"""Who judges, of what, and what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffusion_tricks import Recipe, UsageError, load_model
from diffusion_tricks.plugin import frechet_distance
from diffusion_tricks_learn.judges import THINGS, Clip, Digits, indices, judge_for, names_for, pixels, right
from diffusion_tricks_learn.session import Session
from learn.brightness import BRIGHT, DARK, Brightness, gray, judged, two_grays


def test_digits_are_judged_by_the_classifier_and_all_else_by_clip() -> None:
    session = Session()
    assert isinstance(judge_for(session, ["3", "7"]), Digits)
    assert isinstance(judge_for(session, ["3", "a seven"]), Clip)
    assert indices(Digits(), ["3", "7", "3"]).tolist() == [3, 7, 3]


def test_what_is_drawn_unless_something_is_asked_for(tiny: Path, tiny_plain: Path) -> None:
    assert names_for(load_model(tiny)) == list(THINGS)
    assert names_for(load_model(tiny), ("a", "b")) == ["a", "b"]
    with pytest.raises(UsageError, match="takes no prompt"):
        names_for(load_model(tiny_plain))
    with pytest.raises(UsageError, match="at least two things to tell apart"):
        names_for(load_model(tiny), ("a",))


def test_pictures_are_read_as_the_name_that_scores_highest() -> None:
    judge = Clip(Brightness(), ["dark", "bright"])
    pictures = torch.cat([gray(BRIGHT), gray(DARK), gray(BRIGHT)])
    torch.testing.assert_close(judge.scores(pictures)[:, 1], torch.tensor([BRIGHT, DARK, BRIGHT]), atol=1e-6, rtol=0)
    assert right(judge, pictures, ["bright", "dark", "dark"]).tolist() == [True, True, False]


def test_the_same_pictures_are_no_distance_apart() -> None:
    judge = Clip(Brightness(), ["dark", "bright"])
    pictures = torch.cat([gray(v) for v in (BRIGHT, DARK, 0.0)])
    assert frechet_distance(judge.features(pictures), judge.features(pictures)) == pytest.approx(0, abs=1e-9)


def test_results_become_pixels_again() -> None:
    results = judged(two_grays()).make(_recipe())
    torch.testing.assert_close(
        pixels([r.image for r in results]), torch.cat([gray(BRIGHT), gray(DARK)]), atol=1e-6, rtol=0
    )


def _recipe():  # type: ignore[no-untyped-def]

    return Recipe(prompt=["bright", "dark"], count=2, guidance=1, steps=4)
