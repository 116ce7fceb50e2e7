"""The denoising loop, the only one: a generator of `Step`s that tricks shape and callers watch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.devices.compile import sent
from diffusion_tricks.devices.memory import Work, persisting
from diffusion_tricks.devices.rungs import STEP
from diffusion_tricks.diffusion.ask import Ask, Estimate, Layer, resolve
from diffusion_tricks.diffusion.conditioning import all_new
from diffusion_tricks.diffusion.noise import Noise
from diffusion_tricks.diffusion.scheduler_quirks import restore, send_what_it_draws, snapshot, step_arguments, stepped
from diffusion_tricks.diffusion.schedulers import (
    Scheduler,
    begin_at,
    first_spread,
    input_scaling,
    scheduler_for,
    set_steps,
    strided,
    uses_learned_variance,
)
from diffusion_tricks.errors import PluginError, UsageError
from diffusion_tricks.model.batching import Terms
from diffusion_tricks.model.cascade import nothing_upscaled, stages, take_over
from diffusion_tricks.model.model import Model
from diffusion_tricks.registry.calls import Call, calls
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.retry import checkpoint
from diffusion_tricks.sampling.run import Run, Start, Step
from diffusion_tricks.types import Size


def begin(
    model: Model,
    *,
    prompt: str | Sequence[str | None] | None = None,
    tricks: Sequence[Trick[Any]] = (),
    seed: int = 0,
    count: int | None = None,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    timesteps: list[int] | None = None,
    stride: int | None = None,
    scheduler: str | None = None,
    size: Size | None = None,
    upscale_steps: int | None = None,
    upscale_scheduler: str | None = None,
    noise_level: int | None = None,
    distilled_guidance: float | None = None,
    max_rows: int | None = None,
) -> Run:
    """A run that is ready to go: scheduler set, size checked, prompts not yet encoded. See `sample`.

    For a size that takes several stages, the run of the next one is its `following`.
    """
    own = prompt if prompt is None or isinstance(prompt, str) else tuple(prompt)
    count = count if count is not None else len(own) if isinstance(own, tuple) else 1
    seeds = list(seeds) if seeds is not None else [seed + i for i in range(count)]
    if not seeds:
        raise UsageError(f"count must be at least 1, got {min(count, 0)}")
    if max_rows is not None and max_rows < 1:
        raise UsageError(f"max_rows must be at least 1, got {max_rows}")
    if isinstance(own, tuple) and len(own) != len(seeds):
        raise UsageError(f"expected one prompt, or one for each of {len(seeds)} pictures, got {len(own)}")
    (_, first), *later = stages(model, size or model.family.size, noise_level)
    if distilled_guidance is not None and not model.family.shape.distilled:
        raise UsageError(f"{model.name!r} takes no distilled guidance as an input; use guidance instead")
    if not later and (upscale_steps, upscale_scheduler, noise_level) != (None, None, None):
        raise nothing_upscaled(first)
    chosen, times = _schedule(model, first, scheduler, steps, timesteps, stride)
    terms = Terms(first, input_scaling(chosen), max_rows, distilled_guidance)
    run = last = Run(model, own, Noise(seeds), terms, chosen, times, tuple(tricks))
    for upscaler, larger in later:
        chosen, times = _schedule(upscaler, larger, upscale_scheduler, upscale_steps)
        terms = Terms(larger, input_scaling(chosen), max_rows)
        last.following = Run(upscaler, run.prompt, run.noise, terms, chosen, times, run.tricks, previous=last)
        last = last.following
    return run


def _schedule(
    model: Model, size: Size, name: str | None, steps: int | None, timesteps: list[int] | None = None,
    stride: int | None = None,
) -> tuple[Scheduler, Tensor]:  # fmt: skip
    """A scheduler for one run of a model, and its timesteps."""
    scheduler = scheduler_for(model.pipe.scheduler, name or model.defaults.scheduler)
    if model.device.type == "cuda":
        send_what_it_draws(scheduler)
    if stride is not None:
        timesteps = strided(scheduler, stride)
    steps = model.defaults.steps if steps is None else steps
    family = model.family
    if family.schedule_reads:
        model.encode_prompts([None], size)
    how = {} if timesteps is not None else family.schedule(family.shape, scheduler, steps, size)
    return scheduler, set_steps(scheduler, steps, timesteps, **how)


def sample(
    model: Model,
    *,
    prompt: str | Sequence[str | None] | None = None,
    tricks: Sequence[Trick[Any]] = (),
    seed: int = 0,
    count: int | None = None,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    timesteps: list[int] | None = None,
    stride: int | None = None,
    scheduler: str | None = None,
    size: Size | None = None,
    latents: Tensor | None = None,
    upscale_steps: int | None = None,
    upscale_scheduler: str | None = None,
    noise_level: int | None = None,
    distilled_guidance: float | None = None,
    max_rows: int | None = None,
) -> Iterator[Step]:
    """Denoises, and yields every `Step` as it is made.

        for step in sample(model, prompt="a rabbit", tricks=[Guidance(scale=7)], seed=0, steps=20):
            step.estimate.clean        # the model's present idea of the picture

    prompt: one text, one per picture, or None, the unconditional. tricks: outermost first. seed: of picture 0;
    picture i has seed + i. count: pictures, or `seeds`, one each. steps: of the schedule; `timesteps` sets them one
    by one, `stride` every so many of the training's, down to 0. scheduler: a name of `SCHEDULERS`, or None, the
    model's own. size: (width, height); one that is larger than a model makes by itself is made in stages
    (`Step.stage`), the later ones by upscalers, for which `upscale_steps` and `upscale_scheduler` are, and
    `noise_level`, a timestep: how noisy each sees the picture of the one before. latents: standard normal starting
    noise (b c h w) instead of the seeds'. distilled_guidance: the scale that a guidance-distilled model takes as an
    input, which is another thing than the trick; None is its default. max_rows: rows in one call of the denoiser.
    Raises UsageError, ModelError, PluginError, OutOfMemory.
    """
    if latents is not None and count is None:
        count = len(latents)
    run = begin(
        model, prompt=prompt, tricks=tricks, seed=seed, count=count, seeds=seeds, steps=steps, timesteps=timesteps,
        stride=stride, scheduler=scheduler, size=size, upscale_steps=upscale_steps,
        upscale_scheduler=upscale_scheduler, noise_level=noise_level, distilled_guidance=distilled_guidance,
        max_rows=max_rows,
    )  # fmt: skip
    return denoise(run, latents)


def denoise(run: Run, latents: Tensor | None = None) -> Generator[Step]:
    """The loop over a run that `begin` made, and over the stage that follows it."""
    for stage in run.stages:
        stage.source = stage.previous.source if stage.previous else stage.source
        for call in calls(stage.hook.prepare):
            call(run=stage)
    for stage in run.stages:
        with _closing(stage):
            yield from _denoise(stage, latents)


@contextmanager
def _closing(run: Run) -> Iterator[None]:
    """Lets every trick undo what it did to the model; a failure in that never hides the one that ended the run."""
    ended: BaseException | None = None
    try:
        yield
    except BaseException as error:
        ended = error
        raise
    finally:
        with suppress(Exception) if ended else nullcontext(), ExitStack() as closing:
            for call in calls(run.hook.close):
                closing.callback(call, run=run)


def _denoise(run: Run, latents: Tensor | None) -> Iterator[Step]:
    """The loop over one stage; latents: the noise that the first one starts from."""
    rows = run.model.encode_prompts(run.prompts(), run.size, run.terms.distilled)
    if run.previous is not None:
        start = _from_noise(run, take_over(run, next(iter(rows.values()))))
    else:
        start = _start(run, latents)
    if run.condition is None and run.model.family.shape.inpaints:
        run.condition = all_new(run.size, run.model.device, run.model.dtype)
    x = run.latents = sent(start.latents, run.model.device, run.model.latent_dtype)
    run.first = begin_at(run.scheduler, start.index)
    times = sent(run.timesteps, run.model.device)
    for index in range(run.first, len(run.timesteps)):
        repeated, again = 0, True
        while again:
            step = Step(run, index, times[index], x, repeated=repeated)
            before = snapshot(run.scheduler) if calls(run.hook.after_step) else {}
            _advance(step)
            again, repeated, x = step.again, repeated + 1, step.x
            run.latents = x
            yield step
            if again:
                restore(run.scheduler, before)
                fresh = run.noise.draw(run.latent_shape, x.device, x.dtype)
                x = step.next_level.noised_again(x, step.level, fresh)


def _advance(step: Step) -> None:
    """One step; a plugin that fails in it is named together with the step."""
    try:
        persisting(step.run.model, STEP, partial(_attempted, step, checkpoint(step)))
    except PluginError as error:
        raise PluginError(f"step {step.index}: {error}") from error


def _attempted(step: Step, back: Callable[[], None], work: Work) -> None:
    """One try at a step; what the model computes in it steps down by itself, so few are tried again."""
    if step.tries:
        back()
    step.tries += 1
    work.doing = f"in step {step.index}"
    _taken(step)


def _taken(step: Step) -> None:
    """Asks, and takes the one step."""
    run = step.run
    for call in calls(run.hook.before_step):
        call(step=step)
    layers = [Layer(call.name, partial(_asked, call, step)) for call in calls(run.hook.estimate_noise)]
    (estimate,) = resolve([Ask(step.x, run.prompt, run.condition)], layers, partial(_answer, step), step.spare)
    step.answered(estimate)
    output = _output(step.estimate, run.scheduler).to(run.model.latent_dtype)
    arguments = step_arguments(run.scheduler, run.noise.generators, taken=step.index - run.first)
    t = run.timesteps[step.index]  # on the CPU
    step.x = run.scheduler.step(output, t, step.x, **arguments, return_dict=False)[0]
    stepped(run.scheduler, step.index)
    for call in calls(run.hook.after_step):
        call(step=step)


def _asked(call: Call, step: Step, ask: Ask) -> Any:
    return call(ask=ask, step=step)


def _answer(step: Step, asks: list[Ask]) -> list[Estimate]:
    """The model's answers to all that is pending in a step."""
    run = step.run
    answers, rows = run.model.answer(asks, step.t, step.level, run.terms)
    step.rows += rows
    run.rows += rows
    return answers


def _output(estimate: Estimate, scheduler: Scheduler) -> Tensor:
    """What the scheduler is given: with the variance where it uses a learned one."""
    if estimate.variance is None or not uses_learned_variance(scheduler):
        return estimate.value
    return torch.cat([estimate.value, estimate.variance], dim=1)


def _start(run: Run, latents: Tensor | None) -> Start:
    """The trick's start, or pure noise at the first level; no trick is asked where a later stage starts."""
    for call in calls(run.hook.start):
        started = call(run=run)
        if started is not None:
            return _checked(run, call, started, latents)
    if latents is None:
        latents = run.noise.draw(run.latent_shape, dtype=run.model.latent_dtype)
    elif tuple(latents.shape) != (run.count, *run.latent_shape):
        raise UsageError(f"latents must be of shape {(run.count, *run.latent_shape)}, got {tuple(latents.shape)}")
    return _from_noise(run, latents)


def _from_noise(run: Run, noise: Tensor) -> Start:
    """Standard normal noise (b c h w) as the start of the whole schedule."""
    return Start(noise * first_spread(run.scheduler))


def _checked(run: Run, call: Call, start: object, latents: Tensor | None) -> Start:
    """The start a trick gave, if it fits the run."""
    shape = (run.count, *run.latent_shape)
    if not isinstance(start, Start):
        raise call.broken(f"it must give a Start or None, and gave a {type(start).__name__}")
    if latents is not None:
        raise UsageError(f"trick {call.name!r} says where the run starts; leave out latents")
    if tuple(start.latents.shape) != shape:
        raise call.broken(f"its latents must be of shape {shape}, and are {tuple(start.latents.shape)}")
    if not 0 <= start.index <= len(run.timesteps):
        raise call.broken(f"its index must be between 0 and {len(run.timesteps)}, and is {start.index}")
    return start


__all__ = ["Run", "Start", "Step", "begin", "denoise", "sample"]
