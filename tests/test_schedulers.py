"""Schedulers by name, and their noise levels against diffusers' `add_noise` and exact denoisers."""

from __future__ import annotations

import inspect
import math
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    IPNDMScheduler,
    PNDMScheduler,
)
from diffusers import schedulers as library
from torch import Tensor

from diffusion_tricks import Run, Start, Trick, hookimpl, load_model, sample
from diffusion_tricks.diffusion.followed import FOLLOWED
from diffusion_tricks.diffusion.levels import noise_levels, prediction_of, uses_learned_variance
from diffusion_tricks.diffusion.noise import Noise
from diffusion_tricks.diffusion.scheduler_quirks import send_what_it_draws, step_arguments, stepped
from diffusion_tricks.diffusion.schedulers import FLOW_SCHEDULERS, SCHEDULERS, scheduler_for
from diffusion_tricks.diffusion.steps import FOLLOWING, begin_at, set_steps
from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.testing import exact_model, tiny_pipeline

SD: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
OWN = {
    "linear": DDPMScheduler(clip_sample=False),
    "stable diffusion": PNDMScheduler(**SD, skip_prk_steps=True),
    "cosine": DDPMScheduler(clip_sample=False, beta_schedule="squaredcos_cap_v2"),
}
PICTURE = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(params=SCHEDULERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest) -> Any:
    return OWN[request.param]


@pytest.mark.parametrize("steps", [2, 10, 37])
def test_levels_are_those_of_add_noise(own: Any, name: str, steps: int) -> None:
    scheduler = scheduler_for(own, name)
    times = set_steps(scheduler, steps)
    levels = noise_levels(scheduler)
    assert len(levels) == len(times) + 1
    clean, noise = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    for i, t in enumerate(times):
        scheduler.set_begin_index(i) if hasattr(scheduler, "set_begin_index") else None
        alpha = float(scheduler.add_noise(clean, noise, t.reshape(1)))
        sigma = float(scheduler.add_noise(noise, clean, t.reshape(1)))
        assert levels[i] == pytest.approx((alpha, sigma), rel=1e-4, abs=2e-4)


def test_levels_fall_to_clean_and_keep_the_training_schedule(own: Any, name: str) -> None:
    scheduler = scheduler_for(own, name)
    times = set_steps(scheduler, 10)
    ratios = [sigma / alpha for alpha, sigma in noise_levels(scheduler)]
    assert ratios == sorted(ratios, reverse=True)
    first = name == "tcd" or (name in {"ddim", "pndm"} and not scheduler.config.set_alpha_to_one)
    end = (1 - own.alphas_cumprod[0]) ** 0.5 if first else 0
    assert ratios[-1] == pytest.approx(float(end), abs=1e-3)
    # sigma over alpha at a timestep is the training schedule's, whatever the class; between timesteps it is between
    bars = own.alphas_cumprod.double()
    trained = ((1 - bars) / bars).sqrt()
    for ratio, t in zip(ratios, times.tolist(), strict=False):
        near = trained[max(int(t) - 1, 0) : int(t) + 2]
        assert near.min() * 0.999 <= ratio <= near.max() * 1.001


def test_flow_matching_levels_are_linear() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler()
    set_steps(scheduler, 5)
    levels = noise_levels(scheduler)
    assert [alpha + sigma for alpha, sigma in levels] == pytest.approx([1.0] * 6)
    assert levels[0] == pytest.approx((0.0, 1.0))
    assert prediction_of(scheduler) == "flow_prediction"


class Midway(Trick[Any]):
    """Starts from the picture at the level before step `index`."""

    name = "midway"
    place = "start"

    def __init__(self, index: int):
        super().__init__()
        self.index = index

    @hookimpl
    def start(self, run: Run) -> Start:
        noise = run.noise.fork("midway").draw(run.latent_shape)
        return Start(run.noised(PICTURE, noise, self.index), self.index)


def left_over(run: Run, x: Tensor) -> float:
    """How far the end is from the picture, where the schedule ends in it; else from the level it ends in."""
    level = run.levels[-1]
    return float((x - level.alpha * PICTURE).abs().max()) - 5 * level.sigma


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_every_scheduler_ends_in_the_picture_of_an_exact_model(own: Any, name: str, prediction: str) -> None:
    model = exact_model(PICTURE, scheduler=own, prediction=prediction)
    for index in (0, 1, 2, 5, 12):
        tricks = [Midway(index)] if index else []
        *_, last = sample(model, prompt="a", tricks=tricks, steps=15, scheduler=name)
        assert left_over(last.run, last.x) < 1e-5, f"started at {index}"


def test_a_start_in_the_middle_of_a_step_begins_behind_it_at_the_same_level() -> None:
    for name, index in (("heun", 3), ("pndm", 1)):
        scheduler = scheduler_for(OWN["linear"], name)
        set_steps(scheduler, 8)
        levels = noise_levels(scheduler)
        assert begin_at(scheduler, index) == index + 1
        assert levels[index] == levels[index + 1]
        assert begin_at(scheduler, index + 1) == index + 1
        assert begin_at(scheduler, 0) == 0


def test_heun_corrects_every_step_but_the_last() -> None:
    model = exact_model(PICTURE)
    steps = list(sample(model, prompt="a", steps=6, scheduler="heun"))
    assert len(steps) == 2 * 6 - 1
    assert [step.index for step in steps] == list(range(11))
    sigmas = [step.sigma for step in steps]
    assert sigmas[1::2] == sigmas[2::2]  # a step's end is asked twice: as its correction and as the next one's start
    assert steps[0].run.substeps == 2
    assert left_over(steps[-1].run, steps[-1].x) < 1e-6


def test_a_named_scheduler_keeps_what_was_set_for_training_and_sampling() -> None:
    own = DDIMScheduler(num_train_timesteps=500, beta_start=0.001, beta_end=0.03, prediction_type="v_prediction",
                        clip_sample=False, timestep_spacing="trailing", thresholding=True)  # fmt: skip
    for name in SCHEDULERS:
        made = scheduler_for(own, name)
        torch.testing.assert_close(made.alphas_cumprod, own.alphas_cumprod)
        assert made.config.prediction_type == "v_prediction"
        assert made.config.timestep_spacing == "trailing"
        assert not made.config.get("clip_sample", False)
        assert made.config.get("thresholding", True)


def test_training_betas_that_are_the_classs_own_defaults_are_kept_too() -> None:
    """Heun's defaults are other than DDPM's; `from_config` alone would take Heun's."""
    made = scheduler_for(DDPMScheduler(), "heun")
    torch.testing.assert_close(made.alphas_cumprod, DDPMScheduler().alphas_cumprod)


def test_latents_are_not_clipped_by_a_scheduler_that_would_by_default() -> None:
    assert DDPMScheduler().config.clip_sample
    assert not scheduler_for(PNDMScheduler(**SD), "ddpm").config.clip_sample
    assert scheduler_for(DDPMScheduler(), "ddim").config.clip_sample


def test_spacing_that_was_not_set_is_left_to_the_class() -> None:
    own = PNDMScheduler(beta_schedule="scaled_linear")  # as Stable Diffusion's files leave it out
    assert scheduler_for(own, "euler").config.timestep_spacing == "linspace"
    assert scheduler_for(own, "ddim").config.timestep_spacing == "leading"


def test_solvers_do_not_start_at_the_end_of_a_cosine_schedule() -> None:
    """There x0 = (x - sigma eps) / alpha divides by 5e-5."""
    for name in ("dpm++2m", "unipc", "euler", "heun"):
        scheduler = scheduler_for(OWN["cosine"], name)
        set_steps(scheduler, 20)
        alpha, sigma = noise_levels(scheduler)[0]
        assert sigma / alpha < 50


def test_a_learned_variance_goes_only_to_who_can_use_it() -> None:
    own = DDPMScheduler(variance_type="learned_range")
    assert {name for name in SCHEDULERS if uses_learned_variance(scheduler_for(own, name))} == {"ddpm"}


def test_the_models_own_scheduler_is_copied_deep_and_left_as_it_was() -> None:
    own = EulerDiscreteScheduler(use_karras_sigmas=False)
    own.mended = [1]  # pipelines mend their scheduler after it is loaded; from_config would lose it
    for name in (None, "euler"):
        made = scheduler_for(own, name)
        assert made is not own
        assert made.mended == [1]
        assert made.mended is not own.mended
        set_steps(made, 7)
    assert own.num_inference_steps is None


def test_a_name_means_what_it_says_whatever_the_models_own_is() -> None:
    own = DPMSolverMultistepScheduler(use_karras_sigmas=True, algorithm_type="dpmsolver++")
    assert not scheduler_for(own, "dpm++2m").config.use_karras_sigmas
    assert scheduler_for(own, "dpm++2m-karras").config.use_karras_sigmas
    assert scheduler_for(own, None).config.use_karras_sigmas
    assert scheduler_for(own, "dpm++2m-sde").config.algorithm_type == "sde-dpmsolver++"
    assert not scheduler_for(EulerDiscreteScheduler(use_beta_sigmas=False), "lms").config.use_karras_sigmas


SHAPES: dict[str, Any] = {
    **OWN,
    "cosine to the end": DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing", clip_sample=False
    ),
    "zero SNR": DDIMScheduler(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False
    ),
    "zero SNR, CogVideoX": CogVideoXDDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction"),
    "flow": FlowMatchEulerDiscreteScheduler(shift=3.0),
}
FEW = [1, 2, 3, 10, 50]
ALL = [(shape, each) for shape, own in SHAPES.items() for each in (FLOW_SCHEDULERS if shape == "flow" else SCHEDULERS)]


@pytest.mark.parametrize(("shape", "each"), ALL)
def test_no_scheduler_makes_values_that_are_no_numbers(shape: str, each: str) -> None:
    """`set_steps` rehearses them all, and refuses what does not end in numbers."""
    for steps in range(1, 101) if each == "euler-a" else FEW:
        scheduler = scheduler_for(SHAPES[shape], each)
        times = set_steps(scheduler, steps)
        assert len(times) >= steps


def test_euler_ancestral_falls_further_than_float32_can_tell() -> None:
    """sigma_to^2 - sigma_up^2 = sigma_to^4 / sigma_from^2 is rounded below 0 there; other runs keep every bit."""
    scheduler = scheduler_for(SHAPES["cosine to the end"], "euler-a")
    scheduler.set_timesteps(3)
    before, after = scheduler.sigmas[:-1], scheduler.sigmas[1:]
    up = (after**2 * (before**2 - after**2) / before**2) ** 0.5
    assert ((after**2 - up**2) < 0).any()
    model = exact_model(PICTURE, scheduler=SHAPES["cosine to the end"], prediction="v_prediction")
    *_, last = sample(model, prompt="a", steps=3, scheduler="euler-a")
    torch.testing.assert_close(last.x, PICTURE, rtol=0, atol=1e-4)
    untouched = scheduler_for(OWN["linear"], "euler-a")
    set_steps(untouched, 30)
    assert untouched.sigmas.dtype == torch.float32


class Breaks(EulerDiscreteScheduler):  # type: ignore[misc]
    """Divides by nothing in its third step, or cannot make it at all."""

    raising = False

    def step(self, output: Tensor, t: Any, x: Tensor, return_dict: bool = True) -> Any:
        if self.raising:
            raise NotImplementedError("prediction_type not implemented yet: sample")
        (x,) = super().step(output, t, x, return_dict=False)[:1]
        return (x / (self.step_index != 3),)


def test_a_scheduler_that_makes_no_numbers_is_named_before_the_run() -> None:
    with pytest.raises(UsageError, match=r"^Breaks gives values that are no numbers \(NaN\) in 5 steps; ask for"):
        set_steps(Breaks(), 5)
    set_steps(Breaks(), 2)
    broken = Breaks()
    broken.raising = True
    with pytest.raises(UsageError, match=r"^Breaks cannot make these steps: prediction_type not implemented yet"):
        set_steps(broken, 5)
    own = PNDMScheduler(prediction_type="sample")
    with pytest.raises(UsageError, match=r"^scheduler 'pndm' \(PNDMScheduler\) cannot make these steps: .*; ask for"):
        set_steps(scheduler_for(own, "pndm"), 5)


TRAINING: list[dict[str, Any]] = [
    {}, {"beta_schedule": "linear", "beta_end": 0.03}, {"beta_schedule": "squaredcos_cap_v2"},
    {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, {"snr_shift_scale": 1.0},
    {"trained_betas": torch.linspace(0.001, 0.03, 1000).tolist()},
]  # fmt: skip


@pytest.mark.parametrize("kind", FOLLOWED)
def test_every_exchange_keeps_the_schedule_of_the_training(kind: str) -> None:
    """Of every scheduler, with each option of its schedule, for every name: alpha_bar, all the way."""
    make = getattr(library, kind)
    known = inspect.signature(make.__init__).parameters
    for options in TRAINING:
        if "Flow" in kind or kind.startswith("EDM") or not options.keys() <= known.keys():
            continue
        own = make(**options)
        for each in SCHEDULERS:
            made = scheduler_for(own, each)
            torch.testing.assert_close(made.alphas_cumprod, own.alphas_cumprod.float(), rtol=1e-5, atol=1e-6)
            set_steps(made, 7)
            for t, (alpha, sigma) in zip(made.timesteps.tolist(), noise_levels(made), strict=False):
                bar = float(own.alphas_cumprod[int(t)])
                if t == int(t) and not made.config.get("use_karras_sigmas"):
                    assert alpha**2 / (alpha**2 + sigma**2) == pytest.approx(bar, rel=1e-3, abs=1e-5), (each, t)


def test_what_cannot_be_exchanged_is_refused() -> None:
    with pytest.raises(UsageError, match="EDM's scaling, which only its own EDMEulerScheduler follows; leave out sch"):
        scheduler_for(EDMEulerScheduler(), "euler")
    with pytest.raises(UsageError, match="IPNDMScheduler says nothing of how its model was trained"):
        scheduler_for(IPNDMScheduler(), "euler")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown scheduler 'eulr'; did you mean 'euler'"):
        scheduler_for(DDPMScheduler(), "eulr")
    with pytest.raises(UnknownName, match=r"unknown scheduler 'xyz'; known are: ddim, ddpm, dpm\+\+2m"):
        scheduler_for(DDPMScheduler(), "xyz")


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range(steps: int) -> None:
    with pytest.raises(UsageError, match=f"steps must be between 1 and 1000 for this model, got {steps}"):
        begin(exact_model(PICTURE), Sampling(prompt="a", steps=steps))


def test_timesteps_may_be_given_one_by_one() -> None:
    strided = list(range(990, -1, -30))
    run = begin(exact_model(PICTURE), Sampling(prompt="a", timesteps=strided))
    assert run.timesteps.tolist() == strided
    assert len(strided) == 34
    bar = float(run.scheduler.alphas_cumprod[690])
    assert (run.levels[10].alpha, run.levels[10].sigma) == pytest.approx((math.sqrt(bar), math.sqrt(1 - bar)))


@pytest.mark.parametrize("timesteps", [[], [10, 20], [10, 10], [1000, 5], [5, -1]])
def test_timesteps_that_cannot_be(timesteps: list[int]) -> None:
    with pytest.raises(UsageError, match="timesteps must fall, from below 1000 to at least 0, got "):
        begin(exact_model(PICTURE), Sampling(prompt="a", timesteps=timesteps))


def test_a_scheduler_without_timesteps_of_its_own() -> None:
    known = re.escape(f"; use scheduler {FOLLOWING}")
    for name in ("pndm", "unipc", "lms", "euler-a"):
        with pytest.raises(UsageError, match=rf"Scheduler takes no timesteps of its own{known}"):
            begin(exact_model(PICTURE), Sampling(prompt="a", timesteps=[5, 3], scheduler=name))
    with pytest.raises(UsageError, match=rf"DPMSolverMultistepScheduler takes no timesteps here: .*{known}"):
        begin(exact_model(PICTURE), Sampling(prompt="a", timesteps=[5, 3], scheduler="dpm++2m-karras"))


def test_those_that_are_said_to_follow_timesteps_do() -> None:
    for name in FOLLOWING.replace(" or", ",").split(", "):
        run = begin(exact_model(PICTURE), Sampling(prompt="a", timesteps=[700, 650, 40], scheduler=name))
        assert list(dict.fromkeys(run.timesteps.tolist())) == [700, 650, 40]


GIVEN = [list(range(990, -1, -30)), list(range(900, -1, -300)), [960, 959, 400, 31, 3]]


def predicted(x: np.ndarray[Any, Any], t: int) -> np.ndarray[Any, Any]:
    """Some noise estimate, of the latents and of the timestep."""
    return np.tanh(x + t / 1000)


def stepping(scheduler: Any, timesteps: list[int], first: int, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Latents (1 3 4 4) after the steps from `first` on."""
    times = set_steps(scheduler, 1, timesteps)
    assert times.tolist() == timesteps
    begin_at(scheduler, first)
    state, noise = torch.from_numpy(x), Noise([7])
    for index in range(first, len(times)):
        output = torch.from_numpy(predicted(state.numpy(), timesteps[index]))
        arguments = step_arguments(scheduler, noise.generators, taken=index - first)
        state = scheduler.step(output, times[index], state, **arguments, return_dict=False)[0]
        stepped(scheduler, index)
    return np.asarray(state)


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("given", GIVEN, ids=["by 30", "by 300", "uneven"])
def test_ddim_follows_the_formula_from_each_timestep_to_the_next_that_is_kept(given: list[int], first: int) -> None:
    """x' = sqrt(abar') x0 + sqrt(1 - abar') eps, with abar' of the next kept timestep; DDIM, arXiv:2010.02502, (12)."""
    scheduler = scheduler_for(OWN["linear"], "ddim")
    bars = scheduler.alphas_cumprod.double().numpy()
    x = start = np.random.default_rng(0).standard_normal((1, 3, 4, 4))
    last = float(scheduler.final_alpha_cumprod)
    for t, following in pairwise([*given[first:], None]):
        bar, after = bars[t], last if following is None else bars[following]
        eps = predicted(x, t)
        x0 = (x - np.sqrt(1 - bar) * eps) / np.sqrt(bar)
        x = np.sqrt(after) * x0 + np.sqrt(1 - after) * eps
    np.testing.assert_allclose(stepping(scheduler, given, first, start), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("given", GIVEN, ids=["by 30", "by 300", "uneven"])
def test_ddpm_follows_the_course_s_formula_for_strided_steps(given: list[int]) -> None:
    """x' = sqrt(abar') beta / (1 - abar) x0 + sqrt(alpha) (1 - abar') / (1 - abar) x + sigma z, alpha = abar / abar'.

    beta = 1 - alpha, sigma^2 = (1 - abar') / (1 - abar) beta; CS180, project 5, after DDPM, arXiv:2006.11239, (7).
    """
    scheduler = scheduler_for(OWN["linear"], "ddpm")
    bars = scheduler.alphas_cumprod.double().numpy()
    x = start = np.random.default_rng(0).standard_normal((1, 3, 4, 4))
    (generator,) = Noise([7]).generators
    for t, following in pairwise([*given, None]):
        bar, after = bars[t], 1.0 if following is None else bars[following]
        alpha = bar / after
        beta, eps = 1 - alpha, predicted(x, t)
        x0 = (x - np.sqrt(1 - bar) * eps) / np.sqrt(bar)
        z = np.asarray(torch.randn(1, 3, 4, 4, generator=generator, dtype=torch.float64)) if t else 0.0
        sigma = np.sqrt(max((1 - after) / (1 - bar) * beta, 1e-20))
        x = np.sqrt(after) * beta / (1 - bar) * x0 + np.sqrt(alpha) * (1 - after) / (1 - bar) * x + sigma * z
    np.testing.assert_allclose(stepping(scheduler, given, 0, start), x, rtol=1e-4, atol=1e-4)


def test_ddim_still_counts_its_steps_when_it_is_given_timesteps() -> None:
    run = begin(exact_model(PICTURE), Sampling(prompt="a", stride=30, scheduler="ddim"))
    assert run.scheduler.num_inference_steps == 34
    assert run.first_step(0.5) == 17


def test_steps_stay_on_the_cpu_where_they_index_tables() -> None:
    for name in SCHEDULERS:
        run = begin(exact_model(PICTURE), Sampling(prompt="a", steps=3, scheduler=name))
        assert run.timesteps.device.type == "cpu"
        assert run.noise.seeds == Noise([0]).seeds


DRAWING = {"ddpm", "dpm++2m-sde", "euler-a", "lcm", "tcd"}  # fresh noise between steps


def stepped_through(scheduler: Any) -> Tensor:
    """Four steps of two pictures with predictions that are all zero."""
    x, noise = torch.ones(2, 3, 4, 4), Noise([0, 1])
    for index, t in enumerate(set_steps(scheduler, 4)):
        arguments = step_arguments(scheduler, noise.generators, taken=index)
        x = scheduler.step(torch.zeros_like(x), t, x, **arguments, return_dict=False)[0]
    return x


def test_what_a_scheduler_draws_is_sent_without_waiting_and_is_the_same(
    own: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[str] = []

    def sent(x: Tensor, device: Any, dtype: Any = None) -> Tensor:
        went.append(str(device))
        return x.to(device, dtype)

    monkeypatch.setattr("diffusion_tricks.devices.transfer.sent", sent)
    sending = scheduler_for(own, name)
    send_what_it_draws(sending)
    torch.testing.assert_close(stepped_through(sending), stepped_through(scheduler_for(own, name)), atol=0, rtol=0)
    assert (set(went) == {"cpu"}) == (name in DRAWING)


def test_a_scheduler_on_another_device_gets_its_noise_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn on the CPU from the picture's generator, and then sent."""
    went: list[tuple[str, str]] = []

    def sent(x: Tensor, device: Any, dtype: Any = None) -> Tensor:
        went.append((x.device.type, str(device)))
        return x.to(device)

    monkeypatch.setattr("diffusion_tricks.devices.transfer.sent", sent)
    scheduler = scheduler_for(OWN["linear"], "ddpm")
    send_what_it_draws(scheduler)
    t = set_steps(scheduler, 4)[0]
    x = torch.ones(1, 3, 4, 4, device="meta")
    assert scheduler.step(x, t, x, generator=Noise([0]).generators, return_dict=False)[0].device.type == "meta"
    assert went == [("cpu", "meta")]


def test_a_run_on_cuda_sends_what_its_scheduler_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    model = exact_model(PICTURE)
    assert "step" not in vars(begin(model, Sampling(prompt="a")).scheduler)
    monkeypatch.setattr(model, "device", torch.device("cuda"))
    assert "step" in vars(begin(model, Sampling(prompt="a", scheduler="ddpm")).scheduler)


@pytest.mark.parametrize(("name", "lost"), [("euler", True), ("ddim", False), (None, False)])
def test_thresholding_that_a_scheduler_lacks_is_noted(name: str | None, lost: bool) -> None:
    model = load_model(tiny_pipeline("if"), device="cpu")
    notes = begin(model, Sampling(prompt="a", steps=2, scheduler=name)).facts[0].get("notes", [])
    assert [note for note in notes if note.startswith("EulerDiscreteScheduler has no thresholding")] == notes
    assert len(notes) == int(lost)
