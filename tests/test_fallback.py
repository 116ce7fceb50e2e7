"""Pipelines without an adapter, run by their own call: their numbers, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPAGPipeline, UNet2DModel
from torch import Tensor

from diffusion_tricks import Model, Recipe, Step, load_model, sample
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.families.fallback import FallbackFamily
from diffusion_tricks.families.lookup import defaults_for, described
from diffusion_tricks.families.refusals import missing
from diffusion_tricks.families.table import FAMILIES
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.testing.pipelines import tiny_pipeline
from diffusion_tricks.testing.tiny.parts import vae
from diffusion_tricks.testing.tiny.weights import built
from diffusion_tricks_plugins import Anagram, Guidance
from unadapted import UNADAPTED, unadapted

STEPS = 4
LONG = "a very old man with a hat and a stick"  # CogView4 gives it more tokens than the others
PROMPTS = ["a rabbit", LONG, "a duck"]
EXACT = {"rtol": 0.0, "atol": 0.0}
# Prompts are encoded and asked one by one here and in one batch there, and a batch may round otherwise than its rows.
BATCHED = {"rtol": 0.0, "atol": 2e-5}
# What these pipelines do beside guidance, off: they would make another size, or bend the guided prediction.
PLAIN: dict[str, dict[str, Any]] = {
    "hunyuan": {"use_resolution_binning": False},
    "lumina2": {"cfg_normalization": False},
}


@pytest.fixture(scope="module", params=UNADAPTED)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(kind: str) -> Model:
    return load_model(unadapted(kind), device="cpu")


def theirs(model: Model, prompts: list[str], scale: float, output: str = "latent", **more: Any) -> Tensor:
    """The final latents (b c h w), or the pixels, of the pipeline's own call."""
    size = more.pop("size", model.family.size)
    generators = [torch.Generator().manual_seed(5 + i) for i in range(len(prompts))]
    images: Tensor = model.pipe(
        prompt=prompts, guidance_scale=scale, num_inference_steps=STEPS, generator=generators, output_type=output,
        width=size[0], height=size[1], **more,
    ).images  # fmt: skip
    return images


def ours(model: Model, prompts: list[str], *tricks: Any, **more: Any) -> Step:
    *_, last = sample(model, prompt=prompts, tricks=tricks, seed=5, count=len(prompts), steps=STEPS, **more)
    return last


@pytest.mark.parametrize("name", ["sd", "sd-v", "sdxl", "sd3", "pixart"])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_fallback_gives_the_bits_of_the_adapter(name: str, scale: float) -> None:
    adapted = load_model(tiny_pipeline(name), device="cpu")
    pipe = tiny_pipeline(name)
    plain = Model(pipe, name, adapted.device, adapted.dtype, opened=FallbackFamily(pipe))
    expected, got = (ours(each, PROMPTS, Guidance(scale=scale)) for each in (adapted, plain))
    torch.testing.assert_close(got.x, expected.x, **EXACT)
    torch.testing.assert_close(plain.decode(got.x), adapted.decode(expected.x), **EXACT)
    assert (plain.family.size, plain.family.scale) == (adapted.family.size, adapted.family.scale)
    assert got.rows == expected.rows == (len(PROMPTS) if scale == 1 else 2 * len(PROMPTS))


def test_guidance_of_a_pipeline_s_own_kind_is_off() -> None:
    pipe = StableDiffusionPAGPipeline(
        **tiny_pipeline("sd").components, requires_safety_checker=False, pag_applied_layers="mid"
    )
    model = load_model(pipe, device="cpu")
    assert isinstance(model.family, FallbackFamily)  # its first call has rows that nobody asked for
    plain = load_model(tiny_pipeline("sd"), device="cpu")
    guided, expected = (ours(each, ["a rabbit"], Guidance(scale=3)) for each in (model, plain))
    torch.testing.assert_close(guided.x, expected.x, **EXACT)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_latents_of_the_pipeline_itself(kind: str, model: Model, scale: float) -> None:
    assert isinstance(model.family, FallbackFamily)
    expected = theirs(model, ["a rabbit"], scale, **PLAIN.get(kind, {}))
    last = ours(model, ["a rabbit"], Guidance(scale=scale))
    torch.testing.assert_close(last.x, expected, **(EXACT if scale == 1 else BATCHED))  # some ask twice for guidance
    assert expected.std() > 0.05
    assert last.rows == (1 if scale == 1 else 2)


def test_several_prompts_and_a_negative_one(kind: str, model: Model) -> None:
    last = ours(model, PROMPTS, Guidance(scale=3, negative="a skull"))
    negative = "a skull"
    if kind == "lumina2":  # which puts its instruction before every prompt, but not before a negative one
        negative = f"{model.pipe.system_prompt} <Prompt Start> {negative}"
    for i, prompt in enumerate(PROMPTS):  # CogView4's own batches are padded to their longest text
        generator = torch.Generator().manual_seed(5 + i)
        expected = model.pipe(
            prompt=prompt, negative_prompt=negative, guidance_scale=3.0, num_inference_steps=STEPS,
            generator=generator, output_type="latent", width=model.family.size[0], height=model.family.size[1],
            **PLAIN.get(kind, {}),
        ).images  # fmt: skip
        torch.testing.assert_close(last.x[i : i + 1], expected, **BATCHED)


def test_decoded_pictures_and_another_size(kind: str, model: Model) -> None:
    size = (model.family.size[0] + 32, model.family.size[1])
    pixels = model.decode(ours(model, ["a rabbit"], size=size).x)
    expected = theirs(model, ["a rabbit"], 1.0, "pt", size=size, **PLAIN.get(kind, {}))
    torch.testing.assert_close((pixels / 2 + 0.5).clamp(0, 1), expected, **BATCHED)
    assert tuple(pixels.shape) == (1, 3, size[1], size[0])
    round_trip = model.encode(pixels)
    assert round_trip.shape == (1, model.family.channels, size[1] // model.family.scale, size[0] // model.family.scale)


def test_anagrams(model: Model) -> None:
    plain = ours(model, ["a rabbit"], Guidance(scale=3))
    same = ours(model, [""], Anagram(views=2 * [("identity", "a rabbit")]), Guidance(scale=3))
    torch.testing.assert_close(same.x, plain.x, **EXACT)
    views = [("identity", "a rabbit"), ("flip", LONG)]
    both = ours(model, [""], Anagram(views=views), Guidance(scale=3))
    assert both.rows == 4
    turned = ours(model, [""], Anagram(views=[("identity", LONG), ("flip", "a rabbit")]), Guidance(scale=3))
    assert not torch.allclose(both.x, turned.x, atol=1e-3)
    assert torch.isfinite(both.x).all()


def test_a_flip_anagram_is_the_mean_of_both_answers(model: Model) -> None:
    x = torch.randn(1, model.family.channels, 8, 8, generator=torch.Generator().manual_seed(0))
    x = x[..., : model.family.size[1] // model.family.scale, : model.family.size[0] // model.family.scale]
    rows = model.encode_prompts(["a rabbit", "a duck"], model.family.size)
    t = torch.tensor(500.0)
    together = model.family.predict(torch.cat([x, x.flip(-2)]), t, [rows["a rabbit"], rows["a duck"]])
    alone = [model.family.predict(x, t, [rows["a rabbit"]]), model.family.predict(x.flip(-2), t, [rows["a duck"]])]
    torch.testing.assert_close(together, torch.cat(alone), **BATCHED)
    assert (alone[0] - alone[1].flip(-2)).abs().mean() > 0.005


def test_the_pipeline_and_the_random_state_are_left_as_they_were(model: Model) -> None:
    pipe, state = model.pipe, torch.get_rng_state()
    before, config, hooks = dict(vars(pipe)), dict(pipe.config), len(model.family.denoiser._forward_pre_hooks)
    ours(model, ["another rabbit"], Guidance(scale=2))
    assert vars(pipe) == before
    assert all(vars(pipe)[name] is value for name, value in before.items())
    assert dict(pipe.config) == config
    assert len(model.family.denoiser._forward_pre_hooks) == hooks
    assert torch.equal(torch.get_rng_state(), state)


def test_prompts_are_encoded_once(kind: str) -> None:
    model = load_model(unadapted(kind), device="cpu")
    asked: list[int] = []
    model.pipe.text_encoder.register_forward_pre_hook(lambda *_: asked.append(1))
    ours(model, ["a rabbit"], Guidance(scale=2))
    first = len(asked)
    ours(model, ["a rabbit"], Guidance(scale=2), scheduler="unipc")
    assert len(asked) == first
    ours(model, ["a duck"], Guidance(scale=2))
    assert len(asked) == first + 1


def test_text_encoders_may_be_gone_once_they_have_worked(kind: str) -> None:
    model = load_model(unadapted(kind), device="cpu")
    before = ours(model, ["a rabbit"], Guidance(scale=2))
    for name in ("text_encoder", "text_encoder_2"):
        if hasattr(model.pipe, name):
            getattr(model.pipe, name).to("meta")
    torch.testing.assert_close(ours(model, ["a rabbit"], Guidance(scale=2)).x, before.x, **EXACT)


def test_other_schedulers(model: Model) -> None:
    name = "unipc"  # there is one for flows and one for the others
    last = ours(model, ["a rabbit"], scheduler=name)
    assert torch.isfinite(last.x).all()
    assert not torch.allclose(last.x, ours(model, ["a rabbit"]).x, atol=1e-3)


def test_a_saved_pipeline_is_loaded_and_planned_with_the_defaults_of_its_call(tmp_path: Path) -> None:
    folder = tmp_path / "cogview4"
    pipe = unadapted("cogview4")
    pipe.save_pretrained(folder)
    model = load_model(folder, device="cpu")
    torch.testing.assert_close(ours(model, ["a duck"]).x, ours(load_model(pipe, device="cpu"), ["a duck"]).x, **EXACT)
    assert (model.defaults.steps, model.defaults.guidance) == (50, 5.0)
    planned = plan(Recipe(model=str(folder), prompt="a duck", steps=3))
    assert planned.known
    assert planned.size == model.family.size
    assert planned.rows == [2, 2, 2]


NO_LATENTS = r"it has no 'transformer' or 'unet' for the latents \(b c h w\) of a 'vae'"


class Stranger(DiffusionPipeline):
    """A pipeline that nobody has seen: it has a way of its own where `ways` says so."""

    def __init__(self, unet: Any, vae: Any, scheduler: Any):
        super().__init__()
        self.register_modules(unet=unet, vae=vae, scheduler=scheduler)
        self.ways: set[str] = set()
        self.was_given: dict[str, Any] = {}

    def encode_prompt(self, prompt: list[str]) -> tuple[Tensor, None]:
        """The lengths of the prompts (b 1), or (1 b 1), as where several layers of a text encoder are heard."""
        lengths = torch.tensor([[len(text) / 100] for text in prompt])
        return (lengths[None] if "layers" in self.ways else lengths), None

    @torch.no_grad()
    def __call__(
        self, prompt: Any = None, width: int = 16, height: int = 16, num_inference_steps: int = 7,
        true_cfg_scale: float = 2.0, guidance_scale: float = 3.5, latents: Any = None, output_type: str = "pt",
    ) -> Any:  # fmt: skip
        self.was_given.update(true_cfg_scale=true_cfg_scale, guidance_scale=guidance_scale)
        texts = self.encode_prompt(prompt)[0]
        texts = (texts[0] if "layers" in self.ways else texts)[..., None, None]
        self.scheduler.set_timesteps(num_inference_steps)
        latents = latents.flatten(2) if "tokens" in self.ways else latents + 1 if "moves" in self.ways else latents
        for t in [] if "idle" in self.ways else self.scheduler.timesteps:
            if "looks" in self.ways:
                t = t * self.scheduler.sigmas[0]
            if "tokens" in self.ways:
                self.scheduler.step(latents, t, latents)
            out = self.unet(latents, t).sample * (1 + texts)
            if "guided" in self.ways:
                out = out + self.unet(latents, t).sample
            latents = self.scheduler.step(out[:, :2] if "less" in self.ways else out, t, latents).prev_sample
        return SimpleNamespace(images=latents)


def stranger(*ways: str, **config: Any) -> Stranger:
    def build() -> Stranger:
        unet = UNet2DModel(
            sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 8), layers_per_block=1,
            norm_num_groups=4, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        )  # fmt: skip
        unet.register_to_config(**config)
        return Stranger(unet, vae(), DDIMScheduler(clip_sample=False))

    pipe = built(build, 0)
    pipe.ways = set(ways)
    return pipe


def test_a_pipeline_of_a_stranger() -> None:
    model = load_model(stranger(), device="cpu")
    last = ours(model, PROMPTS)
    noise = torch.cat([torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5 + i)) for i in range(3)])
    expected = model.pipe(PROMPTS, num_inference_steps=STEPS, latents=noise).images
    torch.testing.assert_close(last.x, expected, **BATCHED)
    assert (model.defaults.steps, model.defaults.guidance) == (7, 2.0)


def test_texts_whose_rows_are_not_in_front_are_asked_one_by_one() -> None:
    plain, layered = (load_model(stranger(*ways), device="cpu") for ways in ((), ("layers",)))
    torch.testing.assert_close(ours(layered, PROMPTS).x, ours(plain, PROMPTS).x, **BATCHED)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("tokens", r"does not sample from the latents it is given: it made \(1, 4, 64\) where \(1, 4, 8, 8\)"),
        ("moves", "does not sample from the latents it is given"),
        ("less", r"its answer to \(1, 4, 8, 8\) is of shape \(1, 2, 8, 8\)"),
        ("guided", r"guidance cannot be switched off: its network was asked for \[1, 1\] rows where 1 are due"),
        ("looks", "reads 'sigmas' of its scheduler, which a single step cannot tell it"),
        ("idle", "finished without asking its scheduler for a step"),
    ],
)
def test_a_pipeline_with_a_way_of_its_own_is_refused_at_its_first_step(way: str, words: str) -> None:
    pipe = stranger(way)
    before = dict(vars(pipe))
    with pytest.raises(ModelError, match=words):
        ours(load_model(pipe, device="cpu"), ["a rabbit"])
    assert vars(pipe) == before


def test_distilled_guidance_is_an_input_and_true_guidance_is_off() -> None:
    model = load_model(stranger(guidance_embeds=True), device="cpu")
    assert model.family.shape.distilled
    ours(model, ["a rabbit"])
    assert model.pipe.was_given == {"true_cfg_scale": 1.0, "guidance_scale": 3.5}
    ours(model, ["a rabbit"], distilled_guidance=2.5)
    assert model.pipe.was_given == {"true_cfg_scale": 1.0, "guidance_scale": 2.5}
    plain = load_model(stranger(), device="cpu")
    with pytest.raises(UsageError, match="takes no distilled guidance"):
        ours(plain, ["a rabbit"], distilled_guidance=2.5)


def test_nothing_is_added_to_a_network_that_is_not_known() -> None:
    model = load_model(stranger(), device="cpu")
    rows = model.encode_prompts(["a rabbit"], model.family.size)
    with pytest.raises(UsageError, match="nothing can be added to its network's input: mid_block"):
        model.family.predict(torch.zeros(1, 4, 8, 8), torch.tensor(1), [rows["a rabbit"]], mid_block=torch.zeros(1))


def test_no_gradient_goes_through_a_pipelines_own_call() -> None:
    model = load_model(stranger(), device="cpu")
    rows = model.encode_prompts(["a rabbit"], model.family.size)
    x = torch.zeros(1, 4, 8, 8, requires_grad=True)
    with pytest.raises(UsageError, match="Stranger has no adapter and its own call follows no gradients"):
        model.family.predict(x, torch.tensor(1), [rows["a rabbit"]])


def test_an_error_of_the_pipeline_is_explained() -> None:
    model = load_model(unadapted("aura"), device="cpu")
    with pytest.raises(UsageError, match=r"AuraFlowPipeline makes no picture of 18x16: .*divisible by 4.* is 16x16$"):
        model.family.record(["a rabbit"], (18, 16))
    model.pipe.text_encoder = None
    with pytest.raises(ModelError, match=r"its own call failed for a prompt and latents of 16x16 pixels: TypeError"):
        model.family.record(["a rabbit"], (16, 16))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("StableDiffusionImg2ImgPipeline", r"cannot be run from a prompt alone, its call needs a picture \(image\)"),
        ("FluxKontextPipeline", r"needs a picture \(image"),
        ("WanPipeline", r"makes films, not pictures \(num_frames\)"),
        ("CogVideoXPipeline", "makes films"),
        ("LDMPipeline", "takes no prompt, latents, width and height"),
        ("ConsistencyModelPipeline", "takes no prompt, width and height"),
        ("KandinskyV22Pipeline", "needs a picture|takes no prompt"),
        ("AudioLDM2Pipeline", "takes no width and height"),
        ("HunyuanImagePipeline", "its guidance cannot be switched off: its call takes no true_cfg_scale or guidance_"),
        ("AmusedPipeline", "it has no encode_prompt"),
        ("StableDiffusionAttendAndExcitePipeline", "needs token_indices as well as a prompt"),
    ],
)
def test_what_a_pipeline_lacks_is_said(name: str, words: str) -> None:
    with pytest.raises(ModelError, match=f"^{name} is not a pipeline this version can open: expected.*({words})"):
        described(name, {})


def test_a_pipeline_that_is_not_known_here_is_refused() -> None:
    with pytest.raises(ModelError, match="the installed version of diffusers has none of that name"):
        described("TomorrowsPipeline", {})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"transformer": {"in_channels": 64}, "vae": {"latent_channels": 16}},
            "takes 64 channels where the latents have",
        ),
        ({"transformer": {"in_channels": 4}, "vae": {"latent_channels": 4, "temperal_downsample": [True]}}, NO_LATENTS),
        ({"transformer": {"in_channels": 4}}, NO_LATENTS),
        ({"prior": {"in_channels": 4}, "vae": {"latent_channels": 4}}, NO_LATENTS),
        ({"scheduler": {"prediction_type": "trigflow"}}, "its scheduler follows a 'trigflow'"),
    ],
)
def test_configurations_that_cannot_be_served_are_refused(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=f"AuraFlowPipeline is not a pipeline this version can open: .*{words}"):
        described("AuraFlowPipeline", parts)


def test_a_scheduler_whose_levels_are_not_known_is_refused() -> None:
    pipe = unadapted("aura")
    pipe.scheduler.register_to_config(prediction_type="trigflow")
    with pytest.raises(ModelError, match="scheduler follows a 'trigflow'"):
        load_model(pipe, device="cpu")


def test_every_text_to_image_pipeline_of_diffusers_is_served_or_refused_with_a_reason() -> None:
    """The canary for new versions: no pipeline of theirs ends in a traceback."""
    names = [name for name in dir(diffusers) if name.endswith("Pipeline") and "Flax" not in name and "Onnx" not in name]
    sample_of_them = [name for name in names if name[0] in "AHKL"]
    assert len(sample_of_them) > 30
    for name in sample_of_them:
        pipeline = getattr(diffusers, name)
        if any(name in row.pipelines for row in FAMILIES) or "__call__" not in vars(pipeline):
            continue
        why = missing(pipeline)
        assert why is None or len(why) > 20
        assert defaults_for(name, {}, pipeline).steps >= 1
        if why is not None:
            with pytest.raises(ModelError, match=name):
                described(name, {})
