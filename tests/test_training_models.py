"""What a training saves is a plain pipeline of diffusers, and a model for every command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMPipeline, DDPMPipeline, DDPMScheduler, DiffusionPipeline, IFPipeline, UNet2DModel
from PIL import Image

from diffusion_tricks import Model, Recipe, UsageError, load_model, make, sample
from diffusion_tricks.errors import ModelError, UnknownName
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.training import checkpoints
from diffusion_tricks.training.objectives import WIDE
from diffusion_tricks.training.showing import denoised, noised
from diffusion_tricks_plugins import Anagram, Guidance, SDEdit
from training_data import Stripes, trained


@pytest.fixture(scope="module")
def class_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "stripes"
    trained(folder, steps=4, task="class", timesteps=50, sampling_steps=5, sheet_count=3, sheet_steps=2)
    return folder


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "plain"
    trained(folder, Stripes(channels=3), steps=2, objective="flow", sampling_steps=3, channels=3, sheet_steps=2)
    return folder


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "denoiser"
    trained(folder, steps=60, task="denoiser", sigma=0.25, sheet_count=2, lr=3e-3, ema=0.9)
    return folder


def test_a_class_model_is_plain_diffusers_and_knows_its_names(class_model: Path) -> None:
    pipe = DiffusionPipeline.from_pretrained(class_model)
    assert isinstance(pipe, DDIMPipeline)
    assert pipe.unet.config.num_class_embeds == 3
    model = load_model(class_model, device="cpu")
    assert model.family.classes == ("upright", "flat")  # type: ignore[attr-defined]
    assert (model.defaults.steps, model.defaults.guidance) == (5, 5.0)
    (result,) = make(Recipe(prompt="Flat", seed=0), model)
    assert result.image.size == (8, 8)
    assert result.facts["rows_per_step"] == 2
    r, g, b = result.image.split()
    assert r.tobytes() == g.tobytes() == b.tobytes()  # gray


def test_a_model_of_low_noise_says_so_and_makes_no_sheets(tmp_path: Path) -> None:
    trained(tmp_path / "fine", steps=3, timesteps=50, below=20, sheet_count=3, sheets=[1])
    assert not (tmp_path / "fine" / "samples").exists()
    model = load_model(tmp_path / "fine", device="cpu")
    assert model.defaults.below == 20
    with pytest.raises(UsageError, match="below timestep 20 alone"):
        make(Recipe(seed=0), model)


def test_guidance_moves_away_from_the_null_class(class_model: Path) -> None:
    model = load_model(class_model, device="cpu")
    unet = model.pipe.unet
    step = next(iter(sample(model, prompt="flat", tricks=[Guidance(scale=4)], seed=1, steps=5)))
    noise = torch.randn((1, 8, 8), generator=torch.Generator().manual_seed(1))[None]
    t, rows = step.t.expand(2), noise.expand(2, -1, -1, -1)
    with torch.no_grad():
        uncond, cond = unet(rows, t, class_labels=torch.tensor([2, 1])).sample.split(1)
    torch.testing.assert_close(step.estimate.value, uncond + 4 * (cond - uncond))
    assert not torch.equal(uncond, cond)


@pytest.mark.parametrize(("prompt", "label"), [
    ("upright", 0), ("a FLAT", 1), ("the  flat", 1), (None, 2), ("", 2),
])  # fmt: skip
def test_prompts_name_classes(class_model: Path, prompt: str | None, label: int) -> None:
    family: Any = load_model(class_model, device="cpu").family
    assert family.label(prompt) == label


def test_an_unknown_class_is_refused_with_the_nearest_name(class_model: Path) -> None:
    with pytest.raises(UnknownName, match="unknown class 'uprihgt'; did you mean 'upright'"):
        make(Recipe(prompt="uprihgt"), load_model(class_model, device="cpu"))


def test_tricks_work_on_a_gray_class_model(class_model: Path, tmp_path: Path) -> None:
    model = load_model(class_model, device="cpu")
    anagram = Anagram(views=[("identity", "upright"), ("rotate_cw", "flat")])
    *_, last = sample(model, tricks=[anagram, Guidance(scale=2)], seed=0, steps=3)
    assert last.x.shape == (1, 1, 8, 8)
    assert last.rows == 4
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    edit = SDEdit(image=str(tmp_path / "red.png"), strength=0.5)
    *_, last = sample(model, prompt="flat", tricks=[edit], seed=0, steps=4)
    assert last.run.first == 2
    assert last.run.pixels().shape == (1, 3, 8, 8)


def test_a_flow_model_samples_along_its_flow(plain_model: Path) -> None:
    pipe = DiffusionPipeline.from_pretrained(plain_model)
    assert isinstance(pipe, DDPMPipeline)
    assert type(pipe.scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
    model = load_model(plain_model, device="cpu")
    x = torch.randn((3, 8, 8), generator=torch.Generator().manual_seed(2))[None]
    sigmas = [1.0, (1 + 1 / 1000) / 2, 1 / 1000, 0.0]  # diffusers' spacing for three steps
    for now, after in itertools.pairwise(sigmas):
        with torch.no_grad():
            x = x + (after - now) * model.pipe.unet(x, torch.tensor(now * 1000)).sample
    *_, last = sample(model, prompt="", seed=2)
    torch.testing.assert_close(last.x, x, atol=1e-4, rtol=1e-4)


def test_a_model_without_classes_takes_no_prompt(plain_model: Path) -> None:
    model = load_model(plain_model, device="cpu")
    *_, nothing = sample(model, seed=0, steps=2)
    *_, empty = sample(model, prompt="", seed=0, steps=2)
    assert torch.equal(nothing.x, empty.x)
    with pytest.raises(UsageError, match=r"takes no prompt.*got 'a rabbit'"):
        make(Recipe(prompt="a rabbit"), model)


def test_the_denoiser_is_a_model_of_one_step_that_removes_its_noise(denoiser: Path) -> None:
    pipe = DiffusionPipeline.from_pretrained(denoiser)
    clean = Stripes().draw(range(8), __import__("numpy").random.default_rng(0)).pictures
    noisy = noised(clean, [0.25])
    assert float((noisy[0] - clean).std()) == pytest.approx(WIDE * 0.25, rel=0.1)
    before, after = ((x[0] - clean).square().mean() for x in (noisy, denoised(pipe, noisy)))
    assert after < before / 2
    assert (denoiser / "denoiser.png").is_file()
    model = load_model(denoiser, device="cpu")
    noise = torch.randn((1, 8, 8), generator=torch.Generator().manual_seed(0))[None]
    *_, last = sample(model, prompt="", seed=0)
    with torch.no_grad():
        expected = pipe.unet(noise, 0).sample.clamp(-1, 1)
    assert last.index == 0
    torch.testing.assert_close(last.x, expected)


def test_what_is_saved_is_the_average(class_model: Path) -> None:
    shadow = checkpoints.last(class_model)["average"]["shadow_params"]
    for ours, saved in zip(shadow, DiffusionPipeline.from_pretrained(class_model).unet.parameters(), strict=True):
        assert torch.equal(ours, saved)


def test_a_text_model_is_deepfloyds_kind(tmp_path: Path) -> None:
    done = trained(
        tmp_path / "text", Stripes(channels=3, size=16), steps=2, task="text", widths="16,32", channels=3, batch=2,
        sheet_count=1, sheet_steps=2, sampling_steps=2,
    )  # fmt: skip
    assert isinstance(DiffusionPipeline.from_pretrained(done.folder), IFPipeline)
    (result,) = make(Recipe(prompt="flat stripes", seed=0), load_model(done.folder, device="cpu"))
    assert result.image.size == (16, 16)
    again = trained(
        tmp_path / "again", Stripes(channels=3, size=16), steps=1, task="text", channels=3, batch=2, objective="flow",
        start_from=str(done.folder), sampling_steps=2,
    )  # fmt: skip
    (result,) = make(Recipe(prompt="flat stripes", seed=0), load_model(again.folder, device="cpu"))
    assert result.image.size == (16, 16)


def test_weights_to_start_from(class_model: Path, tmp_path: Path) -> None:
    trained(tmp_path / "warm", steps=1, task="class", start_from=str(class_model), lr=1e-12, optimizer="adam")
    there, here = (DiffusionPipeline.from_pretrained(f).unet.state_dict() for f in (class_model, tmp_path / "warm"))
    for name, weights in there.items():
        torch.testing.assert_close(here[name], weights, atol=1e-9, rtol=0)


def test_weights_that_do_not_fit_leave_nothing_behind(class_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="do not fit: channels 1 where the training needs 3"):
        trained(tmp_path / "warm", Stripes(channels=3), steps=1, task="class", start_from=str(class_model))
    with pytest.raises(ModelError, match="class embeddings 3 where the training needs None"):
        trained(tmp_path / "warm", steps=1, start_from=str(class_model))
    assert not (tmp_path / "warm").exists()


def foreign(embeddings: int | None, channels: int = 3) -> Model:
    unet = UNet2DModel(
        sample_size=8, in_channels=channels, out_channels=channels, block_out_channels=(8, 8), layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, norm_num_groups=4,
        num_class_embeds=embeddings,
    )  # fmt: skip
    return load_model(DDPMPipeline(unet=unet, scheduler=DDPMScheduler()), device="cpu")


def test_a_foreign_pipeline_gives_what_diffusers_gives() -> None:
    model = foreign(None)
    model.pipe.set_progress_bar_config(disable=True)
    expected = model.pipe(generator=torch.Generator().manual_seed(4), num_inference_steps=3, output_type="np").images
    (result,) = make(Recipe(prompt="", seed=4, steps=3), model)
    assert Image.fromarray((expected[0] * 255).round().astype("uint8")).tobytes() == result.image.tobytes()


def test_foreign_classes_go_by_number_and_none_of_them_is_nothing() -> None:
    model = foreign(4)
    assert model.family.label("3") == 3  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"knows classes only.*guidance 1"):
        model.family.label(None)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="2 channels; expected pictures of 1"):
        foreign(None, channels=2)


def test_class_names_must_fit(class_model: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(class_model, tmp_path / "copy")
    (folder / "diffusion_tricks.json").write_text(json.dumps({"steps": 5, "classes": ["one"]}))
    with pytest.raises(ModelError, match="one class name for each of 3 embeddings"):
        load_model(folder, device="cpu")


def test_a_plan_of_a_gray_model_of_classes_needs_no_weights(tmp_path: Path) -> None:
    trained(tmp_path / "out", task="class", steps=1)
    planned = plan(Recipe(model=str(tmp_path / "out"), prompt="flat", steps=3, seed=0))
    assert planned.data()["rows_total"] == 6  # guidance asks twice
