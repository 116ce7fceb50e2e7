"""Schedulers by name, and the noise levels of their steps."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import UnknownName, UsageError

if TYPE_CHECKING:
    import torch

PLAIN = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
SECOND = {"algorithm_type": "dpmsolver++", "solver_order": 2}
# name: (class of diffusers, what its configuration must say)
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpm++2m": ("DPMSolverMultistepScheduler", SECOND | PLAIN),
    "dpm++2m-karras": ("DPMSolverMultistepScheduler", SECOND | PLAIN | {"use_karras_sigmas": True}),
    "dpm++2m-sde": ("DPMSolverMultistepScheduler", SECOND | PLAIN | {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", PLAIN),
    "euler": ("EulerDiscreteScheduler", PLAIN),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", PLAIN),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", PLAIN),
    "lcm": ("LCMScheduler", {}),  # for models distilled to few steps, as is tcd
    "tcd": ("TCDScheduler", {}),
}
# the same for models that predict a flow; the others have no form for it
FLOW_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "dpm++2m": ("DPMSolverMultistepScheduler", SECOND | PLAIN | {"use_flow_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", PLAIN | {"use_flow_sigmas": True}),
}
LEARNED = {"learned", "learned_range"}
USES_LEARNED = {"DDPMScheduler"}  # the others draw no noise, or none of a variance of their own
NEXT_TO_NOTHING = 1e-6  # of the picture in what a solver starts from; UniPC's own
SPACING = {"timestep_spacing", "steps_offset"}
DYNAMIC = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")  # what a flow's shift for a size is of

Scheduler = Any  # diffusers' schedulers share a protocol, but no class that types it


def scheduler_for(own: Scheduler, name: str | None) -> Scheduler:
    """A fresh scheduler for one run: a copy of the model's own, or the one called `name` on its noise schedule.

    The copy is deep, never made from the configuration: pipelines mend their scheduler after it is loaded.
    Raises UnknownName for a name that is not in `SCHEDULERS`.
    """
    if name is None:
        return copy.deepcopy(own)
    if name not in SCHEDULERS:
        raise UnknownName("scheduler", name, SCHEDULERS)
    if prediction_of(own) == "flow_prediction":
        return _flow_scheduler(own, name)
    class_name, wanted = SCHEDULERS[name]
    if type(own).__name__ == class_name and all(own.config.get(k) == v for k, v in wanted.items()):
        return copy.deepcopy(own)
    from diffusers import schedulers as library  # here, so that the names can be read without torch

    scheduler_class = getattr(library, class_name)
    accepted = inspect.signature(scheduler_class.__init__).parameters
    config = _carried(own, class_name) | wanted
    return scheduler_class.from_config({k: v for k, v in config.items() if k in accepted})


def _flow_scheduler(own: Scheduler, name: str) -> Scheduler:
    """The scheduler called `name` for a flow, x = (1 - s) x0 + s eps, with the shift of the model's own."""
    if name not in FLOW_SCHEDULERS:
        known = ", ".join(FLOW_SCHEDULERS)
        raise UsageError(f"this model predicts a flow, which scheduler {name!r} cannot follow; use one of {known}")
    from diffusers import schedulers as library

    class_name, wanted = FLOW_SCHEDULERS[name]
    if type(own).__name__ == class_name and all(own.config.get(k) == v for k, v in wanted.items()):
        return copy.deepcopy(own)
    scheduler_class = getattr(library, class_name)
    if name == "dpm++2m" and own.config.get("use_dynamic_shifting") and own.config.get("time_shift_type") == "linear":
        raise UsageError("scheduler 'dpm++2m' has no shift by size of this model's kind; use one of euler, unipc")
    shift = float(own.config.get("shift", own.config.get("flow_shift", 1.0)))
    config = {**own.config, **wanted, "shift": shift, "flow_shift": shift, "prediction_type": "flow_prediction"}
    accepted = inspect.signature(scheduler_class.__init__).parameters
    scheduler = scheduler_class(**{k: v for k, v in config.items() if k in accepted})
    scheduler.register_to_config(**{k: own.config[k] for k in DYNAMIC if k in own.config})
    return scheduler


def _carried(own: Scheduler, class_name: str) -> dict[str, Any]:
    """What another class of scheduler takes over: the training schedule, and what was set for sampling.

    Where the steps fall is left to the class unless it was set, except on a cosine schedule: that ends so near to
    pure noise that solvers which start at its very end divide by nothing.
    """
    config = {"clip_sample": False, **own.config}
    if class_name not in USES_LEARNED and uses_learned_variance(own):
        config["variance_type"] = None
    if own.config.get("beta_schedule") == "squaredcos_cap_v2":
        return config
    unset = SPACING.intersection(own.config.get("_use_default_values", ()))
    return {k: v for k, v in config.items() if k not in unset}


def prediction_of(scheduler: Scheduler) -> str:
    """What the model predicts: "epsilon", "v_prediction", "sample" or "flow_prediction"."""
    return prediction_in({**scheduler.config, "_class_name": type(scheduler).__name__})


def prediction_in(config: Mapping[str, Any]) -> str:
    """What the model predicts, by the configuration of its scheduler, with the name of its class as `_class_name`."""
    flows = config.get("use_flow_sigmas") or "Flow" in str(config.get("_class_name"))
    return str(config.get("prediction_type", "flow_prediction" if flows else "epsilon"))


def uses_learned_variance(scheduler: Scheduler) -> bool:
    """Whether the scheduler is to be given the variance that the model predicts."""
    return scheduler.config.get("variance_type") in LEARNED


def _flows(scheduler: Scheduler) -> bool:
    return bool(scheduler.config.get("use_flow_sigmas")) or "Flow" in type(scheduler).__name__


def input_scaling(scheduler: Scheduler) -> Any:
    """The function of (latents, t) that gives the denoiser's input; flow schedulers have none and change nothing."""
    return getattr(scheduler, "scale_model_input", lambda x, t: x)


def first_spread(scheduler: Scheduler) -> float:
    """The spread of the noise that a run starts from; flow schedulers do not say theirs, which is their first sigma."""
    return float(getattr(scheduler, "init_noise_sigma", scheduler.sigmas[0] if hasattr(scheduler, "sigmas") else 1.0))


def set_steps(scheduler: Scheduler, steps: int, timesteps: list[int] | None = None, /, **how: Any) -> torch.Tensor:
    """Readies the scheduler for a run of `steps`, or of the given `timesteps`; returns them (n), on the CPU.

    how: what the model's family says of them beside their number, as `mu`, or instead, as `sigmas` and `timesteps`.
    They stay on the CPU, as the scheduler indexes its tables with them: on a GPU each step would wait.
    Raises UsageError for what the scheduler cannot be set to, or where that gives noise levels that are no numbers.
    """
    from numpy import errstate  # here, so that the names can be read without it

    longest = int(scheduler.config.num_train_timesteps)
    most = int(scheduler.config.get("original_inference_steps") or longest)  # those a model was distilled from
    if timesteps is None and not 1 <= steps <= most:
        of = "model" if most == longest else "scheduler"
        raise UsageError(f"steps must be between 1 and {most} for this {of}, got {steps}")
    if timesteps is None:
        counted = {} if how.keys() & {"sigmas", "timesteps"} else {"num_inference_steps": steps}
        with errstate(divide="ignore", invalid="ignore"):  # the levels are looked at below
            scheduler.set_timesteps(**counted, device="cpu", **how)
    else:
        _set_timesteps(scheduler, timesteps, longest)
    _check_levels(scheduler)
    begin_at(scheduler, 0)
    times: torch.Tensor = scheduler.timesteps
    return times


def _check_levels(scheduler: Scheduler) -> None:
    """Raises UsageError for levels that are no numbers; a schedule that is stretched between its ends has no one step.

    A network that is told such a level computes for nothing.
    """
    if all(math.isfinite(part) for level in noise_levels(scheduler) for part in level):
        return
    if (steps := len(scheduler.timesteps)) == 1:
        raise UsageError("this model's schedule needs at least 2 steps, got 1")
    name = type(scheduler).__name__
    raise UsageError(f"{name} gives no noise levels for {steps} steps; ask for other steps, or another scheduler")


def strided(scheduler: Scheduler, stride: int) -> list[int]:
    """Every `stride`-th training step from the top down: 990, 960, ..., 0 for 30 of 1000.

    Those of a flow are 1 to 1000, from all of the noise to next to none: 1000, 970, ..., 10.
    """
    longest = int(scheduler.config.num_train_timesteps)
    if not 1 <= stride < longest:
        raise UsageError(f"stride must be between 1 and {longest - 1} for this model, got {stride}")
    return list(range(longest, 0, -stride) if _flows(scheduler) else range(0, longest, stride)[::-1])


def _set_timesteps(scheduler: Scheduler, timesteps: list[int], longest: int) -> None:
    flows, name = _flows(scheduler), type(scheduler).__name__
    lowest, highest = (1, longest) if flows else (0, longest - 1)
    falling = all(a > b for a, b in pairwise(timesteps))
    if not timesteps or not falling or not lowest <= timesteps[-1] <= timesteps[0] <= highest:
        top = f"from at most {longest}" if flows else f"from below {longest}"
        raise UsageError(f"timesteps must fall, {top} to at least {lowest}, got {timesteps}")
    if flows:
        _set_flow(scheduler, timesteps, longest)
        return
    if "timesteps" not in inspect.signature(scheduler.set_timesteps).parameters:
        raise UsageError(f"{name} takes no timesteps of its own; use scheduler 'ddpm'")
    try:
        scheduler.set_timesteps(timesteps=timesteps, device="cpu")
    except ValueError as error:  # spacings such as Karras's leave no choice of timesteps
        raise UsageError(f"{name} takes no timesteps here: {error}") from error


def _set_flow(scheduler: Scheduler, timesteps: list[int], longest: int) -> None:
    """Sets both tables of a flow's scheduler: a level s is timestep s * longest, as the network was trained.

    The schedulers themselves would shift the levels and leave the timesteps, or take no timesteps at all.
    """
    import torch

    if type(scheduler).__name__ not in (class_name for class_name, _ in FLOW_SCHEDULERS.values()):
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

    A noise level that stands twice is the middle of one step (Heun's correction, PNDM's second try): a run that is
    to start there starts behind it, at the same level.
    """
    levels = noise_levels(scheduler)
    if index < len(scheduler.timesteps) and levels[index] == levels[index + 1]:
        index += 1
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(index)
    return index


def noise_levels(scheduler: Scheduler) -> list[tuple[float, float]]:
    """(alpha, sigma) before each step and after the last: n + 1 of them, in the scheduler's own scaling."""
    timesteps = scheduler.timesteps
    if hasattr(scheduler, "sigmas") and len(scheduler.sigmas) == len(timesteps) + 1:
        sigmas = [float(s) for s in scheduler.sigmas]
        if _flows(scheduler):
            return [(1 - s, s) for s in sigmas]
        if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
            return [(1 / (s * s + 1) ** 0.5, s / (s * s + 1) ** 0.5) for s in sigmas]
        return [(1.0, s) for s in sigmas]
    bars = [float(scheduler.alphas_cumprod[int(t)]) for t in timesteps]
    bars.append(_last_bar(scheduler))
    return [(bar**0.5, (1 - bar) ** 0.5) for bar in bars]


def _last_bar(scheduler: Scheduler) -> float:
    """alpha_bar after the last step: LCM ends in the clean picture, whatever its configuration says, TCD at t = 0."""
    if type(scheduler).__name__ == "LCMScheduler":
        return 1.0
    if type(scheduler).__name__ == "TCDScheduler":
        return float(scheduler.alphas_cumprod[0])
    return float(getattr(scheduler, "final_alpha_cumprod", 1.0))
