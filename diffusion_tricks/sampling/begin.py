"""A run that is ready to go: what was asked, checked against the model, and the stages that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.levels import Scheduler
from diffusion_tricks.diffusion.noise import Noise
from diffusion_tricks.diffusion.scheduler_quirks import send_what_it_draws
from diffusion_tricks.diffusion.schedulers import lost_in_exchange, scheduler_for
from diffusion_tricks.diffusion.steps import input_scaling, set_steps, strided
from diffusion_tricks.errors import UsageError
from diffusion_tricks.model.batching import Terms
from diffusion_tricks.model.cascade import nothing_upscaled, stages
from diffusion_tricks.model.model import Model
from diffusion_tricks.registry.function import trick_from
from diffusion_tricks.registry.trick import Trick, spanned
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.tricks import run_manager
from diffusion_tricks.types import Size

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.registry.function import TrickLike


def begin(
    model: Model, sampling: Sampling | None = None, tricks: Sequence[TrickLike] = (), *, rehearsal: bool = False
) -> Run:  # fmt: skip
    """A run that is ready to go: scheduler set, size checked, prompts not yet encoded.

    tricks: outermost first, as for `sample`. rehearsal: see `Run`. For a size that takes several stages, the run of the
    next one is its `following`.
    Raises UsageError for what is no model or no trick, for what the model cannot do, and for two tricks in one place;
    UnknownName for a scheduler that there is not; ModelError for an upscaler that cannot be loaded; and PluginError for
    a trick with a hook that there is not.
    """
    sampling = sampling or Sampling()
    check_model(model)
    tricks = _tricks(tricks)
    asked = sampling.size or model.family.size
    with alone_with(model.pipe):  # an upscaler may be loaded now
        (_, size), *later = stages(model, (asked[0], asked[1]), sampling.noise_level, spanned(tricks))
    _check_told(model, sampling, size, upscaled=bool(later))
    noise = Noise(sampling.every_seed)

    def stage(model: Model, size: Size, how: Sampling, previous: Run | None = None) -> Run:
        scheduler, times = _schedule(model, size, how)
        terms = Terms(size, input_scaling(scheduler), sampling.max_rows, how.distilled_guidance)
        run = Run(
            model, sampling.prompts, noise, terms, scheduler, times, tricks, run_manager(tricks),
            rehearsal=rehearsal, previous=previous,
        )  # fmt: skip
        _note_lost(run)
        return run

    run = last = stage(model, size, sampling)
    upscaled = Sampling(scheduler=sampling.upscale_scheduler, steps=sampling.upscale_steps)
    for upscaler, larger in later:
        last.following = stage(upscaler, larger, upscaled, last)
        last = last.following
    return run


def check_model(model: Any) -> None:
    """Raises UsageError for what is no model."""
    if isinstance(model, Model):
        return
    named = isinstance(model, str)
    came = f"{model!r}; give load_model({model!r})" if named else f"a {type(model).__name__}; give what that returns"
    raise UsageError(f"expected a model, as load_model gives it, got {came}")


def _tricks(said: Any) -> tuple[Trick[Any], ...]:
    """The tricks that objects, names and functions stand for. Raises UsageError for what stands for none."""
    listed = isinstance(said, Sequence) and not isinstance(said, str)
    made = [trick_from(one) for one in said] if listed else []
    wrong = [f"{_kind(one)} in it" for one, trick in zip(said, made, strict=True) if trick is None] if listed else []
    if wrong or not listed:
        came = wrong[0] if wrong else _kind(said)
        raise UsageError(f"tricks must be a list of tricks, as in [Guidance(scale=7)], got {came}")
    return tuple(trick for trick in made if trick is not None)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _listed(timesteps: Sequence[int] | None) -> list[int] | None:
    return None if timesteps is None else list(timesteps)


def _check_told(model: Model, sampling: Sampling, size: Size, upscaled: bool) -> None:
    """Raises UsageError for settings that nothing in the run would heed."""
    if sampling.distilled_guidance is not None and not model.family.shape.distilled:
        raise UsageError(f"{model.name!r} takes no distilled guidance as an input; use guidance instead")
    later = (sampling.upscale_steps, sampling.upscale_scheduler, sampling.noise_level)
    if not upscaled and later != (None, None, None):
        raise nothing_upscaled(size)


def _schedule(model: Model, size: Size, sampling: Sampling) -> tuple[Scheduler, Tensor]:
    """A scheduler for one run of a model, and its timesteps (n), on the CPU."""
    with alone_with(model.pipe):
        return _scheduled(model, size, sampling)


def _scheduled(model: Model, size: Size, sampling: Sampling) -> tuple[Scheduler, Tensor]:
    scheduler = scheduler_for(model.pipe.scheduler, sampling.scheduler or model.defaults.scheduler)
    if model.device.type == "cuda":
        send_what_it_draws(scheduler)
    timesteps = _listed(sampling.timesteps) if sampling.stride is None else strided(scheduler, sampling.stride)
    steps = model.defaults.steps if sampling.steps is None else sampling.steps
    family = model.family
    if family.schedule_reads:
        model.encode_prompts([None], size)
    how = {} if timesteps is not None else family.schedule(family.shape, scheduler, steps, size)
    return scheduler, set_steps(scheduler, steps, timesteps, **how)


def _note_lost(run: Run) -> None:
    """Notes of every picture what the scheduler that was chosen leaves out."""
    if lost := lost_in_exchange(run.model.pipe.scheduler, run.scheduler):
        for facts in run.facts:
            facts["notes"] = [*facts.get("notes", ()), lost]
