"""Setting a scheduler to the steps of a run, and to the one that it begins with."""

from __future__ import annotations

import copy
import inspect
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from diffusion_tricks.diffusion.followed import not_followed
from diffusion_tricks.diffusion.levels import Scheduler, flows, noise_levels
from diffusion_tricks.diffusion.rehearsal import called, instead_of, rehearse
from diffusion_tricks.diffusion.scheduler_quirks import Spaced, mend_tables, remember_coefficients, runs_kutta, spaced
from diffusion_tricks.diffusion.schedulers import schedulers
from diffusion_tricks.errors import UsageError

if TYPE_CHECKING:
    import torch

FOLLOWING = "ddpm, ddim, dpm++2m, dpm++2m-sde, euler or heun"  # that take any timesteps
KUTTA_STEPS = 4  # that PNDM makes by Runge-Kutta
NEXT_TO_NOTHING = 1e-6  # of the picture in what a solver starts from; UniPC's own


def input_scaling(scheduler: Scheduler) -> Any:
    """The function of (latents, t) that gives the denoiser's input; flow schedulers have none and change nothing."""
    return getattr(scheduler, "scale_model_input", lambda x, t: x)


def first_spread(scheduler: Scheduler) -> float:
    """The spread of the noise that a run starts from; flow schedulers do not say theirs, which is their first sigma."""
    return float(getattr(scheduler, "init_noise_sigma", scheduler.sigmas[0] if hasattr(scheduler, "sigmas") else 1.0))


def set_steps(scheduler: Scheduler, steps: int, timesteps: list[int] | None = None, /, **how: Any) -> torch.Tensor:
    """Readies the scheduler for a run of `steps`, or of the given `timesteps`; returns them (n), on the CPU.

    how: what else is said of them, by the model's family as `mu`, or instead of their number, as `sigmas` and
    `timesteps`; or by an edit, as `strength`.
    They stay on the CPU, as the scheduler indexes its tables with them: on a GPU each step would wait.
    Raises UsageError for what the scheduler cannot be set to, or where that gives noise levels that are no numbers.
    """
    if why := not_followed({**scheduler.config, "_class_name": type(scheduler).__name__}):
        raise UsageError(f"this model cannot be run as it is: {why}")
    longest = int(scheduler.config.num_train_timesteps)
    most = int(scheduler.config.get("original_inference_steps") or longest)  # those a model was distilled from
    if timesteps is None and not 1 <= steps <= most:
        of = "model" if most == longest else "scheduler"
        raise UsageError(f"steps must be between 1 and {most} for this {of}, got {steps}")
    if timesteps is None:
        _set_count(scheduler, steps, how)
    else:
        _set_timesteps(scheduler, timesteps, longest)
    mend_tables(scheduler)
    remember_coefficients(scheduler)
    _check_levels(scheduler)
    begin_at(scheduler, 0)
    rehearse(scheduler)
    times: torch.Tensor = scheduler.timesteps
    return times


def _set_count(scheduler: Scheduler, steps: int, how: dict[str, Any]) -> None:
    from numpy import errstate  # here, so that the names can be read without it

    if runs_kutta(scheduler) and steps < KUTTA_STEPS:
        raise UsageError(f"{called(scheduler)} needs at least {KUTTA_STEPS} steps, got {steps}")
    counted = {} if how.keys() & {"sigmas", "timesteps"} else {"num_inference_steps": steps}
    try:
        with errstate(all="ignore"):  # the levels are looked at later
            scheduler.set_timesteps(**counted, device="cpu", **how)
    except Exception as error:  # of whatever kind diffusers' schedulers raise for what they cannot be set to
        raise UsageError(
            f"{called(scheduler)} cannot be set to {steps} steps: {error}; {instead_of(scheduler)}"
        ) from error


def _check_levels(scheduler: Scheduler) -> None:
    """Raises UsageError for levels that are no numbers; a schedule that is stretched between its ends has no one step.

    A network that is told such a level computes for nothing.
    """
    if all(math.isfinite(part) for level in noise_levels(scheduler) for part in level):
        return
    if (steps := len(scheduler.timesteps)) == 1:
        raise UsageError("this model's schedule needs at least 2 steps, got 1")
    asked = getattr(scheduler, "num_inference_steps", None) or steps
    raise UsageError(f"{called(scheduler)} gives no noise levels for {asked} steps; {instead_of(scheduler)}")


def can_spread(scheduler: Scheduler) -> bool:
    """Whether the steps of a scheduler that is set can be spread over a part of its schedule, by `strength`."""
    given = getattr(scheduler, "custom_timesteps", False)
    return "strength" in inspect.signature(scheduler.set_timesteps).parameters and not given


def strided(scheduler: Scheduler, stride: int) -> list[int]:
    """Every `stride`-th training step from the top down: 990, 960, ..., 0 for 30 of 1000.

    Those of a flow are 1 to 1000, from all of the noise to next to none: 1000, 970, ..., 10.
    """
    longest = int(scheduler.config.num_train_timesteps)
    if not 1 <= stride < longest:
        raise UsageError(f"stride must be between 1 and {longest - 1} for this model, got {stride}")
    return list(range(longest, 0, -stride) if flows(scheduler) else range(0, longest, stride)[::-1])


def follows_stride(scheduler: Scheduler, stride: int) -> bool:
    """Whether a scheduler, which stays as it is, can be set to every `stride`-th training step."""
    try:
        set_steps(copy.deepcopy(scheduler), 1, strided(scheduler, stride))
    except UsageError:
        return False
    return True


def _set_timesteps(scheduler: Scheduler, timesteps: list[int], longest: int) -> None:
    flow, name = flows(scheduler), type(scheduler).__name__
    lowest, highest = (1, longest) if flow else (0, longest - 1)
    falling = all(a > b for a, b in pairwise(timesteps))
    if not timesteps or not falling or not lowest <= timesteps[-1] <= timesteps[0] <= highest:
        top = f"from at most {longest}" if flow else f"from below {longest}"
        raise UsageError(f"timesteps must fall, {top} to at least {lowest}, got {timesteps}")
    if flow:
        _set_flow(scheduler, timesteps, longest)
        return
    if name == "DDIMScheduler":
        _set_gaps(scheduler, timesteps)
        return
    if "timesteps" not in inspect.signature(scheduler.set_timesteps).parameters:
        raise UsageError(f"{name} takes no timesteps of its own; use scheduler {FOLLOWING}")
    try:
        scheduler.set_timesteps(timesteps=timesteps, device="cpu")
    except ValueError as error:  # spacings such as Karras's leave no choice of timesteps
        raise UsageError(f"{name} takes no timesteps here: {error}; use scheduler {FOLLOWING}") from error


def _set_gaps(scheduler: Scheduler, timesteps: list[int]) -> None:
    """Sets DDIM, which reckons each next timestep by the number of steps, to timesteps as they are."""
    import torch

    scheduler.timesteps = torch.tensor(timesteps)
    scheduler.num_inference_steps = Spaced.over(timesteps)


def _set_flow(scheduler: Scheduler, timesteps: list[int], longest: int) -> None:
    """Sets both tables of a flow's scheduler: a level s is timestep s * longest, as the network was trained.

    The schedulers themselves would shift the levels and leave the timesteps, or take no timesteps at all.
    """
    import torch

    if type(scheduler).__name__ not in (target.rpartition(":")[2] for target, _ in schedulers(flow=True).values()):
        raise UsageError(f"{type(scheduler).__name__} takes no timesteps of its own; use scheduler 'euler'")
    scheduler.register_to_config(use_dynamic_shifting=False, shift_terminal=None)  # which would ask for more
    scheduler.set_timesteps(len(timesteps), device="cpu")
    scheduler.timesteps = torch.tensor(timesteps, dtype=scheduler.timesteps.dtype)
    sigmas = scheduler.timesteps.double() / longest
    if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):  # solvers take logarithms of what is left of the picture
        sigmas = sigmas.clamp(max=1 - NEXT_TO_NOTHING)
    scheduler.sigmas = torch.cat([sigmas, sigmas.new_zeros(1)]).float()


def begin_at(scheduler: Scheduler, index: int) -> int:
    """Makes step `index` the scheduler's next, and returns it; it then searches for none, which would make a GPU wait.

    A run that is to start in the middle of a step (Heun's correction, PNDM's second try) starts behind it, where that
    is at the same level. Raises UsageError where it is not.
    """
    if index < len(scheduler.timesteps) and _in_the_middle(scheduler, index):
        levels = noise_levels(scheduler)
        if runs_kutta(scheduler):
            raise UsageError(f"{called(scheduler)} begins with steps that others remember; it cannot begin at index "
                             f"{index}; use scheduler 'pndm', which leaves them out")  # fmt: skip
        if levels[index] != levels[index + 1]:
            raise UsageError(f"{called(scheduler)} cannot begin at index {index}, in the middle of a step; "
                             "begin at another, or use another scheduler")  # fmt: skip
        index += 1
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(index)
    spaced(scheduler, index)
    return index


def _in_the_middle(scheduler: Scheduler, index: int) -> bool:
    """Whether an evaluation of the model is not the first of its step."""
    if runs_kutta(scheduler):
        return index > 0
    if hasattr(scheduler, "ets"):
        return index == 1
    return index % int(getattr(scheduler, "order", 1)) > 0
