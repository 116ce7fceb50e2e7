"""Schedulers by name, and the noise levels of their steps."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import UnknownName, UsageError

if TYPE_CHECKING:
    import torch

# name: (class of diffusers, what its configuration must say)
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpm++2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpm++2m-karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    ),
    "dpm++2m-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
}
# A variance that was learned cannot be used by the deterministic solvers; they draw none.
STOCHASTIC = {"DDPMScheduler"}

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
    class_name, wanted = SCHEDULERS[name]
    if type(own).__name__ == class_name and all(own.config.get(k) == v for k, v in wanted.items()):
        return copy.deepcopy(own)
    config = {**own.config, **wanted}
    if class_name not in STOCHASTIC and str(config.get("variance_type")).startswith("learned"):
        config["variance_type"] = None
    if "use_karras_sigmas" not in wanted:
        config["use_karras_sigmas"] = False
    from diffusers import schedulers as library  # here, so that the names cost no torch

    scheduler_class = getattr(library, class_name)
    accepted = inspect.signature(scheduler_class.__init__).parameters
    return scheduler_class.from_config({k: v for k, v in config.items() if k in accepted})


def set_steps(scheduler: Scheduler, steps: int, timesteps: list[int] | None = None) -> torch.Tensor:
    """Readies the scheduler for a run of `steps`, or of the given `timesteps`; returns them (n), on the CPU.

    They stay on the CPU, as the scheduler indexes its tables with them: on a GPU each step would wait.
    """
    longest = int(scheduler.config.num_train_timesteps)
    if timesteps is None and not 1 <= steps <= longest:
        raise UsageError(f"steps must be between 1 and {longest} for this model, got {steps}")
    if timesteps is None:
        scheduler.set_timesteps(steps, device="cpu")
    elif "timesteps" in inspect.signature(scheduler.set_timesteps).parameters:
        scheduler.set_timesteps(timesteps=timesteps, device="cpu")
    else:
        raise UsageError(f"{type(scheduler).__name__} takes no timesteps of its own; use scheduler 'ddpm'")
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    return scheduler.timesteps


def noise_levels(scheduler: Scheduler) -> list[tuple[float, float]]:
    """(alpha, sigma) before each step and after the last: n + 1 of them, in the scheduler's own scaling."""
    timesteps = scheduler.timesteps
    if hasattr(scheduler, "sigmas") and len(scheduler.sigmas) == len(timesteps) + 1:
        sigmas = [float(s) for s in scheduler.sigmas]
        if scheduler.config.get("use_flow_sigmas") or "Flow" in type(scheduler).__name__:
            return [(1 - s, s) for s in sigmas]
        if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
            return [(1 / (s * s + 1) ** 0.5, s / (s * s + 1) ** 0.5) for s in sigmas]
        return [(1.0, s) for s in sigmas]
    bars = [float(scheduler.alphas_cumprod[int(t)]) for t in timesteps]
    bars.append(float(getattr(scheduler, "final_alpha_cumprod", 1.0)))
    return [(bar**0.5, (1 - bar) ** 0.5) for bar in bars]


def step_arguments(scheduler: Scheduler, generators: list[torch.Generator]) -> dict[str, Any]:
    """What `scheduler.step` is to be given beside the prediction: the generators, where it draws noise."""
    accepted = inspect.signature(scheduler.step).parameters
    return {"generator": generators} if "generator" in accepted else {}


def snapshot(scheduler: Scheduler) -> dict[str, Any]:
    """The scheduler's state before a step, to go back to when the step is repeated."""
    return {k: list(v) if isinstance(v, list) else v for k, v in scheduler.__dict__.items()}


def restore(scheduler: Scheduler, state: dict[str, Any]) -> None:
    """Sets the state that `snapshot` took."""
    scheduler.__dict__.update({k: list(v) if isinstance(v, list) else v for k, v in state.items()})
