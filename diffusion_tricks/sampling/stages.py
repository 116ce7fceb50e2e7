"""The stages of a run: prepared together, then started one by one, and closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

from torch import Tensor

from diffusion_tricks.devices.transfer import sent
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.conditioning import Condition, all_new
from diffusion_tricks.diffusion.steps import begin_at, first_spread
from diffusion_tricks.errors import UsageError
from diffusion_tricks.model.cascade import upscaling
from diffusion_tricks.registry.calls import Call, calls
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.start import Start
from diffusion_tricks.sampling.unread import note_unread
from diffusion_tricks.sampling.wrapping import SEAM, around, within


@contextmanager
def prepared(run: Run) -> Iterator[None]:
    """All stages of a run, prepared; whatever ends it, each trick whose `prepare` began is closed, in reverse.

    A failure in closing never hides the one that ended the run.
    """
    ended: BaseException | None = None
    try:
        for stage in run.stages:
            stage.source = stage.previous.source if stage.previous else stage.source
            _prepare(stage)
        yield
    except BaseException as error:
        ended = error
        raise
    finally:
        with suppress(Exception) if ended else nullcontext(), ExitStack() as closing:
            for stage in run.stages:
                closing.callback(closed, stage)


def _prepare(run: Run) -> None:
    names = [name for name, _ in run.manager.list_name_plugin()]
    for call in calls(run.hook.prepare):
        run.begun.add(call.name)
        with alone_with(run.model.pipe):
            call(run=run)
    run.begun.update(names)


def closed(run: Run) -> None:
    """Lets every trick of a stage that began undo what it did to the model, once."""
    began = run.begun.copy()
    run.begun.clear()
    with alone_with(run.model.pipe), ExitStack() as closing:
        for call in calls(run.hook.close):
            if call.name in began:
                closing.callback(call, run=run)


def started(run: Run, latents: Tensor | None) -> Tensor:
    """The latents (b c h w) that a stage starts with, on its device; prompts are encoded, and the first step is set.

    latents: standard normal noise for the first stage, instead of what its seeds draw.
    """
    rows = run.model.encode_prompts(run.prompts(), run.window or run.size, run.terms.distilled)
    note_unread(run, rows)
    if run.previous is not None:
        start = _from_noise(run, _take_over(run, next(iter(rows.values()))))
    else:
        start = _start(run, latents)
    if run.condition is None and run.model.family.shape.inpaints:
        run.condition = all_new(run.size, run.model.device, run.model.dtype)
    run.first = begin_at(run.scheduler, start.index)
    _check_known(run)
    run.latents = sent(start.latents, run.model.device, run.model.latent_dtype)
    return run.latents


def _check_known(run: Run) -> None:
    """Raises UsageError where a model that was taught little noise alone would begin with more."""
    below = run.model.defaults.below
    if below is not None and run.levels[run.first].snr <= run.model.level(below).snr:
        raise UsageError(
            f"{run.model.name!r} has learnt noise below timestep {below} alone, and refines what another model drew; "
            "name it as the refiner of that one, or start from a picture at a later step"
        )


def _take_over(run: Run, row: dict[str, Any]) -> Tensor:
    """Gives a later stage its condition, made of the pictures before it, and the noise it starts from (b c h w).

    row: the denoiser's recorded arguments for one of its prompts. Both are drawn from the run's own generators.
    """
    assert run.previous is not None
    upscaler, generators = upscaling(run.model), run.noise.generators
    pixels = run.previous.pixels()
    columns = SEAM if run.wraps else 0
    size = run.size[0] + 2 * columns * upscaler.factor, run.size[1]
    with alone_with(run.model.pipe):
        noise, picture = upscaler.condition(around(pixels, columns), size, row, generators)
    share = columns / pixels.shape[-1]
    run.condition = Condition(within(picture, share))
    return within(noise, share)


def _start(run: Run, latents: Tensor | None) -> Start:
    """The trick's start, or pure noise at the first level; no trick is asked where a later stage starts."""
    for call in calls(run.hook.start):
        start = call(run=run)
        if start is not None:
            checked = _checked(run, call, start, latents)
            run.span = _span(run, checked.index)
            return checked
    if latents is None:
        latents = run.noise.draw(run.latent_shape, dtype=run.model.latent_dtype)
    elif tuple(latents.shape) != (run.count, *run.latent_shape):
        raise UsageError(f"latents must be of shape {(run.count, *run.latent_shape)}, got {tuple(latents.shape)}")
    return _from_noise(run, latents)


def _span(run: Run, first: int) -> float:
    """The share of the training's timesteps that a run goes through from its step `first` on, 0..1."""
    longest, times = run.scheduler.config.get("num_train_timesteps"), run.timesteps[first : first + 1]
    return min(1.0, (float(times[0]) + 1) / longest) if longest and len(times) else 1.0  # they count from 0


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
