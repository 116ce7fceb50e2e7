"""Guidance against its formula, written out on the pipeline's own UNet, and against diffusers' own guiders."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, guiders
from diffusers.guiders import frequency_decoupled_guidance
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from torch import Tensor

from diffusion_tricks import Model, Recipe, Trick, UsageError, load_model, make, sample
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.sampling.tricks import order
from diffusion_tricks.testing import check_trick, exact_model, tiny_pipeline, tiny_upscaler
from diffusion_tricks_plugins import Anagram, Guidance

LATENTS = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
STEPS = 4
VARIANTS = ["apg", "cfg-zero", "tangential", "magnitude", "frequency"]


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny_pipeline("if")


def first_step(pipe: Any, *tricks: Trick[Any]) -> Step:
    model = load_model(pipe, device="cpu")
    return next(iter(sample(model, prompt="a duck", tricks=list(tricks), latents=LATENTS, steps=STEPS)))


def by_hand(pipe: Any, negative: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """(eps_uncond, eps_cond, the conditional variance) of the first step, each (1 3 h w)."""
    pipe.scheduler.set_timesteps(STEPS)
    cond, uncond = pipe.encode_prompt("a duck", negative_prompt=negative)
    with torch.no_grad():
        output = pipe.unet(
            LATENTS.repeat(2, 1, 1, 1), pipe.scheduler.timesteps[0],
            encoder_hidden_states=torch.cat([uncond, cond]), return_dict=False,
        )[0]  # fmt: skip
    return output[:1, :3], output[1:, :3], output[1:, 3:]


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 7.0, 30.0])
def test_guidance_is_its_formula(pipe: Any, scale: float) -> None:
    uncond, cond, variance = by_hand(pipe)
    step = first_step(pipe, Guidance(scale=scale))
    assert torch.equal(step.estimate.noise, uncond + scale * (cond - uncond))
    assert torch.equal(step.estimate.variance, variance)  # the conditional one, as it is


def test_the_default_scale_is_7(pipe: Any) -> None:
    uncond, cond, _ = by_hand(pipe)
    assert torch.equal(first_step(pipe, Guidance()).estimate.noise, uncond + 7 * (cond - uncond))


def test_scale_1_is_conditional_and_costs_no_second_row(pipe: Any) -> None:
    plain, guided = first_step(pipe), first_step(pipe, Guidance(scale=1))
    assert guided.rows == 1
    assert torch.equal(guided.x, plain.x)


def test_a_negative_prompt_takes_the_place_of_the_unconditional(pipe: Any) -> None:
    uncond, cond, _ = by_hand(pipe, negative="a skull")
    step = first_step(pipe, Guidance(scale=7, negative="a skull"))
    assert torch.equal(step.estimate.noise, uncond + 7 * (cond - uncond))
    assert not torch.equal(step.estimate.noise, first_step(pipe, Guidance(scale=7)).estimate.noise)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, [2] * 8),
        ({"start": 0.25}, [1, 1, 2, 2, 2, 2, 2, 2]),
        ({"stop": 0.5}, [2, 2, 2, 2, 1, 1, 1, 1]),
        ({"start": 0.25, "stop": 0.75}, [1, 1, 2, 2, 2, 2, 1, 1]),
        ({"start": 0.3, "stop": 0.8, "variant": "apg"}, [1, 1, 1, 2, 2, 2, 2, 1]),
    ],
    ids=str,
)
def test_outside_its_interval_no_second_row_is_computed(pipe: Any, options: dict[str, Any], rows: list[int]) -> None:
    steps = list(sample(load_model(pipe, device="cpu"), prompt="a", tricks=[Guidance(**options)], steps=8))
    assert [step.rows for step in steps] == rows


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_exact_denoisers_are_guided_to_the_known_picture(prediction: str) -> None:
    """x0 = u + s (c - u), in whatever the model predicts."""
    cond, uncond = torch.rand(1, 3, 8, 8) - 0.5, torch.rand(1, 3, 8, 8) - 0.5
    model = exact_model({"duck": cond, None: uncond}, prediction=prediction)
    step = list(sample(model, prompt="duck", tricks=[Guidance(scale=3)], steps=5, scheduler="ddim"))[-1]
    torch.testing.assert_close(step.x, uncond + 3 * (cond - uncond), atol=1e-5, rtol=0)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_rescale_brings_the_spread_back(pipe: Any, share: float) -> None:
    """arXiv:2305.08891, equations 15 and 16."""
    uncond, cond, _ = by_hand(pipe)
    guided = uncond + 7 * (cond - uncond)
    noise = first_step(pipe, Guidance(scale=7, rescale=share)).estimate.noise
    expected = share * guided * (cond.std() / guided.std()) + (1 - share) * guided
    torch.testing.assert_close(noise, expected, atol=1e-6, rtol=1e-5)


def test_rescale_is_diffusers_own_even_where_no_signal_is_left() -> None:
    """At zero SNR, the case of arXiv:2305.08891, a velocity is finite and its noise is not to be had."""
    images = {"duck": torch.rand(1, 3, 8, 8), None: torch.rand(1, 3, 8, 8)}
    scheduler = DDPMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    model = exact_model(images, scheduler=scheduler, prediction="v_prediction")
    x = torch.randn(1, 3, 8, 8)

    def velocity(prompt: str | None, *tricks: Trick[Any]) -> Tensor:
        return next(sample(model, prompt=prompt, tricks=tricks, latents=x, steps=5)).estimate.value

    uncond, cond = velocity(None), velocity("duck")
    expected = rescale_noise_cfg(uncond + 7 * (cond - uncond), cond, 0.7)
    torch.testing.assert_close(velocity("duck", Guidance(scale=7, rescale=0.7)), expected, atol=1e-5, rtol=1e-5)


def diffusers_own(variant: str, scale: float) -> Any:
    """The guider of diffusers, made here by its own constructor."""
    return {
        "apg": lambda: guiders.AdaptiveProjectedGuidance(scale - 1, eta=0.0, use_original_formulation=True),
        "cfg-zero": lambda: guiders.ClassifierFreeZeroStarGuidance(scale, zero_init_steps=0),
        "tangential": lambda: guiders.TangentialClassifierFreeGuidance(scale),
        "magnitude": lambda: guiders.MagnitudeAwareGuidance(scale),
        "frequency": lambda: guiders.FrequencyDecoupledGuidance([scale, (1 + scale) / 2]),
    }[variant]()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_the_guider_of_diffusers(pipe: Any, variant: str) -> None:
    if variant == "frequency":
        pytest.importorskip("kornia")
    uncond, cond, variance = by_hand(pipe)
    own = diffusers_own(variant, 5.0)
    own.set_state(step=0, num_inference_steps=STEPS, timestep=pipe.scheduler.timesteps[0])
    flat = variant == "magnitude"  # this guider takes (b c n); with (b c h w) its norm fails in torch 2.13
    expected = own.forward(*((e.flatten(2) if flat else e) for e in (cond, uncond))).pred.reshape(cond.shape)
    step = first_step(pipe, Guidance(scale=5, variant=variant))
    assert torch.equal(step.estimate.noise, expected)
    assert torch.equal(step.estimate.variance, variance)
    assert not torch.allclose(step.estimate.noise, uncond + 5 * (cond - uncond), atol=1e-4)


def test_apg_leaves_out_what_is_parallel_to_the_conditional(pipe: Any) -> None:
    """arXiv:2410.02416, equation 7 without momentum: cond + (s - 1) times the orthogonal part of the difference."""
    uncond, cond, _ = by_hand(pipe)
    difference = (cond - uncond) * min(1.0, 15.0 / float((cond - uncond).norm()))
    parallel = (difference * cond).sum() / (cond * cond).sum() * cond
    expected = cond + (5 - 1) * (difference - parallel)
    noise = first_step(pipe, Guidance(scale=5, variant="apg")).estimate.noise
    torch.testing.assert_close(noise, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scale_1_is_conditional_in_every_variant(pipe: Any, variant: str) -> None:
    """No guider is made for it either, so that even one that is not installed costs nothing."""
    step = first_step(pipe, Guidance(scale=1, variant=variant))
    assert step.rows == 1
    assert torch.equal(step.x, first_step(pipe).x)


def test_a_variant_without_its_library_says_what_to_install(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frequency_decoupled_guidance, "_CAN_USE_KORNIA", False)
    with pytest.raises(UsageError, match=r"'frequency' needs .*kornia.*pip install 'diffusion-tricks\[guiders\]'"):
        first_step(pipe, Guidance(variant="frequency"))


def test_guidance_is_innermost_wherever_it_stands(pipe: Any) -> None:
    """It works inside a view: in the other order it would guide towards the run's own prompt."""
    anagram, guidance = Anagram(prompts=["a rabbit", "a duck"]), Guidance(scale=7)
    assert order([guidance, anagram]) == order([anagram, guidance]) == ["anagram", "guidance"]
    assert torch.equal(first_step(pipe, guidance, anagram).x, first_step(pipe, anagram, guidance).x)


def test_two_guidances_are_an_error_that_names_both(pipe: Any) -> None:
    with pytest.raises(UsageError, match="'guidance' and 'guidance 2' both fill the place 'guidance'"):
        first_step(pipe, Guidance(scale=3), Guidance(scale=5))


class Here(Trick[Any]):
    """A start."""

    name, place = "here", "start"


class There(Trick[Any]):
    """Another start."""

    name, place = "there", "start"


def test_two_starts_are_an_error_that_names_both(pipe: Any) -> None:
    with pytest.raises(UsageError, match="'here' and 'there' both fill the place 'start' of a run"):
        first_step(pipe, Here(), Guidance(), There())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": -1}, "guidance: scale: expected at least 0, got -1"),
        ({"scale": float("inf")}, "scale: .*finite number"),
        ({"start": 0.5, "stop": 0.5}, "guidance must start before it stops, got start 0.5 and stop 0.5"),
        ({"rescale": 2}, "rescale: expected at most 1, got 2"),
        ({"variant": "apgg"}, "variant: .*'apg'.*got 'apgg'"),
        ({"strength": 1}, "strength: Extra inputs are not permitted"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Guidance(**options)


@pytest.mark.parametrize(
    "options",
    [{}, {"scale": 1}, {"negative": "a skull", "rescale": 0.5}, {"variant": "apg"}, {"variant": "tangential"}],
    ids=str,
)
def test_guidance_holds_what_a_trick_must(options: dict[str, Any]) -> None:
    check_trick(Guidance(**options))


# What is said of a run, beside its pictures.

NOT_ASKED = "the negative prompt is not asked at guidance 1; raise `guidance`"


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {kind: load_model(tiny_pipeline(kind), device="cpu") for kind in ("if", "flux", "schnell", "lcm", "turbo")}


def notes(model: Model, **request: Any) -> list[str]:
    (result,) = make(Recipe(**{"prompt": "a duck", "seed": 1, "steps": 1, "size": (16, 16)} | request), model=model)
    told: list[str] = result.facts.get("notes", [])
    return told


@pytest.mark.parametrize(
    ("kind", "asked"), [("if", {"guidance": 1}), ("flux", {}), ("schnell", {}), ("turbo", {}), ("lcm", {})]
)
def test_a_negative_prompt_that_is_not_asked_is_noted(
    models: dict[str, Model], kind: str, asked: dict[str, Any]
) -> None:
    assert notes(models[kind], negative="a skull", **asked) == [NOT_ASKED]
    trick = {"trick": "guidance", "scale": 1, "negative": "a skull"}
    assert notes(models[kind], tricks=[trick]) == [NOT_ASKED]
    assert notes(models[kind], guidance=1) == []


def test_one_that_is_asked_is_not(models: dict[str, Model]) -> None:
    assert notes(models["if"], guidance=2, negative="a skull") == []
    assert notes(models["if"], negative="a skull") == notes(models["if"]) == notes(models["flux"]) == []


def test_one_that_is_asked_in_a_later_stage_alone_is_not_noted() -> None:
    model = load_model(tiny_pipeline("if"), device="cpu", upscaler=tiny_upscaler())
    asked = {"size": (64, 64), "guidance": 1, "negative": "a skull", "upscale_steps": 1}
    assert notes(model, **asked, upscale_guidance=1) == [NOT_ASKED]
    assert notes(model, **asked, upscale_guidance=3) == notes(model, **asked) == []


@pytest.mark.parametrize("kind", ["flux", "lcm"])
def test_guidance_by_a_second_answer_of_a_distilled_model_is_noted(models: dict[str, Model], kind: str) -> None:
    told = "guidance 3.5 asks the model twice; the input it was distilled with is `distilled_guidance`"
    assert notes(models[kind], guidance=3.5) == [told]
    assert notes(models[kind], guidance=3.5, distilled_guidance=2) == [told]
    assert notes(models[kind], distilled_guidance=2) == []


@pytest.mark.parametrize("kind", ["schnell", "turbo"])
def test_guidance_of_a_model_that_is_run_without_is_noted(models: dict[str, Model], kind: str) -> None:
    told = "guidance 2 asks the model twice, which is run without: 1 is its scale"
    assert notes(models[kind], guidance=2) == notes(models[kind], guidance=2, negative="a skull") == [told]
    assert notes(models[kind]) == []


def test_every_picture_of_a_batch_is_noted_once(models: dict[str, Model]) -> None:
    results = make(
        Recipe(prompt="a duck", seed=1, count=2, steps=2, guidance=2, size=(16, 16)), model=models["schnell"]
    )
    assert [len(result.facts["notes"]) for result in results] == [1, 1]
