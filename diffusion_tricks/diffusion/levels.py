"""The noise levels of a scheduler's steps, and what its model predicts there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusion_tricks.diffusion.followed import NO_LEVELS
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import UsageError

LEARNED = {"learned", "learned_range"}
EDM = {"epsilon": "edm", "v_prediction": "edm_v"}  # what EDM's schedulers call the sign of a network's output

Scheduler = Any  # diffusers' schedulers share a protocol, but no class that types it


def prediction_of(scheduler: Scheduler) -> str:
    """What the model predicts, as `Level` calls it."""
    return prediction_in({**scheduler.config, "_class_name": type(scheduler).__name__})


def prediction_in(config: Mapping[str, Any]) -> str:
    """What the model predicts, by the configuration of its scheduler, with the name of its class as `_class_name`."""
    name = str(config.get("_class_name"))
    flows = config.get("use_flow_sigmas") or "Flow" in name
    said = str(config.get("prediction_type", "flow_prediction" if flows else "epsilon"))
    return EDM.get(said, said) if name.startswith("EDM") else said


def uses_learned_variance(scheduler: Scheduler) -> bool:
    """Whether the scheduler is to be given the variance that the model predicts."""
    return scheduler.config.get("variance_type") in LEARNED


def flows(scheduler: Scheduler) -> bool:
    """Whether its levels are a flow's, x = (1 - s) x0 + s eps."""
    return bool(scheduler.config.get("use_flow_sigmas")) or "Flow" in type(scheduler).__name__


def levels_of(scheduler: Scheduler) -> list[Level]:
    """The level before each step and after the last: n + 1 of them."""
    prediction, spread = prediction_of(scheduler), float(scheduler.config.get("sigma_data", 0.5))
    return [Level(alpha, sigma, prediction, spread) for alpha, sigma in noise_levels(scheduler)]


def training_level(scheduler: Scheduler, t: int) -> Level:
    """The level of the training's timestep t, whatever steps a run makes: x_t = alpha x0 + sigma eps.

    t: 0 to T - 1 of a schedule that keeps alpha_bar, (sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t)); of a flow 0 to T,
    (1 - t / T, t / T). Raises UsageError for another t, and for a scheduler that counts no timesteps.
    """
    longest = int(scheduler.config.get("num_train_timesteps") or 0)
    flow = flows(scheduler)
    if not flow and not hasattr(scheduler, "alphas_cumprod"):
        raise UsageError(f"{type(scheduler).__name__} counts no timesteps: its noise is said by sigma alone")
    last = longest if flow else longest - 1
    if not 0 <= t <= last:
        raise UsageError(f"t must be between 0 and {last} for this model, got {t}")
    if flow:
        return Level(1 - t / longest, t / longest, prediction_of(scheduler))
    bar = float(scheduler.alphas_cumprod[t])
    return Level(bar**0.5, (1 - bar) ** 0.5, prediction_of(scheduler))


def noise_levels(scheduler: Scheduler) -> list[tuple[float, float]]:
    """(alpha, sigma) before each step and after the last: n + 1 of them, in the scheduler's own scaling.

    Raises UsageError for a scheduler that keeps no table of them.
    """
    sigmas = _sigmas(scheduler)
    if sigmas is not None and flows(scheduler):
        return [(1 - s, s) for s in sigmas]
    if sigmas is not None and hasattr(scheduler, "_sigma_to_alpha_sigma_t") and not preconditioned(scheduler):
        return [(1 / (s * s + 1) ** 0.5, s / (s * s + 1) ** 0.5) for s in sigmas]
    if sigmas is not None:
        return [(1.0, s) for s in sigmas]
    if not hasattr(scheduler, "alphas_cumprod"):
        raise UsageError(f"{type(scheduler).__name__} {NO_LEVELS}")
    bars = [float(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps]
    bars.append(_last_bar(scheduler))
    return [(bar**0.5, (1 - bar) ** 0.5) for bar in bars]


def preconditioned(scheduler: Scheduler) -> bool:
    """Whether its model's inputs and outputs are scaled as EDM's are: its latents are x0 + sigma eps all the same."""
    return hasattr(scheduler, "precondition_outputs")


def _sigmas(scheduler: Scheduler) -> list[float] | None:
    """The sigma before each step and after the last, where the scheduler keeps one for each."""
    count = len(scheduler.timesteps) + 1
    if not hasattr(scheduler, "sigmas") or len(scheduler.sigmas) < count:
        return None
    if hasattr(scheduler, "sigmas_interpol"):
        return _with_middles(scheduler, count)
    return [float(s) for s in scheduler.sigmas[:count]]  # Euler's in logarithms are one more


def _with_middles(scheduler: Scheduler, count: int) -> list[float]:
    """Those of KDPM2, which evaluates twice a step: the second time at a level in the middle, of a table of its own."""
    before = 1 if hasattr(scheduler, "sigmas_up") else 0  # the ancestral one keeps it beside the first evaluation
    middles = scheduler.sigmas_interpol
    return [float(middles[i - before] if i % 2 else scheduler.sigmas[i]) for i in range(count)]


def _last_bar(scheduler: Scheduler) -> float:
    """alpha_bar after the last step: LCM ends in the clean picture, whatever its configuration says, TCD at t = 0."""
    if type(scheduler).__name__ == "LCMScheduler":
        return 1.0
    if type(scheduler).__name__ == "TCDScheduler":
        return float(scheduler.alphas_cumprod[0])
    return float(getattr(scheduler, "final_alpha_cumprod", 1.0))
