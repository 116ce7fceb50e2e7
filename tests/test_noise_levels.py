"""The noise levels of every scheduler that is followed, with each option it has, against its own `add_noise`."""

from __future__ import annotations

import copy
import inspect
import math
from functools import cache
from typing import Any

import pytest
import torch
from diffusers import schedulers as library
from torch import Tensor

from diffusion_tricks.diffusion.followed import FOLLOWED, NOT_FOLLOWED
from diffusion_tricks.diffusion.levels import flows, levels_of, noise_levels
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.diffusion.rehearsal import instead_of
from diffusion_tricks.diffusion.scheduler_quirks import step_arguments, stepped
from diffusion_tricks.diffusion.schedulers import scheduler_for
from diffusion_tricks.diffusion.steps import begin_at, set_steps
from diffusion_tricks.errors import UsageError

KUTTA = "PNDMScheduler: skip_prk_steps=False"
STEEP = "KDPM2AncestralDiscreteScheduler: beta_schedule=squaredcos_cap_v2"
OPTIONS: dict[str, list[Any]] = {
    "use_karras_sigmas": [True], "use_exponential_sigmas": [True], "use_beta_sigmas": [True], "use_flow_sigmas": [True],
    "final_sigmas_type": ["sigma_min"], "interpolation_type": ["log_linear"], "sigma_schedule": ["exponential"],
    "timestep_spacing": ["leading", "trailing", "linspace"], "beta_schedule": ["squaredcos_cap_v2"],
    "rescale_betas_zero_snr": [True], "skip_prk_steps": [True, False], "algorithm_type": ["noise_prediction"],
    "use_lu_lambdas": [True], "timestep_type": ["continuous"], "shift": [3.0], "stochastic_sampling": [True],
}  # fmt: skip
WITH = {
    "use_flow_sigmas": {"prediction_type": "flow_prediction"},
    "rescale_betas_zero_snr": {"prediction_type": "v_prediction"},
    "timestep_type": {"prediction_type": "v_prediction"},
}
DRAWING = {  # fresh noise between steps
    "DDPMParallelScheduler", "DDPMScheduler", "EulerAncestralDiscreteScheduler", "FlowMatchLCMScheduler",
    "KDPM2AncestralDiscreteScheduler", "LCMScheduler", "SASolverScheduler", "TCDScheduler",
}  # fmt: skip


def cases() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every scheduler as it is by default, and with each of its options."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for kind in FOLLOWED:
        known = inspect.signature(getattr(library, kind).__init__).parameters
        plain = {"clip_sample": False} if "clip_sample" in known else {}
        plain |= {"skip_prk_steps": True} if kind == "PNDMScheduler" else {}
        found[kind] = kind, plain
        for name, values in OPTIONS.items():
            for value in values if name in known else []:
                if (name, value) != ("algorithm_type", "noise_prediction") or kind == "SASolverScheduler":
                    found[f"{kind}: {name}={value}"] = kind, plain | WITH.get(name, {}) | {name: value}
    return found


CASES = cases()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def made(case: str) -> Any:
    """Once for each case: some fill tables for a second."""
    kind, options = CASES[case]
    return getattr(library, kind)(**options)


def readied(case: str, steps: int) -> Any:
    scheduler = copy.deepcopy(made(case))
    set_steps(scheduler, steps)
    return scheduler


def theirs(scheduler: Any, index: int) -> tuple[float, float]:
    """(alpha, sigma) by which the scheduler itself adds noise before a step."""
    one, zero, t = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), scheduler.timesteps[index].reshape(1)
    begin_at(scheduler, 0)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(index)
        scheduler._step_index = None
    if type(scheduler).__name__ == "SASolverScheduler":  # its add_noise rounds t; what its steps make of noise does not
        return _of_its_steps(scheduler, index)
    if hasattr(scheduler, "add_noise"):
        return float(scheduler.add_noise(one, zero, t)), float(scheduler.add_noise(zero, one, t))
    return float(scheduler.scale_noise(one, t, zero)), float(scheduler.scale_noise(zero, t, one))


def _of_its_steps(scheduler: Any, index: int) -> tuple[float, float]:
    alpha, sigma = scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[index])
    return float(alpha), float(sigma)


def steps_for(case: str) -> list[int]:
    # at 10 steps of STEEP the last bit of a float32 says whether its second level is 0, as it does without AVX-512
    fewest = {KUTTA: 4, STEEP: 50}.get(case, 1)
    return [steps for steps in (1, 2, 10, 50) if steps >= fewest]


def test_levels_are_those_of_add_noise(case: str) -> None:
    for steps in steps_for(case):
        scheduler = readied(case, steps)
        levels = noise_levels(scheduler)
        assert len(levels) == len(scheduler.timesteps) + 1
        inner = "KDPM2" in case  # whose add_noise knows nothing of the second evaluation of a step
        for index in range(0, len(scheduler.timesteps), 2 if inner else 1):
            assert levels[index] == pytest.approx(theirs(scheduler, index), rel=1e-4, abs=1e-6), (steps, index)


EPS = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
PICTURE = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
SPACED_UNEVENLY = "linspace"  # where DDIM and PNDM step to other levels than they ask about next


def stepped_through(scheduler: Any) -> list[tuple[Tensor, Level]]:
    """The latents after each step of an exact model, with the level that they are to be at."""
    levels, generators = levels_of(scheduler), [torch.Generator().manual_seed(1)]
    x = levels[0].alpha * PICTURE + levels[0].sigma * EPS
    after = []
    for index, t in enumerate(scheduler.timesteps):
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, t)
        value = levels[index].from_clean(PICTURE, x)
        arguments = step_arguments(scheduler, generators, taken=index)
        x = scheduler.step(value, t, x, **arguments, return_dict=False)[0]
        stepped(scheduler, index)
        after.append((x, levels[index + 1]))
    return after


def test_latents_stay_at_their_levels_all_the_way(case: str) -> None:
    """An exact model answers the same noise all along, so that solvers of whatever order make no error.

    This holds the second evaluations of a step as well, and EDM's scaling.
    """
    kind = CASES[case][0]
    if SPACED_UNEVENLY in case or "cosine" in case or "stochastic" in case or "squaredcos" in case:
        pytest.skip("not at the levels of its own table, or with noise, or next to infinite noise")
    for x, level in stepped_through(readied(case, 10)):
        if kind not in DRAWING:
            torch.testing.assert_close(x, level.alpha * PICTURE + level.sigma * EPS, rtol=1e-4, atol=1e-3)
        elif level.sigma > 0 and "noise_prediction" not in case:
            spread = float((x - level.alpha * PICTURE).std() / level.sigma)
            assert 0.6 < spread < 1.6


def test_every_scheduler_of_diffusers_is_followed_or_refused_with_a_reason() -> None:
    kinds = {name for name in dir(library) if name.endswith("Scheduler")}
    assert kinds == {*FOLLOWED, *NOT_FOLLOWED}


@pytest.mark.parametrize("kind", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_edm_scales_inputs_and_outputs_as_its_scheduler_does(kind: str, prediction: str) -> None:
    scheduler = getattr(library, kind)(prediction_type=prediction, sigma_data=0.7)
    set_steps(scheduler, 6)
    output, x = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for level in levels_of(scheduler)[:-1]:
        noisy = level.sigma * x
        clean = scheduler.precondition_outputs(noisy, output, torch.tensor(level.sigma))
        torch.testing.assert_close(level.clean(output, noisy), clean)
        scaled = scheduler.precondition_inputs(noisy, torch.tensor(level.sigma))
        torch.testing.assert_close(level.preconditioning[2] * noisy, scaled)
        torch.testing.assert_close(level.from_clean(clean, noisy), output, rtol=1e-3, atol=1e-3)
        eps = level.noise(output, noisy)
        torch.testing.assert_close(clean + level.sigma * eps, noisy, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(level.clean(level.from_noise(eps, noisy), noisy), clean, rtol=1e-3, atol=1e-3)


def test_runge_kutta_needs_four_steps_and_starts_at_the_first() -> None:
    for steps in (1, 2, 3):
        with pytest.raises(UsageError, match=f"PNDMScheduler needs at least 4 steps, got {steps}"):
            readied(KUTTA, steps)
    with pytest.raises(
        UsageError,
        match="others remember; it cannot begin at index 3; use scheduler 'pndm'",
    ):
        begin_at(readied(KUTTA, 8), 3)
    assert begin_at(readied(KUTTA, 8), 0) == 0


def test_levels_that_rounding_makes_no_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="KDPM2AncestralDiscreteScheduler gives no noise levels for 2 steps; ask for"):
        readied(STEEP, 2)


@pytest.mark.parametrize("own", [STEEP, "DDIMScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_what_is_offered_instead_of_a_scheduler_is_another_that_works(own: str) -> None:
    scheduler = made(own)
    name = instead_of(scheduler).partition("`scheduler='")[2].removesuffix("'`")
    for steps in (2, 50):
        other = scheduler_for(scheduler, name)
        set_steps(other, steps)
        assert all(math.isfinite(part) for level in noise_levels(other) for part in level)
        assert type(other) is not type(scheduler)
    assert instead_of(library.EDMEulerScheduler()) == "ask for another number of steps"


def test_a_step_whose_middle_is_at_another_level_is_begun_from_its_start_alone() -> None:
    with pytest.raises(UsageError, match="KDPM2DiscreteScheduler cannot begin at index 3, in the middle of a step"):
        begin_at(readied("KDPM2DiscreteScheduler", 8), 3)
    assert begin_at(readied("KDPM2DiscreteScheduler", 8), 4) == 4


@pytest.mark.parametrize("kind", ["DEISMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler"])
def test_the_last_step_alone_is_a_step(kind: str) -> None:
    """Where the last level stands twice in the table: only the middle of a step may be passed over."""
    scheduler = getattr(library, kind)(use_karras_sigmas=True)
    set_steps(scheduler, 10)
    assert begin_at(scheduler, 9) == 9


def test_a_scheduler_without_a_table_is_refused_whatever_its_class() -> None:
    class Own(library.IPNDMScheduler):  # type: ignore[misc]
        """Of a kind that nobody knows."""

    with pytest.raises(UsageError, match="Own keeps no noise levels that tricks could follow"):
        set_steps(Own(), 4)
    with pytest.raises(UsageError, match="its IPNDMScheduler keeps no noise levels"):
        set_steps(library.IPNDMScheduler(), 4)


def test_flows_are_told_by_class_or_option() -> None:
    assert flows(library.FlowMatchHeunDiscreteScheduler())
    assert flows(library.DEISMultistepScheduler(use_flow_sigmas=True))
    assert not flows(library.DDIMScheduler())
