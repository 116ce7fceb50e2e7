"""The pure guiders of `diffusers.guiders` as variants of guidance: one thin adapter.

Sources: APG arXiv:2410.02416; CFG-Zero* arXiv:2503.18886; tangential arXiv:2503.18137; frequency-decoupled
arXiv:2506.19713; magnitude-aware arXiv:2508.03442.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.errors import UsageError

if TYPE_CHECKING:
    from diffusion_tricks.ask import Estimate
    from diffusion_tricks.sampler import Step

Variant = Literal["cfg", "apg", "cfg-zero", "tangential", "frequency", "magnitude"]

# variant: (class of diffusers.guiders, its arguments for a scale)
GUIDERS: dict[str, tuple[str, Callable[[float], dict[str, Any]]]] = {
    "apg": ("AdaptiveProjectedGuidance", lambda scale: {"guidance_scale": scale}),
    "cfg-zero": ("ClassifierFreeZeroStarGuidance", lambda scale: {"guidance_scale": scale, "zero_init_steps": 0}),
    "tangential": ("TangentialClassifierFreeGuidance", lambda scale: {"guidance_scale": scale}),
    "frequency": ("FrequencyDecoupledGuidance", lambda scale: {"guidance_scales": [scale, (1 + scale) / 2]}),
    "magnitude": ("MagnitudeAwareGuidance", lambda scale: {"guidance_scale": scale}),
}


def guided(variant: str, scale: float, uncond: Estimate, cond: Estimate, step: Step, state: dict[str, Any]) -> Estimate:
    """`cond` guided away from `uncond` (b c h w) by the rule of a variant; the variance stays cond's.

    state: of this run, where the guider lives. CFG-Zero*'s zero first step is left out: it is for flow models.
    Raises UsageError when a variant needs a library that is not installed.
    """
    if "guider" not in state:
        state["guider"] = _made(variant, scale)
    guider = state["guider"]
    guider.set_state(step=step.index, num_inference_steps=len(step.run.timesteps), timestep=step.t)
    return cond.map(lambda value: guider.forward(value, uncond.value).pred)


def _made(variant: str, scale: float) -> Any:
    from diffusers import guiders
    from diffusers.utils import logging

    class_name, arguments = GUIDERS[variant]
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # each guider announces that its interface is experimental
    try:
        return getattr(guiders, class_name)(**arguments(scale))
    except ImportError as error:
        raise UsageError(
            f"guidance variant {variant!r} needs a library that is not installed ({error}); "
            "run: pip install 'diffusion-tricks[guiders]'"
        ) from error
    finally:
        logging.set_verbosity(level)
