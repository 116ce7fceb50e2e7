"""Before a run, its scheduler makes all of its steps once, on one number: what is NaN there is of its own making."""

from __future__ import annotations

import copy

from diffusion_tricks.diffusion.levels import Scheduler, prediction_of, uses_learned_variance
from diffusion_tricks.diffusion.scheduler_quirks import step_arguments, stepped
from diffusion_tricks.diffusion.schedulers import named
from diffusion_tricks.errors import UsageError


def rehearse(scheduler: Scheduler) -> None:
    """Makes every step of a scheduler that is set, on a copy of it and a prediction of 1.

    Raises UsageError where that fails, or gives values that are no numbers; it names the scheduler.
    """
    import torch  # here, so that the names of schedulers can be read without it

    copied, generators = copy.deepcopy(scheduler), [torch.Generator().manual_seed(0)]
    vars(copied).pop("step", None)  # nothing is sent to a GPU here
    x = torch.ones(1, 1, 1, 1)
    output = torch.ones(1, 2 if uses_learned_variance(copied) else 1, 1, 1)
    scaled = getattr(copied, "scale_model_input", None)
    try:
        for index, t in enumerate(copied.timesteps):
            if scaled is not None:
                scaled(x, t)
            arguments = step_arguments(copied, generators, taken=index)
            x = copied.step(output, t, x, **arguments, return_dict=False)[0]
            stepped(copied, index)
    except Exception as error:  # of whatever kind diffusers' schedulers raise for settings that they cannot follow
        raise UsageError(f"{called(scheduler)} cannot make these steps: {error}; {instead_of(scheduler)}") from error
    if not bool(torch.isfinite(x).all()):
        steps = getattr(copied, "num_inference_steps", None) or len(copied.timesteps)
        raise UsageError(
            f"{called(scheduler)} gives values that are no numbers (NaN) in {steps} steps; {instead_of(scheduler)}"
        )


def instead_of(scheduler: Scheduler) -> str:
    """What to do about a scheduler that cannot make its steps, with the name of one that can."""
    if "EDM" in type(scheduler).__name__:  # whose models follow no other
        return "ask for another number of steps"
    names = ("euler", "unipc") if prediction_of(scheduler) == "flow_prediction" else ("ddim", "euler")
    other = next(name for name in names if repr(name) not in called(scheduler))
    return f"ask for another number of steps, or for another scheduler, as `scheduler={other!r}`"


def called(scheduler: Scheduler) -> str:
    """What a scheduler is called: by us, where it has a name here, and by diffusers."""
    kind, name = type(scheduler).__name__, named(scheduler)
    return f"scheduler {name!r} ({kind})" if name else kind
