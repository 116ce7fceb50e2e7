"""The pure guiders of `diffusers.guiders` as variants of guidance: one thin adapter.

Sources: APG arXiv:2410.02416; CFG-Zero* arXiv:2503.18886; tangential arXiv:2503.18137; frequency-decoupled
arXiv:2506.19713; magnitude-aware arXiv:2508.03442.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.plugin import UsageError

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Estimate, Step

Variant = Literal["cfg", "apg", "cfg-zero", "tangential", "frequency", "magnitude"]

# variant: (class of diffusers.guiders, its arguments for a scale)
GUIDERS: dict[str, tuple[str, Callable[[float], dict[str, Any]]]] = {
    "apg": (
        "AdaptiveProjectedGuidance",  # with eta 1, its default there, nothing would be projected
        lambda scale: {"guidance_scale": scale - 1, "eta": 0.0, "use_original_formulation": True},
    ),
    "cfg-zero": ("ClassifierFreeZeroStarGuidance", lambda scale: {"guidance_scale": scale, "zero_init_steps": 0}),
    "tangential": ("TangentialClassifierFreeGuidance", lambda scale: {"guidance_scale": scale}),
    "frequency": ("FrequencyDecoupledGuidance", lambda scale: {"guidance_scales": [scale, (1 + scale) / 2]}),
    "magnitude": ("MagnitudeAwareGuidance", lambda scale: {"guidance_scale": scale}),
}
FLAT = {"magnitude"}  # of these, the norm over three axes fails in present torch; over two it is the same


def guided(variant: str, rule: Any, uncond: Estimate, cond: Estimate, step: Step) -> Estimate:
    """`cond` guided away from `uncond` (b c h w) by the guider of a variant; the variance stays cond's."""
    rule.set_state(step=step.index, num_inference_steps=len(step.run.timesteps), timestep=step.t)
    if variant in FLAT:
        return cond.map(lambda value: rule.forward(value.flatten(2), uncond.value.flatten(2)).pred.reshape(value.shape))
    return cond.map(lambda value: rule.forward(value, uncond.value).pred)


def guider(variant: str, scale: float) -> Any:
    """The guider of diffusers for a variant; at scale 1 each gives the conditional estimate.

    CFG-Zero*'s zero first step is left out: it is for flow models. Raises UsageError when a variant needs a library
    that is not installed.
    """
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
