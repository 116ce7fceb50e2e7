"""Which schedulers of diffusers a run can follow step by step, and why not the others. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Those whose noise levels are known at each of their steps, and whose steps need no more than a prediction.
FOLLOWED = (
    "CogVideoXDDIMScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler",
    "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
    "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler",
    "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
)  # fmt: skip

NO_LEVELS = "keeps no noise levels that tricks could follow"
TOKENS = "chooses tokens, and takes no noise away"
INVERTS = "goes from a picture to its noise"
ANOTHER_TIME = "asks its model about two times at once"
FOR_FILMS = "is made for films, and was never tried with pictures"
UNSEEDED = "draws noise that no picture's seed decides"
NOT_FOLLOWED: dict[str, str] = {
    "AmusedScheduler": TOKENS,
    "BlockRefinementScheduler": TOKENS,
    "CMStochasticIterativeScheduler": "follows a prediction of its own kind, that of consistency models",
    "CogVideoXDPMScheduler": "wants the estimates of earlier steps back",
    "ConsistencyDecoderScheduler": NO_LEVELS,
    "CosineDPMSolverMultistepScheduler": UNSEEDED,
    "DDIMInverseScheduler": INVERTS,
    "DDPMWuerstchenScheduler": NO_LEVELS,
    "DPMSolverMultistepInverseScheduler": INVERTS,
    "DPMSolverSDEScheduler": UNSEEDED,
    "DiscreteDDIMScheduler": TOKENS,
    "EntropyBoundScheduler": TOKENS,
    "FlowMapEulerDiscreteScheduler": ANOTHER_TIME,
    "HeliosDMDScheduler": FOR_FILMS,
    "HeliosScheduler": FOR_FILMS,
    "IPNDMScheduler": NO_LEVELS,
    "KarrasVeScheduler": NO_LEVELS,
    "LTXEulerAncestralRFScheduler": FOR_FILMS,
    "MiniMaxH3Scheduler": FOR_FILMS,
    "PiflowScheduler": "follows predictions of its own kind, policies",
    "RFD4ProteinaScheduler": "is made for proteins",
    "RePaintScheduler": "needs a picture and a mask in each of its steps",
    "SCMScheduler": NO_LEVELS,
    "ScoreSdeVeScheduler": NO_LEVELS,
    "ScoreSdeVpScheduler": NO_LEVELS,
    "UnCLIPScheduler": "must be told in each step which follows",
    "VQDiffusionScheduler": TOKENS,
}
ADVICE = {"SCMScheduler": "take the model that it was distilled from"}  # no other scheduler will do


def not_followed(config: Mapping[str, Any]) -> str | None:
    """Why the steps of a scheduler of that configuration cannot be followed, or None.

    config: with the name of its class as `_class_name`; a class that diffusers does not have is tried.
    """
    name = str(config.get("_class_name"))
    if why := NOT_FOLLOWED.get(name):
        return f"its {name} {why}; {ADVICE.get(name, 'give the model another, such as DDIMScheduler')}"
    if config.get("invert_sigmas"):
        return f"its {name} counts its noise backwards (invert_sigmas), which tricks cannot follow"
    if config.get("scale_factors"):
        return f"its {name} changes the size of the picture between its steps (scale_factors)"
    return None
