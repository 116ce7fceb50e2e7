"""Our sampling against diffusers' own pipelines, on tiny random weights: one loop, their numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_tricks import Model, Step, load_model, sample
from diffusion_tricks.diffusion.schedulers import SCHEDULERS, scheduler_for
from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.open import family_of
from diffusion_tricks.testing.pipelines import KINDS, Kind, tiny_pipeline
from diffusion_tricks_plugins import Guidance

STEPS = 4
PROMPTS = ["a rabbit", "a very old man with a hat", "a skull"]
# Prompts are encoded one by one here and in one batch there, and a batch may round otherwise than its rows alone.
BATCHED = {"rtol": 0.0, "atol": 2e-5}
EXACT = {"rtol": 0.0, "atol": 0.0}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def model(kind: Kind) -> Model:
    return load_model(tiny_pipeline(kind), device="cpu")


def theirs(
    model: Model, scheduler: str | None, prompts: list[str] | None, scale: float, output: str, **more: Any
) -> Tensor:
    """The final latents, or the pixels, of the pipeline's own `__call__`: (b c h w)."""
    pipe, own = model.pipe, model.pipe.scheduler
    pixel_space = model.family.scale == 1
    pipe.scheduler = scheduler_for(own, scheduler)
    if pixel_space:
        more["clean_caption"] = False
        # IFPipeline reads `variance_type` of every scheduler; those that have none take the prediction alone.
        pipe.scheduler.register_to_config(variance_type=pipe.scheduler.config.get("variance_type"))
    if scheduler == "tcd":
        more["eta"] = 0.3  # TCD's own; the pipelines say 0 unless they are told
    try:
        result = pipe(
            prompt=prompts,
            guidance_scale=scale,
            num_inference_steps=STEPS,
            generator=[torch.Generator().manual_seed(5 + i) for i in range(len(prompts or PROMPTS))],
            output_type="pt" if output == "pixels" or pixel_space else "latent",
            **more,
        )
    finally:
        pipe.scheduler = own
    images: Tensor = result.images
    return images


def ours(model: Model, scheduler: str | None, prompts: list[str], *tricks: Guidance) -> Step:
    *_, last = sample(
        model, prompt=prompts, tricks=tricks, seed=5, count=len(prompts), steps=STEPS, scheduler=scheduler
    )
    return last


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("scheduler", [None, *SCHEDULERS])
def test_every_scheduler_gives_the_latents_of_the_pipeline(model: Model, scheduler: str | None, scale: float) -> None:
    expected = theirs(model, scheduler, ["a rabbit"], scale, "latent")
    last = ours(model, scheduler, ["a rabbit"], Guidance(scale=scale))
    torch.testing.assert_close(last.x, expected, **EXACT)
    assert last.rows == (1 if scale == 1 else 2)
    assert expected.std() > 0.05


@pytest.mark.parametrize("negative", [None, "a duck", ""])
def test_several_prompts_and_a_negative_one(model: Model, negative: str | None) -> None:
    last = ours(model, "ddim", PROMPTS, Guidance(scale=4, negative=negative))
    expected = theirs(model, "ddim", None, 4.0, "latent", **one_by_one(model, PROMPTS, negative))
    torch.testing.assert_close(last.x, expected, **EXACT)


def one_by_one(model: Model, prompts: list[str], negative: str | None) -> dict[str, Tensor]:
    """What the pipeline's own `encode_prompt` gives for each prompt alone, put together."""
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    request: dict[str, Any] = {"num_images_per_prompt": 1, "do_classifier_free_guidance": True, "device": "cpu"}
    if model.family.scale == 1:
        request["clean_caption"] = False
    encoded = [model.pipe.encode_prompt(prompt, negative_prompt=negative, **request) for prompt in prompts]
    return {name: torch.cat(rows) for name, rows in zip(names, zip(*encoded, strict=True), strict=False)}


def test_decoded_pictures_are_the_pipelines_own(model: Model) -> None:
    expected = theirs(model, "ddim", ["a rabbit", "a duck"], 3.0, "pixels")
    pixels = model.decode(ours(model, "ddim", ["a rabbit", "a duck"], Guidance(scale=3)).x)
    if model.family.scale > 1:
        pixels = (pixels / 2 + 0.5).clamp(0, 1)  # what the pipelines' image processor does
    torch.testing.assert_close(pixels, expected, **BATCHED)


def test_the_loop_decodes_in_chunks_alike(model: Model) -> None:
    latents = ours(model, "ddim", ["a rabbit", "a duck", "a skull"]).x
    torch.testing.assert_close(model.decode(latents, max_rows=2), model.decode(latents), **BATCHED)


def test_another_size_than_the_models_own(model: Model) -> None:
    size = (24, 32)
    expected = theirs(model, "euler", ["a rabbit"], 3.0, "latent", width=size[0], height=size[1])
    *_, last = sample(
        model, prompt="a rabbit", tricks=[Guidance(scale=3)], seed=5, steps=STEPS, size=size, scheduler="euler"
    )
    torch.testing.assert_close(last.x, expected, **EXACT)
    assert last.x.shape[-2:] == (32 // model.family.scale, 24 // model.family.scale)


def test_thresholding_and_learned_variance_of_deepfloyd() -> None:
    model = load_model(tiny_pipeline("if", seed=3), device="cpu")
    expected = theirs(model, None, ["a rabbit"], 7.0, "latent")
    last = ours(model, None, ["a rabbit"], Guidance(scale=7))
    torch.testing.assert_close(last.x, expected, **EXACT)
    assert last.estimate.variance is not None
    fixed = load_model(tiny_pipeline("if", seed=3), device="cpu")
    fixed.pipe.scheduler.register_to_config(variance_type="fixed_small")
    assert not torch.equal(ours(fixed, None, ["a rabbit"], Guidance(scale=7)).x, expected)


def test_the_unconditional_of_sdxl_is_zeros_and_the_empty_prompt_is_not() -> None:
    model = load_model(tiny_pipeline("sdxl"), device="cpu")
    rows = model.encode_prompts([None, ""], model.family.size)
    assert not rows[None]["encoder_hidden_states"].any()
    assert not rows[None]["added_cond_kwargs"]["text_embeds"].any()
    assert rows[""]["encoder_hidden_states"].any()


def test_the_unconditional_of_stable_diffusion_is_the_empty_prompt() -> None:
    model = load_model(tiny_pipeline("sd"), device="cpu")
    rows = model.encode_prompts([None, ""], model.family.size)
    torch.testing.assert_close(rows[None]["encoder_hidden_states"], rows[""]["encoder_hidden_states"], **BATCHED)


def test_a_prompt_is_encoded_to_the_same_bits_whatever_stands_beside_it(kind: Kind) -> None:
    alone, together = (load_model(tiny_pipeline(kind), device="cpu") for _ in range(2))
    size = alone.family.size
    row = alone.encode_prompts(["a duck"], size)["a duck"]
    among = together.encode_prompts(["a rabbit", "a duck", None], size)["a duck"]
    assert torch.equal(row["encoder_hidden_states"], among["encoder_hidden_states"])


def test_recording_leaves_the_pipeline_as_it_was(model: Model) -> None:
    pipe = model.pipe
    before, scheduler, bar = dict(vars(pipe.unet)), pipe.scheduler, dict(pipe._progress_bar_config)
    steps = scheduler.num_inference_steps
    model.family.record(["a new prompt", None], model.family.size)
    assert vars(pipe.unet) == before
    assert pipe.scheduler is scheduler
    assert scheduler.num_inference_steps == steps
    assert pipe._progress_bar_config == bar


def test_recording_puts_back_a_forward_of_the_instance(model: Model) -> None:
    unet = model.pipe.unet
    hooked = unet.forward = lambda *a, **k: type(unet).forward(unet, *a, **k)  # as offloading hooks do
    try:
        model.family.record(["another prompt"], model.family.size)
        assert unet.forward is hooked
    finally:
        del unet.forward


def test_a_tiny_pipeline_hears_its_prompt_and_its_timestep_and_keeps_the_random_state(kind: Kind) -> None:
    state = torch.get_rng_state()
    model = load_model(tiny_pipeline(kind), device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    family = model.family
    rows = model.encode_prompts(["a rabbit", "a duck"], family.size)
    side = family.size[0] // family.scale
    x = torch.randn(1, family.channels, side, side, generator=torch.Generator().manual_seed(0))

    def output(t: int, prompt: str) -> Tensor:
        return family.predict(x, torch.tensor(t), [rows[prompt]])

    assert (output(500, "a rabbit") - output(500, "a duck")).abs().mean() > 0.01
    assert (output(500, "a rabbit") - output(900, "a rabbit")).abs().mean() > 0.01
    again = tiny_pipeline(kind).unet.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.pipe.unet.state_dict().items())


def test_pipelines_that_cannot_be_opened_are_refused() -> None:
    from diffusers import (
        IFSuperResolutionPipeline,
        LDMPipeline,
        StableDiffusionImg2ImgPipeline,
        StableDiffusionPipeline,
        UNet2DModel,
        VQModel,
    )

    told = StableDiffusionPipeline(**tiny_pipeline("sd").components, requires_safety_checker=False)
    told.unet.register_to_config(in_channels=8)
    with pytest.raises(ModelError, match="takes 8 channels where the latents have 4, to edit pictures as it is told;"):
        family_of(told)
    stage_one = tiny_pipeline("if")
    stage_two = IFSuperResolutionPipeline(
        **stage_one.components, image_noising_scheduler=stage_one.scheduler, requires_safety_checker=False
    )
    stage_two.unet.register_to_config(in_channels=6)
    with pytest.raises(ModelError, match="enlarges what another model makes: name that one, and a larger size"):
        family_of(stage_two)
    from_picture = StableDiffusionImg2ImgPipeline(**tiny_pipeline("sd").components, requires_safety_checker=False)
    with pytest.raises(ModelError, match="cannot be run from a prompt alone"):
        next(sample(load_model(from_picture, device="cpu"), prompt="a rabbit"))
    blocks = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
    unet = UNet2DModel(sample_size=8, block_out_channels=[32, 32], **blocks)
    latent = LDMPipeline(vqvae=VQModel(), unet=unet, scheduler=stage_one.scheduler)
    with pytest.raises(ModelError, match="LDMPipeline is not a pipeline this version can open: expected a text-to-im"):
        load_model(latent)
    with pytest.raises(
        ModelError, match="expected a model's name, a directory or a DiffusionPipeline, got a UNet2DCon"
    ):
        load_model(stage_one.unet)


def test_a_pipeline_that_samples_in_its_own_way_is_refused() -> None:
    from diffusers import CMStochasticIterativeScheduler, ConsistencyModelPipeline, UNet2DModel

    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    with pytest.raises(ModelError, match="ConsistencyModelPipeline"):
        load_model(ConsistencyModelPipeline(unet, CMStochasticIterativeScheduler()))
