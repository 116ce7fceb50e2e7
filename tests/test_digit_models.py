"""The digit models and the digit classifier that ship inside: what they promise, and how they are made again."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from command_line import run
from diffusion_tricks import Recipe, TrickEntry, load_model, make
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.loading.known import DIGITS, KNOWN, WEIGHTS
from diffusion_tricks.training import denoised, digit_classifier, metrics, open_source, options_from
from diffusion_tricks.training import noised as with_noise
from diffusion_tricks.training.classifier import INSIDE, WEIGHTS_FILE, measured, noised, train_classifier
from diffusion_tricks.training.shipped import forget_where
from diffusion_tricks.training.shipped import main as ship
from test_training_data import drawn
from training_data import trained

MODELS = [*DIGITS]
OF_CLASSES = [name for name in MODELS if name not in {"digits-time", "digits-denoiser"}]
UNET = "unet/diffusion_pytorch_model.safetensors"


def made(name: str, prompts: list[str], steps: int | None = None) -> torch.Tensor:
    """Pictures (n 3 28 28) in -1..1."""
    recipe = Recipe(prompt=prompts, seed=3, count=len(prompts), steps=steps)
    return torch.cat([to_tensor(result.image) for result in make(recipe, load_model(name, device="cpu"))])


def right(name: str, each: int = 4, steps: int | None = 20) -> float:
    """The share of a model's pictures, so many of each digit, that are read as the digit that was asked for."""
    digits = [i % 10 for i in range(10 * each)]
    return digit_classifier().accuracy(made(name, [str(digit) for digit in digits], steps), digits)


# --- the weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_small_in_float16_and_are_those_of_the_card(name: str) -> None:
    folder = Path(KNOWN[name][0])
    file = folder / UNET
    assert file.stat().st_size < 1e6
    assert {x.dtype for x in load_file(file).values()} == {torch.float16}
    card = (WEIGHTS / "digits" / "README.md").read_text(encoding="utf-8")
    assert f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {folder.name}/{UNET}" in card
    assert (folder / "training.log").is_file() or name.startswith("digits-epoch")


def test_the_classifier_is_small_in_float16_and_is_that_of_the_card() -> None:
    file = INSIDE / WEIGHTS_FILE
    assert file.stat().st_size < 300_000
    assert {x.dtype for x in load_file(file).values() if x.is_floating_point()} == {torch.float16}
    card = (INSIDE / "README.md").read_text(encoding="utf-8")
    assert f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {WEIGHTS_FILE}" in card
    assert (INSIDE / "training.log").is_file()


def test_all_digits_together_take_little_room() -> None:
    files = [file for room in ("digits", "digit-classifier") for file in (WEIGHTS / room).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 4.5e6


def test_cards_name_presets_that_there_are() -> None:
    card = (WEIGHTS / "digits" / "README.md").read_text(encoding="utf-8")
    presets = set(re.findall(r"train --preset ([\w-]+)", card))
    assert presets == {"denoiser-quick", "time-quick", "class-quick", "flow-quick"}
    assert all(options_from({}, name).width == 16 for name in presets)


# --- the models -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_model_makes_pictures(name: str) -> None:
    pictures = made(
        name, ["seven", "2"] if name in OF_CLASSES else ["", ""], steps=2 if name != "digits-denoiser" else 1
    )
    assert pictures.shape == (2, 3, 28, 28)
    assert (pictures[0] - pictures[1]).abs().max() > 0.1


def test_one_command_makes_a_seven_offline(tmp_path: Path) -> None:
    outcome = run("generate", "seven", "-m", "digits", "--seed", 1, "-o", tmp_path / "seven.png")
    assert outcome.code == 0, outcome.err
    with Image.open(tmp_path / "seven.png") as picture:
        assert picture.size == (28, 28)
        assert digit_classifier().probabilities(to_tensor(picture.convert("RGB"))).argmax() == 7
    listed = run("models").lines
    assert all(any(line.startswith(f"{name} ") for line in listed) for name in MODELS)


def test_digits_are_what_was_asked_for_and_better_after_each_epoch() -> None:
    shares = [right(name) for name in ("digits-epoch-1", "digits-epoch-5", "digits")]
    assert shares[2] >= 0.9
    assert shares[0] < shares[1] <= shares[2]


def test_digits_of_a_flow_are_what_was_asked_for() -> None:
    assert right("digits-flow", each=3) >= 0.8


def test_digits_of_no_class_are_read_as_digits_of_many_kinds() -> None:
    pages = digit_classifier().probabilities(made("digits-time", [""] * 30, 25))
    assert pages.amax(1).mean() > 0.7
    assert len(set(pages.argmax(1).tolist())) >= 6


def test_the_denoiser_takes_most_of_the_noise_away() -> None:
    clean = drawn(open_source("digits", held_out=True), list(range(64))).pictures
    noisy = with_noise(clean, [0.5])
    errors = [
        float((x[0] - clean).square().mean()) for x in (noisy, denoised(load_model("digits-denoiser").pipe, noisy))
    ]
    assert errors[0] == pytest.approx(1.0, rel=0.02)  # sigma 0.5 of a range of 2
    assert errors[1] < 0.1


def test_a_digit_model_takes_tricks() -> None:
    source = to_tensor(made_image := make(Recipe(prompt="3", seed=1), load_model("digits"))[0].image)
    guided = [TrickEntry(trick="guidance", scale=2)]
    edited = make(Recipe(prompt="3", seed=1, tricks=guided), load_model("digits"))
    assert made_image.size == (28, 28)
    assert (to_tensor(edited[0].image) - source).abs().max() > 0.1


# --- the classifier ---------------------------------------------------------------------------------------------


def test_the_classifier_reads_98_of_100_held_out_digits() -> None:
    held = drawn(open_source("digits", held_out=True, seed=7), list(range(2000)), seed=7)
    network = digit_classifier()
    assert network.accuracy(held.pictures, held.classes) >= 0.98
    assert network.accuracy(held.pictures.flip(0), held.classes) < 0.2


def test_the_classifier_reads_noisy_digits_and_real_ones() -> None:
    found = measured(digit_classifier(), open_source("digits", held_out=True), 500)
    assert found["alpha_bar 0.5"] > 0.9
    real = drawn(open_source("sklearn-digits", size=20), list(range(1797)))
    framed = torch.nn.functional.pad(real.pictures, (4, 4, 4, 4), value=-1.0)  # digits 20 high on 28, as MNIST's are
    assert digit_classifier().accuracy(framed, real.classes) > 0.7


def test_features_are_of_the_picture_alone() -> None:
    batch = drawn(open_source("digits"), list(range(20)))
    network = digit_classifier()
    features = network.features(batch.pictures)
    assert features.shape == (20, 64)
    torch.testing.assert_close(network.features(batch.pictures[3:5]), features[3:5], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network.features(batch.pictures.expand(-1, 3, -1, -1)), features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network.probabilities(batch.pictures).sum(1), torch.ones(20))
    torch.testing.assert_close(network(batch.pictures).softmax(1), network.probabilities(batch.pictures))
    assert network.features(torch.zeros(2, 3, 56, 56)).shape == (2, 64)


def test_noise_is_that_of_the_forward_process() -> None:
    x0, eps = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    bars = np.array([0.3, 1.0])[:, None, None, None]
    expected = np.sqrt(bars) * x0.numpy() + np.sqrt(1 - bars) * eps.numpy()
    np.testing.assert_allclose(noised(x0, torch.tensor([0.3, 1.0]), eps).numpy(), expected, atol=1e-6)


def test_a_classifier_is_trained_saved_and_opened(tmp_path: Path) -> None:
    learned, held = (open_source("digits", held_out=h) for h in (False, True))
    found = train_classifier(tmp_path / "mine", learned, held, steps=30)
    assert found["clean"] > 0.2
    network = digit_classifier(tmp_path / "mine")
    assert measured(network, held)["clean"] == pytest.approx(found["clean"], abs=0.01)  # float16
    assert "step 30  loss" in (tmp_path / "mine" / "training.log").read_text()
    with pytest.raises(ModelError, match="holds no classifier of digits"):
        digit_classifier(tmp_path)
    with pytest.raises(UsageError, match="a digit for each of some pictures, got 1 for 0"):
        network.accuracy(torch.zeros(0, 1, 28, 28), [1])


# --- making them ------------------------------------------------------------------------------------------------


def test_what_is_forgotten_leaves_infinities_as_libraries_write_them(tmp_path: Path) -> None:
    file = tmp_path / "scheduler_config.json"
    file.write_text('{"_name_or_path": "/somewhere", "lambda_min_clipped": -Infinity, "solver_order": 2}')
    forget_where(file)
    assert json.loads(file.read_text()) == {"lambda_min_clipped": -math.inf, "solver_order": 2}


def test_a_training_ships_in_float16_with_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path / "out", steps=6, task="class", sheets=[1, 2], sheet_count=1, sheet_steps=1, keep_models=True)
    assert ship([str(tmp_path / "out"), str(tmp_path / "model")]) == 0
    assert ship([str(tmp_path / "out"), str(tmp_path / "first"), "--sheet", "step-000003"]) == 0
    whole, half = (load_file(tmp_path / place / UNET) for place in ("out", "model"))
    assert whole.keys() == half.keys()
    assert all(torch.equal(whole[name].half(), half[name]) for name in whole)
    kept, first = (load_file(tmp_path / place / UNET) for place in ("out/models/step-000003", "first"))
    assert all(torch.equal(kept[name].half(), first[name]) for name in kept)
    told = [file.read_text() for place in ("model", "first") for file in (tmp_path / place).rglob("*.json")]
    assert len(told) == 8
    assert not any(str(tmp_path) in text for text in told)
    log = (tmp_path / "model" / "training.log").read_text().splitlines()
    assert len(log) == len(metrics(tmp_path / "out"))
    assert re.fullmatch(r"step 6  epoch 1\.20  loss \d\.\d{4}  held out \d\.\d{4}", log[-1])
    assert not (tmp_path / "first" / "training.log").exists()
    assert load_model(tmp_path / "model", device="cpu").family.classes == ("upright", "flat")  # type: ignore[attr-defined]
    capsys.readouterr()
    assert ship([str(tmp_path / "out"), str(tmp_path / "none"), "--sheet", "epoch-0009"]) == 2
    assert "epoch-0009 holds no trained model" in capsys.readouterr().err
