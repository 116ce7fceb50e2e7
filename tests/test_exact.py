"""The exact trick: what illusions of known pictures end in is the optimum that can be computed."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from command_line import run
from diffusion_tricks import Recipe, TrickEntry, UsageError, load_model, make, sample
from diffusion_tricks.plugin import to_tensor, view_named
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_plugins import Anagram, Exact, Hybrid
from diffusion_tricks_plugins.filters import blur

SIDE = 16


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(0)
    for name in ("cat", "drawing"):
        Image.fromarray(chance.integers(60, 196, (SIDE, SIDE, 3), dtype=np.uint8)).save(f"{name}.png")


def known(name: str) -> torch.Tensor:
    return to_tensor(Image.open(f"{name}.png")).double()


def pixels(path: str) -> NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float64)


@pytest.mark.parametrize("view", ["flip", "jigsaw:2,seed=1", "negate", "hinge", "rotate_cw|mirror_half", "skew:1.5"])
def test_an_anagram_of_known_pictures_ends_in_their_mean(view: str, tiny: Path) -> None:
    done = run("make", "-m", tiny, "--steps", "4", "-o", "out.png", "anagram", "--view", "identity", "cat",
               "--view", view, "drawing", "exact", "cat.png", "drawing.png")  # fmt: skip
    assert done.code == 0, done.err
    best = (known("cat") + view_named(view).invert(known("drawing"))) / 2
    expected = (best[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(pixels("out.png") - expected).max() <= 0.51


def test_a_hybrid_of_known_pictures_has_the_low_of_one_and_the_high_of_the_other(tiny: Path) -> None:
    model = load_model(tiny)
    tricks = [Hybrid(far="cat", near="drawing"), Exact(pictures=["cat.png", "drawing.png"])]
    *_, last = sample(model, tricks=tricks, seed=1, steps=5)
    low = blur(2.0, 33, SIDE, torch.device("cpu"))
    best = low(known("cat").float()) + known("drawing").float() - low(known("drawing").float())
    assert torch.allclose(last.x, best, atol=1e-5)


def test_the_network_is_not_asked(tiny: Path) -> None:
    model = load_model(tiny)
    tricks = [TrickEntry(trick="exact", pictures=["cat.png"])]
    with mock.patch.object(model.family, "predict", side_effect=AssertionError):
        (result,) = make(Recipe(tricks=tricks, prompt="cat", steps=3), model=model)
    assert result.image.tobytes() == Image.open("cat.png").tobytes()
    assert json.loads(json.dumps(result.facts))["rows_total"] == 0


def test_a_model_of_latents_is_answered_with_latents() -> None:
    model = load_model(tiny_pipeline("sd"))
    *_, last = sample(model, prompt="cat", tricks=[Exact(pictures=["cat.png"])], steps=3)
    wide, high = (side * model.family.scale for side in (last.x.shape[-1], last.x.shape[-2]))
    picture = to_tensor(Image.open("cat.png").resize((wide, high), Image.Resampling.LANCZOS))
    assert torch.allclose(last.estimate.clean, model.family.encode(picture), atol=1e-4)


def test_it_answers_within_a_branch_alone(tiny: Path) -> None:
    """Beside the tricks of the branch that it stands in, the model answers."""
    words = ("anagram", "--view", "identity", "[", "cat", "exact", "cat.png", "]", "--view", "flip", "a duck")
    done = run("plan", *words, "-m", tiny, "--json")
    assert done.code == 0, done.err
    assert "exact" in done.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pictures": []}, "at least one picture"),
        ({"pictures": ["a/cat.png", "b/cat.jpg"]}, "both asked for by 'cat'"),
    ],
)
def test_pictures_are_told_apart(given: dict[str, list[str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Exact(**given)


def test_a_prompt_that_names_none_of_them_is_said(tiny: Path) -> None:
    tricks = [Anagram(prompts=["cat", "dog"]), Exact(pictures=["cat.png", "drawing.png"])]
    with pytest.raises(UsageError, match="knows 'cat', 'drawing', and was asked for 'dog'"):
        list(sample(load_model(tiny), tricks=tricks, steps=2))
