"""Schedulers by name, each on the noise schedule that a model was trained on."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from diffusion_tricks.diffusion.levels import Scheduler, preconditioned, prediction_of, uses_learned_variance
from diffusion_tricks.errors import PluginError, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.host_hooks import hookimpl
from diffusion_tricks.hosting.registration import found_at

if TYPE_CHECKING:
    from torch import Tensor

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
Row = tuple[str, dict[str, Any]]  # where a class is, and what its configuration must say
USES_LEARNED = {"DDPMScheduler"}  # the others draw no noise, or none of a variance of their own
TINIEST = 2.0**-24  # what alpha_bar is at least, for those that divide by it; diffusers' own, for Euler's
SAME = 1e-6  # alpha_bar, but for rounding and for that
SPACING = {"timestep_spacing", "steps_offset"}
DYNAMIC = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")  # what a flow's shift for a size is of


@hookimpl
def register_schedulers(register: Callable[..., None]) -> None:
    """Those that the core knows."""
    for name, (target, settings) in SCHEDULERS.items():
        register(name, target, settings=settings, flow=FLOW_SCHEDULERS.get(name))


def schedulers(flow: bool = False) -> dict[str, Row]:
    """Every scheduler by name, those of plugins too; for models that predict a flow, if `flow`."""
    entries = host().entries("scheduler").values()
    if not flow:
        return {e.name: (e.target, e.notes.get("settings") or {}) for e in entries if e.notes.get("noise", True)}
    return {e.name: (e.notes["flow"][0], e.notes["flow"][1]) for e in entries if e.notes.get("flow")}


def class_at(target: str) -> Any:
    """The class of a scheduler: of diffusers by its name, or `module:Class`. Raises PluginError where there is none."""
    from diffusers import schedulers as library  # here, so that the names can be read without torch

    try:
        return found_at(target) if ":" in target else getattr(library, target)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"there is no scheduler {target!r}: {error}; expected a class of diffusers, or module:Class"
        ) from error


def _is(scheduler: Scheduler, row: Row) -> bool:
    """Whether a scheduler is of the class and has the settings of a row."""
    kind, (target, wanted) = type(scheduler), row
    named = f"{kind.__module__}:{kind.__name__}" if ":" in target else kind.__name__
    return named == target and all(scheduler.config.get(key) == value for key, value in wanted.items())


def named(scheduler: Scheduler) -> str | None:
    """The name that a scheduler goes by here, or None."""
    rows = schedulers(prediction_of(scheduler) == "flow_prediction").items()
    return next((name for name, row in rows if _is(scheduler, row)), None)


def scheduler_for(own: Scheduler, name: str | None) -> Scheduler:
    """A fresh scheduler for one run: a copy of the model's own, or the one called `name` on its noise schedule.

    The copy is deep, never made from the configuration: pipelines mend their scheduler after it is loaded.
    Raises UnknownName for a name that there is not, and UsageError for one that the model cannot be run with.
    """
    if name is None:
        return copy.deepcopy(own)
    host().find("scheduler", name)
    if preconditioned(own):
        raise UsageError(f"this model was trained with EDM's scaling, which only its own {type(own).__name__} follows; "
                         f"leave out scheduler {name!r}")  # fmt: skip
    if prediction_of(own) == "flow_prediction":
        return _flow_scheduler(own, name)
    known = schedulers()
    if name not in known:
        raise UsageError(f"scheduler {name!r} is for models that predict a flow; use one of {', '.join(known)}")
    if _is(own, known[name]):
        return copy.deepcopy(own)
    target, wanted = known[name]
    scheduler_class = class_at(target)
    class_name = scheduler_class.__name__
    accepted = inspect.signature(scheduler_class.__init__).parameters
    config = {k: v for k, v in (_carried(own, class_name) | wanted | _ending(own)).items() if k in accepted}
    return _with_training_of(own, lambda **betas: scheduler_class.from_config(config | betas))


def lost_in_exchange(own: Scheduler, chosen: Scheduler) -> str | None:
    """What a model's own scheduler does to its pictures that the one in its place does not, in a sentence; or None."""
    if own.config.get("thresholding") and not chosen.config.get("thresholding"):
        kind = type(chosen).__name__
        return f"{kind} has no thresholding, with which this model's own scheduler holds values in their range"
    return None


def _ending(own: Scheduler) -> dict[str, Any]:
    """A last step of a lower order where it ends in no noise at all, of which UniPC takes the logarithm otherwise."""
    return {"lower_order_final": True} if own.config.get("final_sigmas_type", "zero") == "zero" else {}


def _with_training_of(own: Scheduler, make: Callable[..., Scheduler]) -> Scheduler:
    """A scheduler by `make(trained_betas=...)`, on the training schedule of `own` whatever its class makes of options.

    Some classes know no rescaling to zero terminal SNR, none but one the shift of CogVideoX. Where alpha_bar is 0,
    which only some of them can begin with, it is next to that, as in diffusers' own.
    """
    made = make()
    if not hasattr(own, "alphas_cumprod"):
        raise UsageError(f"{type(own).__name__} says nothing of how its model was trained, so no other scheduler can "
                         "take its place; leave it out")  # fmt: skip
    if _same(made.alphas_cumprod, own.alphas_cumprod):
        return made
    bars = own.alphas_cumprod.double().clamp(min=TINIEST)
    betas = 1 - bars / bars.roll(1)
    betas[0] = 1 - bars[0]
    made = make(trained_betas=betas.tolist())
    made.alphas_cumprod = bars.to(made.alphas_cumprod)  # as they are, not as they come out of a product of a thousand
    return made


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) < SAME


def _flow_scheduler(own: Scheduler, name: str) -> Scheduler:
    """The scheduler called `name` for a flow, x = (1 - s) x0 + s eps, with the shift of the model's own."""
    rows = schedulers(flow=True)
    if name not in rows:
        known = ", ".join(rows)
        raise UsageError(f"this model predicts a flow, which scheduler {name!r} cannot follow; use one of {known}")
    if _is(own, rows[name]):
        return copy.deepcopy(own)
    target, wanted = rows[name]
    scheduler_class = class_at(target)
    if name == "dpm++2m" and own.config.get("use_dynamic_shifting") and own.config.get("time_shift_type") == "linear":
        raise UsageError("scheduler 'dpm++2m' has no shift by size of this model's kind; use one of euler, unipc")
    shift = float(own.config.get("shift", own.config.get("flow_shift", 1.0)))
    config = {
        **own.config,
        **wanted,
        **_ending(own),
        "shift": shift,
        "flow_shift": shift,
        "prediction_type": "flow_prediction",
    }
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
