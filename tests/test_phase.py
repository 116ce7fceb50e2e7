"""Phase transfer against NumPy's Fourier transform, and its inversion against exact denoisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from command_line import run
from diffusion_tricks import Recipe, TrickEntry, UsageError, load_model, sample
from diffusion_tricks.generate.shown import shown
from diffusion_tricks.plugin import answered_at, to_tensor
from diffusion_tricks.testing import check_trick, exact_model, posterior_mean, tiny_pipeline
from diffusion_tricks_plugins import Guidance, Phase
from diffusion_tricks_plugins.phase import Notes, inverted, transferred

SIDE = 16


def picture(seed: int) -> Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    page = np.zeros((SIDE, SIDE, 3), np.uint8)
    page[4:9, 6:14] = 200, 120, 40
    Image.fromarray(page).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def numpy_transferred(x: Any, reference: Any, strength: float) -> Any:
    """|F x| with phases on the shorter way from those of x to those of the reference."""
    of_x, of_r = np.fft.fft2(x), np.fft.fft2(reference)
    way = np.angle(of_r) - np.angle(of_x)
    way = (way + np.pi) % (2 * np.pi) - np.pi
    way = np.where(abs(of_r) > 1e-5 * abs(of_r).max((2, 3), keepdims=True), way, 0)
    return np.fft.ifft2(abs(of_x) * np.exp(1j * (np.angle(of_x) + strength * way))).real


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_transfer_is_numpys(strength: float) -> None:
    x, reference = torch.randn(2, 3, 12, 17), picture(1)[..., :12, :].expand(2, -1, -1, -1)
    reference = torch.cat([reference, reference[..., :1]], 3)
    expected = numpy_transferred(x.double().numpy(), reference.double().numpy(), strength)
    np.testing.assert_allclose(transferred(x, reference, strength).numpy(), expected, atol=2e-4)


def test_all_of_it_keeps_magnitudes_and_takes_phases() -> None:
    x, reference = picture(2), picture(3)
    spectrum, wanted = (torch.fft.fft2(one.double()) for one in (transferred(x, reference, 1.0), reference))
    torch.testing.assert_close(spectrum.abs(), torch.fft.fft2(x.double()).abs(), atol=1e-4, rtol=0)
    torch.testing.assert_close((spectrum * wanted.conj()).angle().abs().amax(), torch.tensor(0.0).double(), atol=1e-3,
                               rtol=0)  # fmt: skip


def test_what_the_inversion_finds_leads_back(photo: Path) -> None:
    """Of an exact denoiser of two pictures: from the noisiest of it, DDIM ends in the one that was inverted."""
    known = torch.cat([to_tensor(Image.open(photo)), picture(4)])
    model = exact_model({None: known})
    trick = Phase(image=photo)
    steps = sample(model, prompt=None, tricks=[trick], steps=20, scheduler="ddim")
    run = next(iter(steps)).run
    found, levels = run.state(trick, Notes).inverted, run.levels
    assert len(found) == 21
    for i in (18, 10, 0):
        x0 = posterior_mean(found[i + 1], levels[i + 1], known)
        eps = (found[i + 1] - levels[i + 1].alpha * x0) / levels[i + 1].sigma
        torch.testing.assert_close(found[i], levels[i].noised(x0, eps), rtol=0, atol=1e-4)
    torch.testing.assert_close(found[-1], known[:1], rtol=0, atol=0)
    *_, last = sample(model, prompt=None, latents=found[0], steps=20, scheduler="ddim")
    torch.testing.assert_close(last.x, known[:1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "heun"])
def test_an_answer_aside_is_the_models_own_at_that_level(scheduler: str, photo: Path) -> None:
    """Euler's scales its input by the step that it stands at; the answer is posterior mean all the same."""
    known = picture(5)
    for step in sample(exact_model(known), prompt="x", tricks=[], steps=4, scheduler=scheduler):
        for index in (0, 2, 3):
            level, rows = step.run.levels[index], step.rows
            x = level.noised(known, picture(6))
            answer = answered_at(step, x, index, "x")
            torch.testing.assert_close(answer.clean, known, rtol=0, atol=1e-3)  # sigma is up to 157
            assert step.rows == rows + 1


@pytest.mark.parametrize("options", [{"strength": 0}, {"until": 0, "fade": 0}])
def test_neutral_options_change_nothing_and_cost_nothing(photo: Path, options: dict[str, float]) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    *_, plain = sample(model, prompt="a", steps=3)
    *_, last = sample(model, prompt="a", tricks=[Phase(image=photo, **options)], steps=3)
    assert torch.equal(last.x, plain.x)
    assert last.run.rows == plain.run.rows


def test_the_strength_falls_as_the_authors_does(photo: Path) -> None:
    """Full until half of ten steps, then 1 - w^0.5 over four, then none."""
    trick, found = Phase(image=photo, strength=0.8, until=0.5, fade=0.4), []
    for step in sample(exact_model(picture(7)), prompt="x", tricks=[Guidance(scale=1)], steps=10):
        found.append(trick.strength_at(step))
    expected = [0.8] * 5 + [0.8 * (1 - (k / 4) ** 0.5) for k in range(4)] + [0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_taken_to_the_end_the_phases_are_those_of_the_picture(photo: Path) -> None:
    trick = Phase(image=photo, until=1.0, fade=0.0)
    model = exact_model({"x": picture(8), None: picture(8)})
    *_, last = sample(model, prompt="x", tricks=[trick], steps=5, scheduler="ddim")
    expected = numpy_transferred(picture(8).double().numpy(), to_tensor(Image.open(photo)).double().numpy(), 1.0)
    np.testing.assert_allclose(last.x.numpy(), expected, atol=2e-3)


def test_ahead_takes_a_later_level(photo: Path) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    made = [list(sample(model, prompt="a", tricks=[Phase(image=photo, ahead=k)], steps=4))[-1].x for k in (0, 2, 99)]
    assert not torch.allclose(made[0], made[1])
    assert torch.isfinite(made[2]).all()


@pytest.mark.parametrize("kind", ["if", "sd"])
def test_it_holds_what_a_trick_must(photo: Path, kind: Any) -> None:
    check_trick(Phase(image=photo), load_model(tiny_pipeline(kind), device="cpu"))


def test_it_cannot_stand_in_the_place_of_a_prompt(photo: Path) -> None:
    within = {"prompt": "a", "tricks": [{"trick": "phase", "image": str(photo)}]}
    entry = TrickEntry(trick="anagram", prompts=[within, "b"])
    with pytest.raises(UsageError, match="does more than shape one answer"):
        entry.build()


def test_prompt_and_hidden_picture_are_both_shown(photo: Path) -> None:
    recipe = Recipe(prompt="a castle", tricks=[TrickEntry(trick="phase", image=str(photo))])
    looks = shown(recipe, Image.new("RGB", (64, 64), "red"))
    assert [(one.name, one.prompt, one.said) for one in looks] == [
        ("identity", "a castle", True), ("from afar", "photo", False),
    ]  # fmt: skip


def test_the_command_line_counts_the_rows_of_the_inversion(photo: Path, tiny: Path, tmp_path: Path) -> None:
    said = ("make", "-m", tiny, "-p", "a", "--steps", 4, "--guidance", 1, "phase", photo, "--until", 0.4)
    planned = run("plan", *said[1:])
    assert "rows total:    8 a picture" in planned.out, planned.out
    made = run(*said, "--json", "-o", tmp_path / "a.png", "--seed", 1)
    assert made.json["rows_total"] == 8
    assert run("film", tmp_path / "a.png", "-o", tmp_path / "a.gif", "--size", 32, "--fps", 4).code == 0


def test_one_inversion_serves_a_batch(photo: Path) -> None:
    first = next(iter(sample(exact_model(picture(9)), prompt="x", tricks=[Phase(image=photo)], steps=3, count=2)))
    assert [len(x) for x in inverted(first, picture(9))] == [1] * 4
