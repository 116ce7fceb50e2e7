"""What single families of transformers have of their own: packing, distilled guidance, norm rules, shifts, sizes."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FluxPipeline,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from PIL import Image
from torch import Tensor

from diffusion_tricks import Model, Recipe, Step, load_model, sample
from diffusion_tricks.diffusion.schedulers import FLOW_SCHEDULERS, scheduler_for
from diffusion_tricks.errors import ModelError, PluginError, UsageError
from diffusion_tricks.families.base import parts_of
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.lookup import described
from diffusion_tricks.families.open import family_of, opened
from diffusion_tricks.families.packing import packed, unpacked
from diffusion_tricks.families.table import FAMILIES as ROWS
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.testing.pipelines import FAMILIES, tiny_arguments, tiny_pipeline
from diffusion_tricks_plugins import Guidance

FLOWS = ["sd3", "flux", "schnell", "qwen", "zimage", "sana"]
DYNAMIC = {"use_dynamic_shifting": True, "time_shift_type": "exponential"}
ROUNDED = {"rtol": 0.0, "atol": 1e-5}


@cache
def tiny(kind: str) -> Model:
    return load_model(tiny_pipeline(kind), device="cpu")


def ours(kind: str, *tricks: Any, model: Model | None = None, **more: Any) -> Step:
    side = FAMILIES[kind].side
    request = {"prompt": "a rabbit", "seed": 5, "steps": 3, "size": (side, side), **more}
    *_, last = sample(model or tiny(kind), tricks=tricks, **request)
    return last


def theirs(kind: str, pipe: Any = None, **call: Any) -> Tensor:
    asked = {**tiny_arguments(kind, ["a rabbit"]), "num_inference_steps": 3, "output_type": "latent", **call}
    images: Tensor = (pipe or tiny(kind).pipe)(**asked, generator=[torch.Generator().manual_seed(5)]).images
    return images if images.ndim == 4 else unpacked(images, FAMILIES[kind].side // tiny(kind).family.scale)


# tokens


def test_tokens_are_those_of_flux_and_come_back() -> None:
    x = torch.randn(2, 3, 6, 4)
    torch.testing.assert_close(packed(x), FluxPipeline._pack_latents(x, 2, 3, 6, 4), rtol=0, atol=0)
    torch.testing.assert_close(unpacked(packed(x), 6), x, rtol=0, atol=0)


# guidance


@pytest.mark.parametrize("scale", [1.5, 7.0])
def test_distilled_guidance_is_an_input_and_costs_no_row(scale: float) -> None:
    last = ours("flux", distilled_guidance=scale)
    torch.testing.assert_close(last.x, theirs("flux", guidance_scale=scale), rtol=0, atol=0)
    assert last.rows == 1
    assert not torch.allclose(last.x, ours("flux").x, atol=1e-3)
    both = ours("flux", Guidance(scale=3), distilled_guidance=scale)
    expected = theirs("flux", guidance_scale=scale, true_cfg_scale=3.0, negative_prompt="")
    torch.testing.assert_close(both.x, expected, **ROUNDED)
    assert both.rows == 2


def test_a_family_without_distilled_guidance_refuses_it() -> None:
    with pytest.raises(UsageError, match="takes no distilled guidance"):
        ours("schnell", distilled_guidance=3.5)


def test_norms_are_brought_back_as_the_pipelines_do() -> None:
    """Qwen-Image by itself, Z-Image where it is asked to."""
    own = theirs("qwen", true_cfg_scale=3.0, negative_prompt=" ")
    torch.testing.assert_close(ours("qwen", Guidance(scale=3, normalise="on")).x, own, rtol=0, atol=0)
    assert not torch.allclose(ours("qwen", Guidance(scale=3, normalise="off")).x, own, atol=1e-2)
    plain, normed = (theirs("zimage", guidance_scale=4.0, cfg_normalization=on) for on in (False, True))
    assert not torch.allclose(plain, normed, atol=1e-2)
    torch.testing.assert_close(ours("zimage", Guidance(scale=5, normalise="off")).x, plain, **ROUNDED)
    torch.testing.assert_close(ours("zimage", Guidance(scale=5, normalise="on")).x, normed, **ROUNDED)


def test_norm_rules_in_closed_form() -> None:
    cond = torch.randn(2, 4, 4, 4)
    factors = torch.tensor([0.5, 3.0]).view(-1, 1, 1, 1)
    torch.testing.assert_close(tiny("qwen").family.normalised(factors * cond, cond), cond)
    torch.testing.assert_close(tiny("zimage").family.normalised(factors * cond, cond), factors.clamp(max=1) * cond)


def test_a_norm_rule_is_for_families_that_have_one_and_not_for_other_variants() -> None:
    with pytest.raises(UsageError, match="is of a family without a norm rule for guidance"):
        ours("sd3", Guidance(scale=3, normalise="on"))
    auto, on, off = (ours("qwen", Guidance(scale=3, variant="cfg-zero", normalise=n)).x for n in ("auto", "on", "off"))
    assert torch.equal(auto, off)
    assert not torch.allclose(on, off, atol=1e-2)


@pytest.mark.parametrize(("kind", "text"), [("flux", ""), ("schnell", ""), ("qwen", " "), ("zimage", ""), ("sd3", "")])
def test_the_unconditional_is_the_text_that_the_family_takes_for_none(kind: str, text: str) -> None:
    last = ours(kind, prompt=None)
    torch.testing.assert_close(last.x, ours(kind, prompt=text).x, **ROUNDED)
    assert not torch.allclose(last.x, ours(kind, prompt="a rabbit").x, atol=1e-2)


def test_sanas_unconditional_is_read_without_its_instruction() -> None:
    pipe = tiny("sana").pipe
    embeds, mask, *_ = pipe.encode_prompt("", False, max_sequence_length=300, complex_human_instruction=None)
    row, empty = tiny("sana").encode_prompts([None, ""], (32, 32)).values()
    torch.testing.assert_close(row["encoder_hidden_states"], embeds, **ROUNDED)
    assert torch.equal(row["encoder_attention_mask"], mask)
    assert not torch.equal(empty["encoder_attention_mask"], mask)


# schedules


@pytest.mark.parametrize("name", FLOW_SCHEDULERS)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", FLOWS)
def test_every_flow_scheduler_ends_in_the_picture_of_an_exact_flow(
    kind: str, dynamic: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """u = (x - x0) / s is the velocity where the data set is one picture."""
    model = load_model(tiny(kind).pipe, device="cpu")
    own = model.pipe.scheduler
    picture = torch.linspace(-1, 1, 8 * 8 * model.family.channels).reshape(1, -1, 8, 8)
    monkeypatch.setattr(model.family, "predict", lambda x, t, rows: (x - picture) / (t / 1000))
    if dynamic and kind != "sana":  # SanaPipeline knows no shift by size
        monkeypatch.setattr(model.pipe, "scheduler", type(own).from_config({**own.config, **DYNAMIC}))
    last = ours(kind, model=model, scheduler=name, steps=10)
    close = 1e-5 if name == "euler" and kind != "sana" else 5e-3  # the others round t to whole steps
    torch.testing.assert_close(last.x, picture, rtol=0, atol=close)
    assert type(last.run.scheduler).__name__ == FLOW_SCHEDULERS[name][0]


@pytest.mark.parametrize(("kind", "names"), [
    ("sd3", ["euler", "dpm++2m", "unipc"]), ("flux", ["euler", "dpm++2m", "unipc"]),
    ("qwen", ["euler", "unipc"]), ("zimage", ["euler"]),  # their own pipelines cannot use the others
    ("sana", ["euler", "dpm++2m", "unipc"]),
])  # fmt: skip
def test_named_schedulers_are_shifted_as_the_pipelines_shift_them(kind: str, names: list[str]) -> None:
    pipe, own = tiny(kind).pipe, tiny(kind).pipe.scheduler
    off = {"zimage": {"guidance_scale": 0.0}, "flux": {}, "qwen": {"true_cfg_scale": 1.0}}
    for name in names:
        pipe.scheduler = scheduler_for(own, name)
        try:
            expected = theirs(kind, **off.get(kind, {"guidance_scale": 1.0}))
        finally:
            pipe.scheduler = own
        torch.testing.assert_close(ours(kind, scheduler=name).x, expected, rtol=0, atol=0)


def test_named_schedulers_have_the_shift_of_the_models_own() -> None:
    own = FlowMatchEulerDiscreteScheduler(shift=3.0)
    expected = DPMSolverMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction")
    for scheduler in (named := scheduler_for(own, "dpm++2m"), expected):
        scheduler.set_timesteps(7)
    torch.testing.assert_close(named.sigmas, expected.sigmas, rtol=0, atol=0)
    assert scheduler_for(named, "euler").config.shift == 3.0
    family, own = tiny("qwen").family, tiny("qwen").pipe.scheduler
    shifts = {family.schedule(family.shape, scheduler_for(own, name), 7, (64, 32))["mu"] for name in FLOW_SCHEDULERS}
    assert shifts == {calculate_shift(8 * 16, 256, 8192, 0.5, 0.9)}


@pytest.mark.parametrize("name", [None, *FLOW_SCHEDULERS])
@pytest.mark.parametrize("kind", FLOWS)
def test_a_stride_tells_the_network_the_level_that_is_there(
    kind: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level s is timestep 1000 s, as the network was trained, whatever shift the model's own schedule has."""
    model = load_model(tiny(kind).pipe, device="cpu")
    picture = torch.linspace(-1, 1, 8 * 8 * model.family.channels).reshape(1, -1, 8, 8)
    monkeypatch.setattr(model.family, "predict", lambda x, t, rows: (x - picture) / (t / 1000))
    last = ours(kind, model=model, scheduler=name, steps=None, stride=30)
    run = last.run
    assert run.timesteps.tolist() == list(range(1000, 0, -30))
    sigmas = torch.cat([run.timesteps / 1000, torch.zeros(1)])
    torch.testing.assert_close(run.scheduler.sigmas, sigmas, rtol=0, atol=1.1e-6)  # solvers leave 1e-6 of a picture
    assert [level.sigma for level in run.levels] == pytest.approx(sigmas.tolist(), abs=1.1e-6)
    torch.testing.assert_close(last.x, picture, rtol=0, atol=2e-5)


@pytest.mark.parametrize("timesteps", [[1001, 5], [5, 0], [5, 5], []])
def test_timesteps_of_a_flow_that_cannot_be(timesteps: list[int]) -> None:
    with pytest.raises(UsageError, match=r"timesteps must fall, from at most 1000 to at least 1, got \["):
        begin(tiny("sd3"), Sampling(prompt="a", timesteps=timesteps))


def test_a_flow_scheduler_of_another_kind_takes_no_stride() -> None:
    pipe = tiny_pipeline("sd3")
    pipe.scheduler = FlowMatchHeunDiscreteScheduler()
    model = load_model(pipe, device="cpu")
    with pytest.raises(UsageError, match=r"Heun.* takes no timesteps of its own; use scheduler 'euler'"):
        begin(model, Sampling(prompt="a", stride=300))
    assert begin(model, Sampling(prompt="a", stride=300, scheduler="euler")).timesteps.tolist() == [1000, 700, 400, 100]


def test_a_shift_that_a_scheduler_does_not_have_is_refused_in_words() -> None:
    own = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type="linear")
    with pytest.raises(UsageError, match=r"'dpm\+\+2m' has no shift by size of this model's kind; use one of euler"):
        scheduler_for(own, "dpm++2m")
    assert scheduler_for(own, "unipc").config.time_shift_type == "linear"


@pytest.mark.parametrize("name", [None, "unipc"])
def test_a_schedule_that_is_stretched_between_its_ends_needs_two_steps(
    name: str | None, recwarn: pytest.WarningsRecorder
) -> None:
    """Qwen-Image's ends at 0.02 of noise, which one step is not stretched to but divided by."""
    with pytest.raises(UsageError, match="this model's schedule needs at least 2 steps, got 1"):
        begin(tiny("qwen"), Sampling(prompt="a", steps=1, scheduler=name))
    assert not recwarn.list
    assert len(begin(tiny("qwen"), Sampling(prompt="a", steps=2, scheduler=name)).timesteps) == 2
    assert len(begin(tiny("qwen"), Sampling(prompt="a", timesteps=[700], scheduler=name)).timesteps) == 1


def test_larger_pictures_keep_their_noise_for_longer() -> None:
    small, large = (ours("flux", size=(side, side), steps=2).run.levels[1].sigma for side in (16, 128))
    assert 0.5 < small < large < 1
    fixed = {ours("schnell", size=(side, side), steps=2).run.levels[1].sigma for side in (16, 64)}
    assert fixed == {0.5}


def test_no_steps_are_refused_in_words() -> None:
    for kind in FLOWS:
        with pytest.raises(UsageError, match="steps must be between 1 and 1000"):
            ours(kind, steps=0)


# what stands beside the latents of FLUX Fill


def test_fill_draws_from_a_prompt_alone_as_its_pipeline_does_over_nothing_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    gray = Image.new("RGB", (16, 16), (128, 128, 128))
    expected = theirs("flux-fill", image=gray, mask_image=Image.new("L", (16, 16), 255))
    torch.testing.assert_close(ours("flux-fill").x, expected, **ROUNDED)


def test_fill_without_its_condition_is_refused() -> None:
    family = tiny("flux-fill").family
    rows = family.record(["a rabbit"], (16, 16))
    with pytest.raises(PluginError, match="came without its condition"):
        family.predict(torch.zeros(1, 4, 8, 8), torch.tensor(500.0), rows)


def test_flux_with_channels_of_another_kind_is_refused() -> None:
    pipe = tiny_pipeline("flux")
    pipe.transformer.register_to_config(in_channels=32)
    with pytest.raises(ModelError, match="takes 32 channels; expected 16, or 48 where it fills"):
        family_of(pipe)


# the table


@pytest.mark.parametrize(("kind", "title", "steps", "guidance", "distilled"), [
    ("sd3", "Stable Diffusion 3 and 3.5", 28, 7.0, None),
    ("flux", "FLUX.1 dev", 28, 1.0, 3.5),
    ("schnell", "FLUX.1 schnell", 4, 1.0, None),
    ("flux-fill", "FLUX.1 Fill", 50, 1.0, 30.0),
    ("qwen", "Qwen-Image", 50, 4.0, None),
    ("zimage", "Z-Image", 8, 1.0, None),
    ("pixart", "PixArt-Sigma", 20, 4.5, None),
    ("sana", "Sana", 20, 4.5, None),
])  # fmt: skip
def test_rows_are_told_apart_by_configurations(
    kind: str, title: str, steps: int, guidance: float, distilled: float | None
) -> None:
    pipe = tiny(kind).pipe
    row = described(type(pipe).__name__, parts_of(pipe))
    assert isinstance(tiny(kind).family, opened(row))
    assert row.title == title
    assert row.defaults == Defaults(steps=steps, guidance=guidance, distilled_guidance=distilled)


def test_every_row_opens() -> None:
    for row in ROWS:
        assert opened(row).__name__.endswith("Family")
        assert opened(row).shape_of is row.serves.of


@pytest.mark.parametrize(("kind", "largest"), [("sd3", 128), ("zimage", 256)])
def test_more_positions_than_a_model_has_are_refused(kind: str, largest: int, tmp_path: Any) -> None:
    tiny(kind).pipe.save_pretrained(tmp_path / kind)
    recipe = Recipe(model=str(tmp_path / kind), prompt="a rabbit", steps=1, seed=0, size=(largest, largest))
    assert plan(recipe).size == (largest, largest)
    with pytest.raises(UsageError, match=f"no side longer than {largest}, got {largest}x{largest + 4}"):
        plan(recipe.model_copy(update={"size": (largest, largest + 4)}))
    with pytest.raises(UsageError, match=f"got {largest + 1}x15; the nearest are {largest}x12 and {largest}x16"):
        plan(recipe.model_copy(update={"size": (largest + 1, 15)}))
