"""Models of few steps, and schedules that begin in pure noise: against diffusers, and finite throughout."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, LCMScheduler
from PIL import Image
from torch import Tensor

from diffusion_tricks import Model, Step, Trick, load_model, sample
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.levels import noise_levels
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.diffusion.schedulers import SCHEDULERS, scheduler_for
from diffusion_tricks.diffusion.steps import set_steps
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import parts_of
from diffusion_tricks.families.lookup import defaults_for
from diffusion_tricks.loading.configs import described_in
from diffusion_tricks.testing import check_trick, tiny_pipeline
from diffusion_tricks_plugins import Anagram, Guidance, Hybrid, Inpaint, SDEdit

PROMPTS = ["a rabbit", "a very old man with a hat", "a skull"]
SEED = 5


def loaded(kind: str, **scheduler: Any) -> Model:
    """The tiny model of a kind, its scheduler changed."""
    pipe = tiny_pipeline(kind)
    if scheduler:
        pipe.scheduler = type(pipe.scheduler).from_config({**pipe.scheduler.config, **scheduler})
    return load_model(pipe, device="cpu")


@pytest.fixture(scope="module")
def lcm() -> Model:
    return loaded("lcm")


@pytest.fixture(scope="module")
def zero() -> Model:
    return loaded("sd-zsnr")


def lightning() -> Model:
    """As SDXL-Lightning is used: Euler's steps from the very end of the schedule, no guidance."""
    pipe = tiny_pipeline("sdxl")
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    return load_model(pipe, device="cpu")


def theirs(model: Model, prompts: list[str], steps: int, **more: Any) -> Tensor:
    """The final latents of the pipeline's own call, from prompts that are encoded one by one."""
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    how: dict[str, Any] = {"num_images_per_prompt": 1, "do_classifier_free_guidance": True, "device": "cpu"}
    each = [model.pipe.encode_prompt(prompt, **how) for prompt in prompts]
    texts = {name: torch.cat(rows) for name, rows in zip(names, zip(*each, strict=True), strict=False)}
    if "LatentConsistency" in type(model.pipe).__name__:
        del texts["negative_prompt_embeds"]
    latents: Tensor = model.pipe(
        **texts, num_inference_steps=steps, output_type="latent",
        generator=[torch.Generator().manual_seed(SEED + i) for i in range(len(prompts))], **more,
    ).images  # fmt: skip
    return latents


def last(model: Model, *tricks: Trick[Any], **request: Any) -> Step:
    *_, step = sample(model, tricks=tricks, **{"prompt": PROMPTS[0], "seed": SEED, "steps": 4, **request})
    return step


# latent consistency models


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("scale", [None, 1.0, 4.0])
@pytest.mark.parametrize("steps", [1, 4])
def test_a_consistency_model_is_its_pipeline(lcm: Model, scale: float | None, count: int, steps: int) -> None:
    told = {} if scale is None else {"guidance_scale": scale}
    expected = theirs(lcm, PROMPTS[:count], steps, **told)
    step = last(lcm, prompt=PROMPTS[:count], steps=steps, distilled_guidance=scale)
    assert torch.equal(step.x, expected), f"largest difference {(step.x - expected).abs().max():.1e}"
    assert step.rows == count
    assert expected.std() > 0.1


def test_the_scale_is_heard_and_is_less_by_one_in_the_network(lcm: Model) -> None:
    row = lcm.encode_prompts(["a"], lcm.family.size, 3.0)["a"]
    expected = lcm.pipe.get_guidance_scale_embedding(torch.tensor([2.0]), embedding_dim=8)
    assert torch.equal(row["timestep_cond"], expected)
    own = lcm.encode_prompts(["a"], lcm.family.size)["a"]["timestep_cond"]
    assert torch.equal(own, lcm.pipe.get_guidance_scale_embedding(torch.tensor([7.5]), embedding_dim=8))
    assert (last(lcm).x - last(lcm, distilled_guidance=1.0).x).abs().max() > 0.01


def test_guidance_by_two_answers_is_another_thing(lcm: Model) -> None:
    """It moves away from the empty text, and both answers are given the same scale as an input."""
    step = last(lcm, Guidance(scale=3.0), steps=1, distilled_guidance=2.0)
    rows = lcm.encode_prompts(["", PROMPTS[0], None], lcm.family.size, 2.0)
    assert torch.equal(rows[None]["timestep_cond"], rows[PROMPTS[0]]["timestep_cond"])
    x = step.estimate.x.expand(2, -1, -1, -1)
    uncond, cond = lcm.family.predict(x, step.t, [rows[""], rows[PROMPTS[0]]])
    torch.testing.assert_close(step.estimate.value[0], uncond + 3 * (cond - uncond), rtol=0, atol=1e-5)
    assert step.rows == 2


def test_a_distilled_sdxl_is_its_pipeline() -> None:
    from diffusion_tricks.testing.tiny.latents import sdxl_unet
    from diffusion_tricks.testing.tiny.weights import built

    pipe = tiny_pipeline("sdxl")
    pipe.register_modules(unet=built(lambda: sdxl_unet(time_cond_proj_dim=8), 0))
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    model = load_model(pipe, device="cpu")
    assert model.family.shape.distilled
    assert torch.equal(last(model, distilled_guidance=3.0).x, theirs(model, PROMPTS[:1], 4, guidance_scale=3.0))


def test_a_scale_that_is_no_input_is_refused() -> None:
    with pytest.raises(UsageError, match="takes no distilled guidance as an input; use guidance instead"):
        last(loaded("turbo"), distilled_guidance=3.0)


# Turbo and Lightning


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("kind", ["turbo", "lightning"])
def test_few_steps_from_the_very_end_are_the_pipelines(kind: str, steps: int) -> None:
    model = lightning() if kind == "lightning" else loaded("turbo")
    expected = theirs(model, PROMPTS, steps, guidance_scale=0.0)
    step = last(model, prompt=PROMPTS, steps=steps)
    assert torch.equal(step.x, expected), f"largest difference {(step.x - expected).abs().max():.1e}"
    assert float(step.run.timesteps[0]) == 999


@pytest.mark.parametrize(
    ("kind", "scheduler", "expected"),
    [
        ("lcm", None, (4, 1.0, 8.5)),
        ("turbo", None, (4, 1.0, None)),
        ("sdxl", "lcm", (4, 1.0, None)),
        ("sd", "tcd", (4, 1.0, None)),
        ("sdxl", "lightning", (4, 1.0, None)),
        ("sdxl", None, (50, 7.0, None)),
        ("sd", None, (50, 7.0, None)),
        ("sd-zsnr", None, (50, 7.0, None)),  # it begins at the end of the schedule as well
    ],
)
def test_models_of_few_steps_are_told_by_their_configuration(
    tmp_path: Path, kind: str, scheduler: str | None, expected: tuple[int, float, float | None]
) -> None:
    pipe = tiny_pipeline(kind) if scheduler != "lightning" else lightning().pipe
    if scheduler in SCHEDULERS:
        pipe.scheduler = type(scheduler_for(pipe.scheduler, scheduler))()
    before = parts_of(pipe)
    pipe.save_pretrained(tmp_path)
    for name, parts in ((type(pipe).__name__, before), described_in(tmp_path)):
        found = defaults_for(name, parts)
        assert (found.steps, found.guidance, found.distilled_guidance) == expected


@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_no_more_steps_than_were_distilled(name: str) -> None:
    with pytest.raises(UsageError, match="steps must be between 1 and 50 for this scheduler, got 51"):
        last(loaded("sd"), scheduler=name, steps=51)
    assert len(last(loaded("sd"), scheduler=name, steps=50).run.timesteps) == 50


def test_where_the_steps_of_few_end(lcm: Model) -> None:
    """LCM in the clean picture, whatever the configuration says, TCD at the level of t = 0."""
    for own in (loaded("sd").pipe.scheduler, loaded("lcm").pipe.scheduler):  # alpha is not set to 1 there, and is here
        for name, end in (("lcm", 1.0), ("tcd", float(own.alphas_cumprod[0]))):
            scheduler = scheduler_for(own, name)
            set_steps(scheduler, 4)
            assert noise_levels(scheduler)[-1] == pytest.approx((math.sqrt(end), math.sqrt(1 - end)))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    return str(path)


@pytest.mark.parametrize("kind", ["lcm", "turbo"])
@pytest.mark.parametrize("steps", [1, 4])
def test_what_a_mask_keeps_is_kept_in_few_steps(kind: str, steps: int, photo: str) -> None:
    trick = Inpaint(image=photo, mask="box:0,0,8,16", padding=16)
    step = last(loaded(kind), trick, steps=steps)
    expected = step.run.latents_of(step.run.source.tensor((16, 16)))  # type: ignore[union-attr]
    assert torch.equal(step.x[..., 4:], expected[..., 4:])
    assert torch.isfinite(step.x).all()


@pytest.mark.parametrize("kind", ["lcm", "turbo"])
def test_tricks_hold_in_few_steps_what_they_must(kind: str, photo: str) -> None:
    model = loaded(kind)
    for trick in (
        Anagram(prompts=PROMPTS[:2]), Hybrid(far="a", near="b"), SDEdit(image=photo, strength=0.5),
        Inpaint(image=photo, mask="box:0,0,8,16"),
    ):  # fmt: skip
        check_trick(trick, model, steps=2)


# schedules that end in pure noise


@pytest.mark.parametrize(("scale", "rescale"), [(1.0, 0.0), (5.0, 0.0), (5.0, 0.7)])
@pytest.mark.parametrize("count", [1, 3])
def test_from_pure_noise_it_is_the_pipeline(zero: Model, scale: float, rescale: float, count: int) -> None:
    expected = theirs(zero, PROMPTS[:count], 4, guidance_scale=scale, guidance_rescale=rescale)
    step = last(zero, Guidance(scale=scale, rescale=rescale), prompt=PROMPTS[:count])
    torch.testing.assert_close(step.x, expected, rtol=0, atol=1e-5 if rescale else 0)  # rounds in another order there
    assert step.run.levels[0] == Level(0.0, 1.0, "v_prediction")


TRICKS: dict[str, Any] = {
    "plain": lambda photo: [],
    "guidance": lambda photo: [Guidance(scale=7, rescale=0.7)],
    "projected guidance": lambda photo: [Guidance(scale=7, variant="apg")],
    "anagram": lambda photo: [Anagram(prompts=PROMPTS[:2], space="latent")],
    "anagram in pixels": lambda photo: [Anagram(prompts=PROMPTS[:2], space="pixel")],
    "anagram of pixels apart": lambda photo: [Anagram(views=[("identity", "a"), ("negate", "b")])],
    "hybrid": lambda photo: [Hybrid(far="a", near="b")],
    "hybrid in pixels": lambda photo: [Hybrid(far="a", near="b", split="color")],
    "inpaint": lambda photo: [Inpaint(image=photo, mask="box:0,0,8,16")],
    "sdedit": lambda photo: [SDEdit(image=photo, strength=1.0)],
    "all": lambda photo: [
        Anagram(prompts=PROMPTS[:2]), Guidance(scale=7, rescale=0.5), SDEdit(image=photo, strength=1.0),
        Inpaint(image=photo, mask="box:0,0,8,16"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_nothing_is_infinite_where_no_signal_is(zero: Model, photo: str, name: str) -> None:
    steps = list(sample(zero, prompt=PROMPTS[0], tricks=TRICKS[name](photo), steps=3, seed=SEED))
    assert steps[0].alpha == 0
    for step in steps:
        for value in (step.x, step.estimate.value, step.estimate.noise, step.estimate.clean):
            assert torch.isfinite(value).all()
    assert torch.isfinite(steps[-1].run.pixels()).all()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_stays_finite_on_it(zero: Model, name: str) -> None:
    for step in sample(zero, prompt=PROMPTS[0], tricks=[Guidance(scale=5)], scheduler=name, steps=3, seed=SEED):
        assert torch.isfinite(step.x).all()
        assert torch.isfinite(step.estimate.clean).all()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "flow_prediction"])
def test_conversions_where_alpha_is_zero(prediction: str) -> None:
    level = Level(0.0, 1.0, prediction)
    x, value, x0 = torch.randn(3, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    estimate = Estimate(value, x, level)
    known = prediction != "epsilon"  # noise says nothing of the picture there
    torch.testing.assert_close(estimate.with_clean(x0).clean, x0 if known else torch.zeros_like(x0))
    if known:
        assert torch.equal(estimate.with_noise(x0).clean, estimate.clean)
        torch.testing.assert_close(estimate.noise, x)
    else:
        assert torch.equal(estimate.with_noise(x0).noise, x0)
    for made in (level.clean(value, x), level.noise(value, x), level.from_noise(value, x), level.from_clean(value, x)):
        assert torch.isfinite(made).all()
