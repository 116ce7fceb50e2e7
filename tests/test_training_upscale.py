"""The second stage (task upscale): its crops, its condition as diffusers prepares it, and the model it becomes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, IFSuperResolutionPipeline
from PIL import Image
from torch import Tensor

from diffusion_tricks import load_model, sample
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.io.grid import PAPER
from diffusion_tricks.testing import tiny_pipeline, tiny_upscaler
from diffusion_tricks.training import checkpoints
from diffusion_tricks.training.data.crops import Crops, enlarged, shrunk
from diffusion_tricks.training.objectives import objective, training_schedule
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.run import resume
from diffusion_tricks.training.upscale import UpscaleTask
from training_data import Stripes, data, trained

SMALL: dict[str, Any] = {
    "task": "upscale", "widths": "8,16", "levels": None, "crop": 16, "batch": 8, "sheet_count": 3, "sheet_steps": 2,
    "sampling_steps": 2, "shift": 1.5, "held_out": 8,
}  # fmt: skip


class Noise(Stripes):
    """Pictures without any two pixels alike, so that each crop tells where it was cut."""

    def draw(self, indices: Any, random: Any) -> Any:
        batch = super().draw(indices, random)
        batch.pictures[:] = torch.from_numpy(random.uniform(-1, 1, batch.pictures.shape))
        return batch


def pictures(size: int = 64) -> Stripes:
    return Noise(channels=3, size=size)


def task(crop: int = 32, **options: Any) -> UpscaleTask:
    asked = TrainOptions(task="upscale", widths="8,16", crop=crop, **options)
    return UpscaleTask(asked, Crops(pictures(), crop, asked.factor))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "upscaler"
    trained(out, pictures(), steps=3, **SMALL)
    return out


# crops


def test_crops_are_cut_of_the_pictures_and_of_their_enlarged_selves_at_one_place() -> None:
    source = Crops(pictures(), 16, 4)
    batch = source.draw(range(10), np.random.default_rng(3))
    whole = source.whole.draw([0, 4, 8], np.random.default_rng(3)).pictures
    large = enlarged(F.interpolate(whole, (16, 16), mode="area"), 4)
    assert batch.enlarged is not None
    assert batch.pictures.shape == batch.enlarged.shape == (10, 3, 16, 16)
    for number, (crop, theirs) in enumerate(zip(batch.pictures, batch.enlarged, strict=True)):
        picture = whole[number // 4]
        found = [
            (r, c) for r in range(0, 49) for c in range(0, 49) if torch.equal(picture[:, r : r + 16, c : c + 16], crop)
        ]
        ((row, column),) = found
        assert row % 4 == column % 4 == 0
        torch.testing.assert_close(theirs, large[number // 4, :, row : row + 16, column : column + 16])
    again = source.draw(range(10), np.random.default_rng(3))
    assert torch.equal(batch.pictures, again.pictures)
    assert len(batch.captions) == len(batch.classes) == 10


def test_a_crop_that_is_flat_is_tried_again() -> None:
    class Corner(Stripes):
        def draw(self, indices: Any, random: Any) -> Any:
            batch = super().draw(indices, random)
            batch.pictures[:] = 1
            batch.pictures[:, :, :24, :24] = torch.rand(24, 24)
            return batch

    crops = Crops(Corner(channels=3, size=64), 16, 4).draw(range(400), np.random.default_rng(0)).pictures
    shows = (crops.std(dim=(2, 3)).amax(1) > 0.03).float().mean()
    chance = (6 / 13) ** 2  # of 13 places a side, 6 see the corner; three tries
    assert shows == pytest.approx(1 - (1 - chance) ** 3, abs=0.07)


@pytest.mark.parametrize(("size", "crop", "factor"), [(64, 80, 4), (64, 18, 4), (66, 16, 4), (64, 16, 3)])
def test_crops_that_do_not_fit_are_refused(size: int, crop: int, factor: int) -> None:
    with pytest.raises(UsageError, match=rf"crops of {crop} pixels cannot be cut of pictures of {size}.*`crop`"):
        Crops(pictures(size), crop, factor)
    with pytest.raises(UsageError, match="made for pictures in colour"):
        Crops(Stripes(size=64), 16, 4)


# condition and loss


@pytest.mark.parametrize("noise_level", [0, 300])
def test_the_condition_is_what_diffusers_prepares(noise_level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-6: IFSuperResolutionPipeline's own input to its UNet, for the small picture and the same noise."""
    pipe, x = tiny_upscaler(64), pictures().draw([0], np.random.default_rng(0)).pictures
    seen: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor, *_: Any, class_labels: Tensor, **__: Any) -> Any:
        seen.append((x, class_labels))
        return (torch.zeros_like(x),)

    monkeypatch.setattr(pipe.unet, "forward", watched)
    pipe(
        prompt_embeds=torch.zeros(1, 1, 1), image=shrunk(x, 4), noise_level=noise_level, num_inference_steps=1,
        guidance_scale=1.0, generator=torch.Generator().manual_seed(7), output_type="pt",
    )  # fmt: skip
    stream = torch.Generator().manual_seed(7)
    _, noise = (torch.randn(x.shape, generator=stream) for _ in range(2))  # the pipeline draws its latents first
    mine, batch = task(64), Crops(pictures(), 64, 4).draw([0], np.random.default_rng(0))
    torch.testing.assert_close(batch.pictures, x)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([noise_level]))
    monkeypatch.setattr(torch, "randn_like", lambda *_, **__: noise)
    told = mine.condition(batch, 0.0)
    (theirs, level), *_ = seen
    torch.testing.assert_close(told["beside"], theirs[:, 3:], rtol=0, atol=1e-6)
    assert told["level"].tolist() == level.tolist() == [noise_level]


def test_levels_are_drawn_up_to_the_most() -> None:
    batch = Crops(pictures(), 16, 4).draw(range(400), np.random.default_rng(0))
    levels = task(16, max_noise_level=9).condition(batch, 0.0)["level"]
    assert set(levels.tolist()) == set(range(10))


def test_the_exact_velocity_has_no_loss_and_another_has() -> None:
    options = TrainOptions(task="upscale", shift=1.5)
    goal, x0 = objective(options, training_schedule(options)), torch.rand(6, 3, 8, 8) * 2 - 1

    def exact(x: Tensor, t: Tensor, beside: Tensor, level: Tensor) -> Tensor:
        alpha, sigma = goal.level(t)
        return alpha * (x.double() - alpha * x0) / sigma - sigma * x0

    told = {"beside": x0, "level": torch.zeros(6).long()}
    assert goal.loss(exact, x0, told, contextlib.nullcontext()) < 1e-6
    assert goal.loss(lambda x, t, **_: x, x0, told, contextlib.nullcontext()) > 0.1


def test_the_network_sees_picture_condition_and_level() -> None:
    network = task().network.eval()
    torch.nn.init.normal_(network.unet.conv_out.weight)  # type: ignore[union-attr, arg-type]
    x, t, level = torch.randn(2, 3, 32, 32), torch.tensor([5, 900]), torch.tensor([0, 300])
    with torch.no_grad():
        plain = network(x, t, x, level)
        both = network.unet(torch.cat([x, x], 1), t, None, class_labels=level).sample  # type: ignore[operator]
        assert torch.equal(plain, both[:, :3])
        assert not torch.equal(plain, network(x, t, -x, level))
        assert not torch.equal(plain, network(x, t, x, level + 1))


# trainings


def test_a_training_goes_on_exactly(tmp_path: Path) -> None:
    trained(tmp_path / "whole", pictures(), steps=6, **SMALL)
    trained(tmp_path / "half", pictures(), steps=3, **SMALL)
    resume(tmp_path / "half", {"steps": 6, "workers": 2}, quiet=True, data=data(pictures()))
    whole, half = (checkpoints.last(tmp_path / name) for name in ("whole", "half"))
    assert whole["step"] == half["step"] == 6
    for ours, theirs in zip(whole["network"].values(), half["network"].values(), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(whole["average"]["shadow_params"], half["average"]["shadow_params"], strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_saved_is_an_upscaler_for_any_base(folder: Path) -> None:
    assert isinstance(DiffusionPipeline.from_pretrained(folder), IFSuperResolutionPipeline)
    said = json.loads((folder / "diffusion_tricks.json").read_text())
    assert said == {"steps": 2, "guidance": 1.0, "scheduler": None, "noise_level": 50}
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=folder)
    steps = list(sample(model, prompt="a rabbit", size=(64, 64), steps=1))
    assert [(step.stage, step.rows) for step in steps] == [(1, 1), (2, 1), (2, 1)]
    assert steps[-1].x.shape == (1, 3, 64, 64)
    assert steps[-1].x.isfinite().all()


def test_the_sheet_shows_small_enlarged_and_original(folder: Path) -> None:
    (file,) = (folder / "samples").glob("*.png")
    with Image.open(file) as page:
        across = page.width - 4 * 6  # three pictures, four gaps
        assert across % (3 * 64) == 0
        scale = across // (3 * 64)
        first = np.asarray(page)[:, 6 : 6 + 64 * scale]
        top = int((first != np.asarray(PAPER)).any(2).all(1).argmax())  # below the title
        cell = first[top : top + 64 * scale]
    blocks = cell.reshape(16, 4 * scale, 16, 4 * scale, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_an_upscaler_to_start_from(folder: Path, tmp_path: Path) -> None:
    options = {**SMALL, "sheet_count": 0, "lr": 1e-12, "optimizer": "adam"}
    trained(tmp_path / "warm", pictures(), steps=1, start_from=str(folder), **options)
    there, here = (DiffusionPipeline.from_pretrained(f).unet.state_dict() for f in (folder, tmp_path / "warm"))
    for name, weights in there.items():
        torch.testing.assert_close(here[name], weights, atol=1e-6, rtol=0)
    with pytest.raises(ModelError, match="do not fit: size 64 where the training needs 32"):
        trained(tmp_path / "not", pictures(32), steps=1, start_from=str(folder), **options)
    assert not (tmp_path / "not").exists()


def test_a_flow_and_crops_that_cannot_be_halved_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'flow' is none for it"):
        TrainOptions(task="upscale", objective="flow")
    with pytest.raises(UsageError, match="4 levels halve the side 3 times, which 4 pixels do not allow"):
        trained(tmp_path / "out", pictures(), steps=1, **{**SMALL, "widths": "8,8,8,8", "crop": 12})
