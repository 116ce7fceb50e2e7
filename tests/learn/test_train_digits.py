"""`learn train-digits`: the network as it is drawn, the pages by exact denoisers, and a whole run in small."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_tricks.plugin import UnknownName, to_images
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks.training import Batch
from diffusion_tricks_learn.architecture import anatomy, architecture, weights_of
from diffusion_tricks_learn.digit_pages import centroid_page, epochs_page, levels_page
from diffusion_tricks_learn.experiments import train_digits as lesson
from diffusion_tricks_learn.session import Session


def denoiser(answer: Any) -> Any:
    """A model whose one step gives `answer(x)`."""
    unet = SimpleNamespace(device=torch.device("cpu"))
    call = type("Unet", (), {"device": unet.device, "__call__": lambda self, x, t: SimpleNamespace(sample=answer(x))})
    return SimpleNamespace(pipe=SimpleNamespace(unet=call(), scheduler=SimpleNamespace(alphas_cumprod=[1.0])))


def batch(n: int = 20) -> Batch:
    pictures = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(pictures, [""] * n, torch.arange(n) % 2)


def test_the_parts_of_a_network_are_those_of_its_config() -> None:
    unet = tiny_pipeline("ddpm").unet
    body = anatomy(unet)
    assert [(p.name, p.side_in, p.side_out, p.channels) for p in body.down] == [
        ("DownBlock2D", 16, 8, 8), ("AttnDownBlock2D", 8, 8, 16),
    ]  # fmt: skip
    assert [(p.name, p.side_in, p.side_out, p.channels) for p in body.up] == [
        ("AttnUpBlock2D", 8, 16, 16), ("UpBlock2D", 16, 16, 8),
    ]  # fmt: skip
    assert [p.attention for p in (*body.down, body.middle, *body.up)] == [0, 1, 1, 2, 0]
    assert sum(p.skips for p in body.down) + 1 == sum(p.skips for p in body.up) == 4  # the first is of conv_in
    parts = sum(p.weights for p in (body.first, *body.down, body.middle, *body.up, body.last))
    assert (
        body.total == unet.num_parameters() == parts + weights_of(unet.time_embedding) + weights_of(unet.conv_norm_out)
    )
    assert not any(module._forward_hooks for module in unet.modules())
    assert architecture(unet).width == 1100


def test_a_denoiser_that_does_nothing_gains_nothing_and_a_perfect_one_everything() -> None:
    clean = batch().pictures
    found = levels_page({"idle": denoiser(lambda x: x), "perfect": denoiser(lambda x: clean)}, clean, (0.0, 0.5), 0.5,
                        seed=7, shown=2)  # fmt: skip
    zero, half = found.table
    assert half["noisy input_psnr_db"] == half["idle_psnr_db"]
    assert zero["noisy input_psnr_db"] == half["perfect_psnr_db"] == math.inf
    eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7)).numpy()
    x = clean.numpy()
    error = np.mean((np.clip(x + 2 * 0.5 * eps, -1, 1) - x).astype(np.float64) ** 2)
    assert math.isclose(half["noisy input_psnr_db"], 10 * math.log10(4 / error), rel_tol=1e-6)
    assert "gains inf dB" in found.says[0]
    assert found.figure.width > 0


def test_what_gives_the_mean_of_the_data_is_called_so() -> None:
    drawn = batch()
    mean = drawn.pictures.mean(0, keepdim=True)
    exact = centroid_page(denoiser(lambda x: mean.expand(len(x), -1, -1, -1)), drawn, ("a", "b"), 3, 0, 500.0)
    pure = exact.numbers["pure_noise"]
    assert pure["rms_to_mean"] == 0
    assert abs(pure["diversity"]) < 1e-6
    assert math.isclose(pure["rms_of_data_to_mean"], (drawn.pictures - mean).numpy().std(), rel_tol=1e-4)
    assert "are the mean of all digits" in exact.says[0]
    poor = centroid_page(denoiser(lambda x: -x.clamp(-1, 1)), drawn, (), 3, 0, 500.0)
    assert "not yet" in poor.says[0]
    assert exact.figure.height > poor.figure.height  # no classes, no row of their means


class Bright:
    """Reads what is bright as one."""

    names, label, unit = ("0", "1"), "a test", "probability"

    def scores(self, pictures: Tensor) -> Tensor:
        bright = (pictures.mean((1, 2, 3)) > 0).float()
        return torch.stack([1 - bright, bright], 1)

    def features(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)


def test_what_is_read_as_asked_is_counted() -> None:
    dark, bright = (to_images(torch.full((1, 3, 8, 8), gray))[0] for gray in (-0.5, 0.5))
    made = {"epoch 1": [bright, dark, dark, dark], "epoch 2": [dark, bright, dark, bright]}
    real = batch().pictures
    found = epochs_page(made, ("0", "1"), real, "a title", Bright(), ("0", "1", "0", "1"))
    assert [row.get("read_right") for row in found.table] == [0.25, 1.0, None]
    assert "25% of epoch 1, 100% of epoch 2" in found.says[1]
    free = epochs_page(made, ("noise 0", "noise 1"), real, "a title", Bright(), ())
    assert all("read_right" not in row for row in free.table)
    assert free.figure.height > found.figure.height  # with what is read below each picture


@pytest.fixture
def nothing_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "KINDS", {name: lesson.Kind(1, one.epochs) for name, one in lesson.KINDS.items()})


@pytest.mark.usefixtures("nothing_ready")
def test_a_small_run_of_the_flow() -> None:
    parts = list(lesson.train_digits(Session(seed=1), "flow", "shapes", steps=2))
    assert [part.done for part in parts] == [0.6, 1.0]
    found = parts[-1]
    assert [row["step"] for row in found.numbers["training"]] == [1, 2]
    assert found.numbers["architecture"]["classes"] == 3  # two, and none
    assert [row["digits"] for row in found.table] == ["2 steps here", "held-out digits"]
    assert found.figure.height > parts[0].figure.height
    again = next(lesson.train_digits(Session(seed=1), "flow", "shapes", steps=2))
    assert [row["loss"] for row in again.numbers["training"]] == [row["loss"] for row in found.numbers["training"]]


@pytest.mark.usefixtures("nothing_ready")
def test_a_small_run_of_the_denoiser() -> None:
    parts = list(lesson.train_digits(Session(seed=1), "denoiser", "shapes", steps=1))
    assert [part.done for part in parts] == [0.6, 0.8, 1.0]
    assert [row["sigma"] for row in parts[-1].table] == [0, 0.2, 0.4, 0.5, 0.6, 0.8, 1]
    assert "pure_noise" in parts[-1].numbers


def test_another_kind_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'class'"):
        next(lesson.train_digits(Session(), "clas"))
