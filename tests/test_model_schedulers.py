"""Every scheduler of diffusers as a model's own: the bits of its pipeline, or refused from its settings alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from diffusers import schedulers as library
from torch import Tensor

from diffusion_tricks import Model, Recipe, Step, load_model, make, sample
from diffusion_tricks.diffusion.followed import FOLLOWED, NOT_FOLLOWED
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.generate.describe import sheet
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.testing import tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import Guidance, SDEdit

SEED, STEPS = 5, 5
FLOWS: dict[str, dict[str, Any]] = {
    "FlowMatchEulerDiscreteScheduler": {"shift": 3.0},
    "FlowMatchHeunDiscreteScheduler": {"shift": 3.0},
    "FlowMatchLCMScheduler": {"shift": 3.0},
    "UniPCMultistepScheduler": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    "DPMSolverMultistepScheduler": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
}
BY_DEFAULT = [kind for kind in FOLLOWED if "Flow" not in kind]


def with_scheduler(tiny: str, kind: str, **options: Any) -> Model:
    pipe = tiny_pipeline(tiny)
    pipe.scheduler = getattr(library, kind)(**options)
    return load_model(pipe, device="cpu")


def theirs(model: Model, scale: float, steps: int = STEPS, **more: Any) -> Tensor:
    """The final latents (b c h w) of the pipeline's own call."""
    latents: Tensor = model.pipe(
        prompt="a rabbit", num_inference_steps=steps, guidance_scale=scale, output_type="latent",
        generator=[torch.Generator().manual_seed(SEED)], **more,
    ).images  # fmt: skip
    return latents


def ours(model: Model, scale: float, *tricks: Any, **request: Any) -> Step:
    tricks = (*tricks, Guidance(scale=scale))
    *_, last = sample(model, prompt="a rabbit", tricks=tricks, seed=SEED, **{"steps": STEPS, **request})
    return last


@pytest.mark.parametrize("kind", BY_DEFAULT)
def test_any_scheduler_gives_what_the_pipeline_gives(kind: str) -> None:
    """With the options that it has by default, which for PNDM are Runge and Kutta's steps.

    TCD's own share of noise is .3, which pipelines pass over unless they are told.
    """
    model, more = with_scheduler("sd", kind), {"eta": 0.3} if kind == "TCDScheduler" else {}
    for scale in (1.0, 4.0):
        got, expected = ours(model, scale).x, theirs(model, scale, **more)
        assert torch.isfinite(got).all()
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


EDITING = {  # the others are not right in image to image of diffusers, or are refused there
    **{kind: {} for kind in BY_DEFAULT if kind not in ("PNDMScheduler", "LMSDiscreteScheduler")},
    "DEISMultistepScheduler": {"use_karras_sigmas": True},
}


@pytest.mark.parametrize("strength", [0.1, 0.5])
@pytest.mark.parametrize("kind", EDITING)
def test_any_scheduler_edits_as_image_to_image_does(kind: str, strength: float, photo: Path) -> None:
    model = with_scheduler("sd", kind, **EDITING[kind])
    partner = StableDiffusionImg2ImgPipeline(**model.pipe.components, requires_safety_checker=False)
    partner.set_progress_bar_config(disable=True)
    last = ours(model, 1.0, SDEdit(image=str(photo), strength=strength), steps=10)
    assert last.run.source is not None
    expected = partner(
        prompt="a rabbit", image=last.run.latents_of(last.run.source.tensor(last.run.size)), strength=strength,
        num_inference_steps=10, guidance_scale=1.0, output_type="latent", eta=0.3 if kind == "TCDScheduler" else 0.0,
        generator=[torch.Generator().manual_seed(SEED)],
    ).images  # fmt: skip
    torch.testing.assert_close(last.x, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", FLOWS)
def test_any_scheduler_of_flows_gives_what_the_pipeline_gives(kind: str) -> None:
    """That of LCM draws noise between its steps, and pipelines of flows tell it no seed: one step has none."""
    model, steps = with_scheduler("sd3", kind, **FLOWS[kind]), 1 if "LCM" in kind else STEPS
    torch.testing.assert_close(ours(model, 4.0, steps=steps).x, theirs(model, 4.0, steps), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_sdxl_with_edms_scaling_is_its_pipeline(kind: str) -> None:
    """As Playground v2.5, whose VAE says the mean and the spread of its latents."""
    model = with_scheduler("sdxl", kind, sigma_data=0.5, sigma_min=0.002, sigma_max=80.0)
    model.pipe.vae.register_to_config(latents_mean=[0.1] * 4, latents_std=[0.9] * 4)
    last = ours(model, 3.0)
    torch.testing.assert_close(last.x, theirs(model, 3.0), rtol=0, atol=0)
    assert model.defaults.guidance == 3.0
    pixels = model.pipe(
        prompt="a rabbit", num_inference_steps=STEPS, guidance_scale=3.0, output_type="pt",
        generator=[torch.Generator().manual_seed(SEED)],
    ).images  # fmt: skip
    torch.testing.assert_close((model.decode(last.x) / 2 + 0.5).clamp(0, 1), pixels, rtol=0, atol=1e-6)


def test_what_edm_cannot_is_said(photo: Path) -> None:
    model = with_scheduler("sdxl", "EDMEulerScheduler")
    with pytest.raises(UsageError, match="EDM's scaling, which only its own EDMEulerScheduler follows"):
        ours(model, 1.0, scheduler="euler")
    with pytest.raises(UsageError, match="counts no timesteps; use strength, not start_index"):
        ours(model, 1.0, SDEdit(image=str(photo), start_index=7))
    assert torch.isfinite(ours(model, 1.0, SDEdit(image=str(photo), strength=0.4)).x).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "sd"
    tiny_pipeline("sd").save_pretrained(path)
    return path


@pytest.mark.parametrize("kind", NOT_FOLLOWED)
def test_what_cannot_be_followed_is_refused_in_the_same_words(kind: str, folder: Path, tmp_path: Path) -> None:
    """By `models show`, by loading, and by a pipeline in memory, before any weights are read."""
    model = shutil.copytree(folder, tmp_path / "model")
    (model / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": kind}))
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", kind]}))
    refused = sheet(str(model)).refused
    assert refused is not None
    assert f"its {kind} {NOT_FOLLOWED[kind]}; " in refused
    with pytest.raises(ModelError) as caught:
        load_model(str(model), device="cpu")
    assert str(caught.value) == refused


def test_an_upscaler_that_cannot_be_followed_is_refused_in_the_same_words(tmp_path: Path) -> None:
    """By a note of `models show`, by a plan, by loading, and by a pipeline in memory; alone its model is run."""
    upscaler, model = tiny_upscaler(), tmp_path / "model"
    upscaler.scheduler = library.IPNDMScheduler()
    upscaler.save_pretrained(model / "up")
    tiny_pipeline("if").save_pretrained(model)
    (model / "diffusion_tricks.json").write_text('{"upscaler": "up"}')
    known, larger = sheet(str(model)), Recipe(prompt="a", model=str(model), size=(64, 64), steps=1)
    assert known.abilities is not None
    assert (known.refused, known.abilities.upscalers) == (None, ())
    said = f"the upscaler 'up' cannot be run: its IPNDMScheduler {NOT_FOLLOWED['IPNDMScheduler']}; "
    (why,) = [note for note in known.abilities.notes if note.startswith(said)]
    for work in (plan, lambda recipe: make(recipe, device="cpu")):
        with pytest.raises(ModelError) as caught:
            work(larger)
        assert str(caught.value) == why
    for source in (model / "up", upscaler):
        loaded = load_model(str(model), upscaler=source if source is upscaler else None, device="cpu")
        with pytest.raises(ModelError) as caught:
            list(sample(loaded, prompt="a", size=(64, 64), steps=1))
        assert str(caught.value).partition(": ")[2] == why.partition(": ")[2]
    assert len(list(sample(load_model(str(model), device="cpu"), prompt="a", steps=1))) == 1


@pytest.mark.parametrize("options", [{"invert_sigmas": True}, {"scale_factors": [0.5]}])
def test_options_that_cannot_be_followed_are_refused(options: dict[str, Any]) -> None:
    kind = "FlowMatchLCMScheduler" if "scale_factors" in options else "FlowMatchEulerDiscreteScheduler"
    with pytest.raises(ModelError, match=f"its {kind} .*{next(iter(options))}"):
        with_scheduler("sd3", kind, **options)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    Image.linear_gradient("L").convert("RGB").save(path)
    return path


def test_the_strength_of_latent_consistency_is_that_of_its_own_image_to_image(photo: Path) -> None:
    from diffusers import LatentConsistencyModelImg2ImgPipeline

    model = load_model(tiny_pipeline("lcm"), device="cpu")
    partner = LatentConsistencyModelImg2ImgPipeline(**model.pipe.components)
    for strength in (0.3, 0.5, 0.9):
        partner.scheduler.set_timesteps(4, strength=strength)
        steps = list(sample(model, prompt="a", tricks=[SDEdit(image=str(photo), strength=strength)], steps=4))
        assert [int(step.t) for step in steps] == partner.scheduler.timesteps.tolist()
        assert steps[0].level.sigma == pytest.approx(
            float((1 - partner.scheduler.alphas_cumprod[int(steps[0].t)]) ** 0.5)
        )
    assert [int(step.t) for step in sample(model, prompt="a", steps=4)] == [999, 759, 499, 259]
    with pytest.raises(UsageError, match="cannot be set to 4 steps"):
        list(sample(model, prompt="a", tricks=[SDEdit(image=str(photo), strength=0.05)], steps=4))
    # of other models of few steps, and with timesteps of its own, the first are left out
    other = list(sample(model, prompt="a", tricks=[SDEdit(image=str(photo), strength=0.5)], steps=4, scheduler="ddim"))
    assert len(other) == 2


def test_a_prompt_of_bytes_that_are_no_text_is_said_to_be_so() -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu")
    with pytest.raises(UsageError, match=r"the prompt 'caf\\udce9' is no text: it came as bytes that are not UTF-8"):
        list(sample(model, prompt="caf\udce9", steps=2))
