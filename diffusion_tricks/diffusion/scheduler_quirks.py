"""Taking the steps of a scheduler: what it is given, what it counts wrong, and going back."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from diffusion_tricks.diffusion.levels import uses_learned_variance

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffusion_tricks.diffusion.estimate import Estimate
    from diffusion_tricks.diffusion.levels import Scheduler


class Spaced(int):
    """A number of steps of any spacing: `longest // steps`, by which DDIM finds the next timestep, is what it is there.

    gaps: from each timestep to the next, and from the last to below 0. at: the step that is made next.
    """

    gaps: tuple[int, ...] = ()
    at: int = 0

    @classmethod
    def over(cls, timesteps: Sequence[int], at: int = 0) -> Spaced:
        """The number of these timesteps, which fall."""
        return cls._of(tuple(a - b for a, b in pairwise([*timesteps, -1])), at)

    @classmethod
    def _of(cls, gaps: tuple[int, ...], at: int) -> Spaced:
        steps = cls(len(gaps))
        steps.gaps, steps.at = gaps, at
        return steps

    def next_at(self, index: int) -> Spaced:
        """The same number, before step `index`."""
        return self._of(self.gaps, index)

    def __rfloordiv__(self, longest: int) -> int:
        return self.gaps[self.at]


def spaced(scheduler: Scheduler, index: int) -> None:
    """Readies a scheduler whose timesteps were given for step `index`, if it has to be told how far the next one is."""
    steps = getattr(scheduler, "num_inference_steps", None)
    if isinstance(steps, Spaced) and index < len(steps.gaps):
        scheduler.num_inference_steps = steps.next_at(index)


def step_arguments(scheduler: Scheduler, generators: list[torch.Generator], taken: int) -> dict[str, Any]:
    """What `scheduler.step` is to be given beside the prediction, when `taken` steps of the run lie behind it.

    The generators, where it draws noise; and where it asks for an order, no more than the steps it can look back on:
    LMS takes its place in the schedule for that, which is wrong for a run that starts later.
    """
    kind: Any = type(scheduler)
    accepted = _parameters(kind)
    arguments: dict[str, Any] = {"generator": generators} if "generator" in accepted else {}
    if "order" in accepted:
        arguments["order"] = min(int(accepted["order"].default), taken + 1)
    return arguments


@cache
def _parameters(kind: Any) -> Mapping[str, inspect.Parameter]:
    """Of the `step` of a class of schedulers; looking them up takes as long as many a step."""
    return inspect.signature(kind.step).parameters


def output_for(scheduler: Scheduler, estimate: Estimate) -> Tensor:
    """What the scheduler is given (b c' h w): the prediction, with the variance where it uses a learned one."""
    import torch  # here, as this file is read without it

    if estimate.variance is None or not uses_learned_variance(scheduler):
        return estimate.value
    return torch.cat([estimate.value, estimate.variance], dim=1)


def send_what_it_draws(scheduler: Scheduler) -> None:
    """Lets a scheduler send the noise that it draws on the CPU to CUDA as `sent` does: left alone, each step waits.

    Its `step` becomes, on the instance, the same code with another `randn_tensor`, which draws the same.
    """
    from diffusion_tricks.devices.transfer import sent  # here, as it needs torch

    step = type(scheduler).step
    own = getattr(step, "__globals__", {}).get("randn_tensor")
    if own is None:
        return

    def drawn(
        shape: Sequence[int], generator: Any = None, device: Any = None, dtype: Any = None, layout: Any = None
    ) -> torch.Tensor:
        here = "cpu" if generator else device
        noise: torch.Tensor = own(shape, generator=generator, device=here, dtype=dtype, layout=layout)
        return sent(noise, device) if device else noise

    again = FunctionType(step.__code__, step.__globals__ | {"randn_tensor": drawn}, closure=step.__closure__)
    again.__defaults__, again.__kwdefaults__ = step.__defaults__, step.__kwdefaults__
    scheduler.step = MethodType(again, scheduler)


def mend_tables(scheduler: Scheduler) -> None:
    """Sets right what rounding makes of a scheduler's noise levels; without need, none of them changes by a bit.

    Euler's ancestral steps take the root of  sigma_down^2 = sigma_to^2 - sigma_up^2 = sigma_to^4 / sigma_from^2,
    which in float32 may be rounded below 0 where sigma falls far in one step. In float64 it is not.
    """
    if type(scheduler).__name__ != "EulerAncestralDiscreteScheduler":
        return
    before, after = scheduler.sigmas[:-1], scheduler.sigmas[1:]
    up = (after**2 * (before**2 - after**2) / before**2) ** 0.5
    if bool((after**2 - up**2 < 0).any()):  # on the CPU
        scheduler.sigmas = scheduler.sigmas.double()


def remember_coefficients(scheduler: Scheduler) -> None:
    """Lets LMS integrate each of its coefficients once, for a run and its rehearsal: it takes as long as a step."""
    if hasattr(scheduler, "get_lms_coefficient"):
        scheduler.get_lms_coefficient = cache(MethodType(type(scheduler).get_lms_coefficient, scheduler))


def runs_kutta(scheduler: Scheduler) -> bool:
    """Whether PNDM begins with the four steps of Runge and Kutta, each of which asks the model four times."""
    return scheduler.config.get("skip_prk_steps") is False


def for_recording(scheduler: Scheduler) -> Scheduler:
    """A copy of a pipeline's scheduler, for a call of few steps of which only what comes before the first counts."""
    copied = copy.deepcopy(scheduler)
    if runs_kutta(copied):
        copied.register_to_config(skip_prk_steps=True)
    return copied


def stepped(scheduler: Scheduler, index: int) -> None:
    """Sets right, after step `index`, what a scheduler counts wrong.

    PNDM makes the second step of its schedule twice, and counts on that wherever a run starts. DDIM counts its
    timesteps evenly spaced.
    """
    if hasattr(scheduler, "ets") and scheduler.counter == 1 and index > 0:
        scheduler.counter = 2
    spaced(scheduler, index + 1)


def snapshot(scheduler: Scheduler) -> dict[str, Any]:
    """The scheduler's state before a step, to go back to when the step is repeated."""
    return {k: list(v) if isinstance(v, list) else v for k, v in scheduler.__dict__.items()}


def restore(scheduler: Scheduler, state: dict[str, Any]) -> None:
    """Sets the state that `snapshot` took."""
    scheduler.__dict__.update({k: list(v) if isinstance(v, list) else v for k, v in state.items()})
