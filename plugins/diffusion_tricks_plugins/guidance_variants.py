"""Rules that combine the estimates in another way: CFG++, Perp-Neg, Imagen's thresholding, the guiders of diffusers.

cfg++       x' = alpha' x0_scale + sigma' eps_uncond, of DDIM and Euler steps           arXiv:2406.08070, Algorithm 2
perp-neg    eps_uncond + scale (d - w (n - (n.d / d.d) d)),  d, n: directions of        arXiv:2304.04968
            the prompt and of the negative one
threshold   x0 clipped to s and divided by it, s = max(1, quantile of |x0|)             arXiv:2205.11487, section 2.3

The other variants are the pure guiders of `diffusers.guiders`, by one thin adapter.

Sources: APG arXiv:2410.02416; CFG-Zero* arXiv:2503.18886; tangential arXiv:2503.18137; frequency-decoupled
arXiv:2506.19713; magnitude-aware arXiv:2508.03442.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.plugin import UsageError

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Estimate, Run, Step

Variant = Literal["cfg", "cfg++", "perp-neg", "apg", "cfg-zero", "tangential", "frequency", "magnitude"]

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
TINY = 1e-12
FLAT = {"magnitude"}  # of these, the norm over three axes fails in present torch; over two it is the same


def renoised(step: Step) -> float:
    """How many times the scale of CFG++ is that of the guidance which makes the same step.

    From x0 = (x - sigma eps) / alpha the step of DDIM is x' = alpha' x0 + sigma' eps; where x0 is that of eps_uncond +
    scale d and the noise is eps_uncond, it is the step of eps_uncond + scale k d, with
    k = alpha' sigma / (alpha' sigma - alpha sigma').
    """
    now, then = step.level, step.next_level
    return then.alpha * now.sigma / (then.alpha * now.sigma - now.alpha * then.sigma)


def check_renoising(run: Run) -> None:
    """Raises UsageError for steps that do not each end in less noise than they begin with, as CFG++ renoises there."""
    snrs = [level.snr for level in run.levels]
    if run.substeps != 1 or any(then <= now for now, then in pairwise(snrs)):
        raise UsageError("guidance variant 'cfg++' needs a scheduler of one evaluation a step, each with less noise;"
                         " use `scheduler='ddim'` or 'euler'")  # fmt: skip


def perpendicular(towards: Estimate, negative: Estimate, weight: float) -> Estimate:
    """The direction `towards`, `weight` away from what of `negative` is at right angles to it, each picture alone."""
    d, n = towards.value, negative.value
    along = (n * d).sum((1, 2, 3), keepdim=True) / (d * d).sum((1, 2, 3), keepdim=True).clamp(min=TINY)
    return towards.map(lambda value: value - weight * (n - along * value))


def thresholded(estimate: Estimate, share: float) -> Estimate:
    """The estimate whose clean picture is clipped to that share of its values, and brought back into -1..1."""
    x0 = estimate.clean
    most = x0.abs().flatten(1).quantile(share, dim=1).clamp(min=1)[:, None, None, None]
    return estimate.with_clean(x0.clamp(-most, most) / most)


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
