"""A blur, one step and many, against models whose every answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from diffusion_tricks.plugin import psnr, sharpness
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.experiments.denoise import blurred, denoise, said
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session
from learn.sessions import pattern, saved, session_of


def test_the_model_that_knows_the_picture_finds_it_in_one_step_and_in_many(tmp_path: Path) -> None:
    x0 = pattern()
    found = last(denoise(session_of(exact_model(x0)), saved(x0, tmp_path / "x.png")))
    of = {row["way"]: row for row in found.table}
    assert list(of) == ["clean", "noisy", "Gaussian blur", "one step", "iterative"]
    assert of["clean"]["psnr_db"] == math.inf
    for way in ("one step", "iterative"):
        assert of[way]["psnr_db"] > 80
        assert of[way]["sharpness"] == pytest.approx(sharpness(x0), rel=1e-3)
        assert of[way]["clip_to_clean"] == pytest.approx(1, abs=1e-4)
    assert of["noisy"]["psnr_db"] < 15
    assert [row["t"] for row in found.numbers["path"]] == [690, 540, 390, 240, 90]
    assert found.done == 1
    assert found.figure.width > 600


def test_the_model_that_knows_another_picture_ends_in_that(tmp_path: Path) -> None:
    x0, other = pattern(), pattern(1)
    found = last(denoise(session_of(exact_model(other)), saved(x0, tmp_path / "x.png"), i_start=20))
    assert found.table[-1]["psnr_db"] == pytest.approx(psnr(other, x0), abs=1e-3)
    assert found.numbers["path"][0]["t"] == 390


def test_what_is_there_by_then_is_given_after_every_part(tmp_path: Path) -> None:
    x0 = pattern()
    parts = list(denoise(session_of(exact_model(x0)), saved(x0, tmp_path / "x.png")))
    assert [part.done for part in parts] == sorted(part.done for part in parts)
    assert "one step" in [row["way"] for row in parts[0].table]
    assert len(parts[0].numbers["path"]) == 1
    assert not parts[0].says


def test_the_blur_is_of_kernel_33_and_sigma_2() -> None:
    """torchvision's definition, in NumPy: exp(-x^2 / 2 sigma^2) on 33 pixels, normalised, edges reflected."""
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    kernel = np.exp(-0.5 * (np.linspace(-16, 16, 33) / 2.0) ** 2)
    kernel /= kernel.sum()
    expected = correlate1d(correlate1d(x.double().numpy(), kernel, 2, mode="mirror"), kernel, 3, mode="mirror")
    torch.testing.assert_close(blurred(x).double(), torch.from_numpy(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("one", "many", "told"),
    [
        ((20, 0.02), (18, 0.06), ["wins by PSNR", "loses by eye"]),
        ((20, 0.06), (18, 0.02), ["wins by PSNR", "no sharper"]),
        ((18, 0.02), (20, 0.06), ["many steps win by PSNR too"]),
    ],
)
def test_the_sentences_follow_the_numbers(one: tuple[float, float], many: tuple[float, float], told: list[str]) -> None:
    ways = {"clean": (math.inf, 0.06), "Gaussian blur": (10.0, 0.001), "one step": one, "iterative": many}
    text = " ".join(said([{"way": way, "psnr_db": p, "sharpness": s} for way, (p, s) in ways.items()]))
    phrases = ("wins by PSNR", "loses by eye", "no sharper", "many steps win by PSNR too")
    assert [phrase for phrase in phrases if phrase in text] == told


@pytest.mark.parametrize("kind", ["tiny_sd", "tiny_flow", "tiny_plain"])
def test_other_kinds_of_models(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = last(denoise(Session(str(request.getfixturevalue(kind))), saved(pattern(), tmp_path / "x.png"), 28))
    assert [row["way"] for row in found.table][-1] == "iterative"
    assert all(math.isfinite(row["psnr_db"]) for row in found.table[1:])
