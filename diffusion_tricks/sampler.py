"""The denoising loop, the only one: a generator of `Step`s that tricks shape and callers watch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.ask import Ask, Estimate, Layer, resolve
from diffusion_tricks.calling import Call, calls
from diffusion_tricks.cascade import nothing_upscaled, stages, take_over
from diffusion_tricks.denoiser import Size
from diffusion_tricks.errors import PluginError, UsageError
from diffusion_tricks.model import Model, memory_explained
from diffusion_tricks.noise import Noise
from diffusion_tricks.run import Run, Start, Step
from diffusion_tricks.schedulers import (
    Scheduler,
    begin_at,
    first_spread,
    input_scaling,
    restore,
    scheduler_for,
    set_steps,
    snapshot,
    step_arguments,
    stepped,
    strided,
    uses_learned_variance,
)
from diffusion_tricks.trick import Trick


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
    max_rows: int | None = None,
) -> Run:
    """A run that is ready to go: scheduler set, size checked, prompts not yet encoded. See `sample`.

    For a size that takes a second stage, the run of that one is its `following`.
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
    first, upscaler = stages(model, size or model.family.size, noise_level)
    chosen, times = _schedule(model, scheduler, steps, timesteps, stride)
    run = Run(model, own, Noise(seeds), first, chosen, times, tuple(tricks), max_rows)
    if upscaler is not None:
        chosen, times = _schedule(upscaler, upscale_scheduler, upscale_steps)
        settings = (run.prompt, run.noise, size or first, chosen, times, run.tricks, max_rows)
        run.following = Run(upscaler, *settings, previous=run)
    elif (upscale_steps, upscale_scheduler, noise_level) != (None, None, None):
        raise nothing_upscaled(first)
    return run


def _schedule(
    model: Model, name: str | None, steps: int | None, timesteps: list[int] | None = None, stride: int | None = None
) -> tuple[Scheduler, Tensor]:
    """A scheduler for one run of a model, and its timesteps."""
    scheduler = scheduler_for(model.pipe.scheduler, name or model.defaults.scheduler)
    if stride is not None:
        timesteps = strided(scheduler, stride)
    return scheduler, set_steps(scheduler, model.defaults.steps if steps is None else steps, timesteps)


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
    max_rows: int | None = None,
) -> Iterator[Step]:
    """Denoises, and yields every `Step` as it is made.

        for step in sample(model, prompt="a rabbit", tricks=[Guidance(scale=7)], seed=0, steps=20):
            step.estimate.clean        # the model's present idea of the picture

    prompt: one text, one per picture, or None, the unconditional. tricks: outermost first. seed: of picture 0;
    picture i has seed + i. count: pictures, or `seeds`, one each. steps: of the schedule; `timesteps` sets them one
    by one, `stride` every so many of the training's, down to 0. scheduler: a name of `SCHEDULERS`, or None, the
    model's own. size: (width, height); one that is larger than a model of pixels makes by itself is made in two
    stages (`Step.stage`), the second by its upscaler, for which `upscale_steps` and `upscale_scheduler` are, and
    `noise_level`, a timestep: how noisy it sees the picture of the first. latents: standard normal starting noise
    (b c h w) instead of the seeds'. max_rows: rows in one call of the denoiser.
    Raises UsageError, ModelError, PluginError, OutOfMemory.
    """
    if latents is not None and count is None:
        count = len(latents)
    run = begin(
        model, prompt=prompt, tricks=tricks, seed=seed, count=count, seeds=seeds, steps=steps, timesteps=timesteps,
        stride=stride, scheduler=scheduler, size=size, upscale_steps=upscale_steps,
        upscale_scheduler=upscale_scheduler, noise_level=noise_level, max_rows=max_rows,
    )  # fmt: skip
    return denoise(run, latents)


def denoise(run: Run, latents: Tensor | None = None) -> Iterator[Step]:
    """The loop over a run that `begin` made, and over the stage that follows it."""
    for stage in run.stages:
        stage.source = stage.previous.source if stage.previous else stage.source
        for call in calls(stage.hook.prepare):
            call(run=stage)
    for stage in run.stages:
        yield from _denoise(stage, latents)


def _denoise(run: Run, latents: Tensor | None) -> Iterator[Step]:
    """The loop over one stage; latents: the noise that the first one starts from."""
    rows = run.model.encode_prompts(run.prompts(), run.size)
    if run.previous is not None:
        start = _from_noise(run, take_over(run, next(iter(rows.values()))))
    else:
        start = _start(run, latents)
    x = run.latents = start.latents.to(run.model.device, run.model.dtype)
    run.first = begin_at(run.scheduler, start.index)
    times = run.timesteps.to(run.model.device)
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
                x = _noised_again(step)


def _advance(step: Step) -> None:
    """One step; a plugin that fails in it is named together with the step."""
    try:
        with memory_explained(step.run.model.device, f"in step {step.index}"):
            _taken(step)
    except PluginError as error:
        raise PluginError(f"step {step.index}: {error}") from error


def _taken(step: Step) -> None:
    """Asks, and takes the one step."""
    run = step.run
    for call in calls(run.hook.before_step):
        call(step=step)
    layers = [Layer(call.name, partial(_asked, call, step)) for call in calls(run.hook.estimate_noise)]
    step.answered(resolve([Ask(step.x, run.prompt, run.condition)], layers, partial(_answer, step))[0])
    output = _output(step.estimate, run.scheduler).to(run.model.dtype)
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
    scale = input_scaling(run.scheduler)
    answers, rows = run.model.answer(asks, step.t, step.level, run.size, scale, run.max_rows)
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
        latents = run.noise.draw(run.latent_shape, dtype=run.model.dtype)
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


def _noised_again(step: Step) -> Tensor:
    """The latents after a step, taken back to the level before it with fresh noise."""
    now, then = step.next_level, step.level
    kept = then.alpha / now.alpha
    added = max(then.sigma**2 - (kept * now.sigma) ** 2, 0.0) ** 0.5
    noise = step.run.noise.draw(step.run.latent_shape, step.x.device, step.x.dtype)
    renoised: Tensor = kept * step.x + added * noise
    return renoised


__all__ = ["Run", "Start", "Step", "begin", "denoise", "sample"]
