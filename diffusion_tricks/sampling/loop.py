"""The denoising loop, the only one: a generator of `Step`s that tricks shape and callers watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from diffusion_tricks.devices.transfer import sent
from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.scheduler_quirks import output_for, restore, snapshot, step_arguments, stepped
from diffusion_tricks.diffusion.steps import begin_at
from diffusion_tricks.errors import UsageError
from diffusion_tricks.model.batching import answer
from diffusion_tricks.model.model import Model
from diffusion_tricks.registry.calls import Call, calls
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.prompts import said_in
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.resolve import Layer, resolve
from diffusion_tricks.sampling.retry import persisted
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.stages import closed, prepared, started
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.sampling.trace import MODEL, SCHEDULER, START
from diffusion_tricks.sampling.tricks import nested
from diffusion_tricks.types import Size

if TYPE_CHECKING:
    from diffusion_tricks.registry.function import TrickLike


def denoise(run: Run, latents: Tensor | None = None) -> Generator[Step]:
    """The loop over a run that `begin` made, and over the stages that follow it.

    latents: standard normal noise (b c h w) that the first stage starts from, instead of the seeds'.
    """
    with prepared(run):
        for stage in run.stages:
            yield from _steps(stage, started(stage, latents))
            closed(stage)


def _steps(run: Run, x: Tensor) -> Iterator[Step]:
    """Every step of one stage, from latents x (b c h w) on; what a trick asks for again is made again."""
    times = sent(run.timesteps, run.model.device)
    run.trace.note(START, run.first, x)
    heeded = bool(calls(run.hook.after_step))
    unused = snapshot(run.scheduler) if heeded else {}
    index, begun, made = run.first, run.first, Counter[int]()
    while index < len(run.timesteps):
        before = snapshot(run.scheduler) if heeded else {}
        step = Step(run, index, times[index], x, repeated=made[index], taken=index - begun)
        persisted(step, _take)
        made[index] += 1
        x = run.latents = step.x
        yield step
        if step.target is not None:
            restore(run.scheduler, unused)
            index = begun = begin_at(run.scheduler, step.target)
            x = _noised_again(step, x, index)
        elif step.again:
            restore(run.scheduler, before)
            x = _noised_again(step, x, index)
        else:
            index += 1


def _noised_again(step: Step, x: Tensor, index: int) -> Tensor:
    """The latents that a step ended in (b c h w) at the level before step `index`, with fresh noise."""
    fresh = step.run.noise.draw(step.run.latent_shape, x.device, x.dtype)
    return step.next_level.noised_again(x, step.run.levels[index], fresh)


def _take(step: Step) -> None:
    """Asks through all tricks, and takes the one step."""
    run = step.run
    for call in calls(run.hook.before_step):
        _changed(call, step)
    layers, within = _layers(step)
    ask = Ask(step.x, run.prompt, run.condition)
    (estimate,) = resolve([ask], layers, partial(_answer, step), step.spare, within)
    step.answered(estimate.detached())
    output = output_for(run.scheduler, step.estimate).to(run.model.latent_dtype)
    arguments = step_arguments(run.scheduler, run.noise.generators, step.taken)
    t = run.timesteps[step.index]  # on the CPU
    step.x = run.scheduler.step(output, t, step.x, **arguments, return_dict=False)[0]
    run.trace.note(SCHEDULER, step.index, step.x)
    stepped(run.scheduler, step.index)
    for call in calls(run.hook.after_step):
        _changed(call, step)


def _layers(step: Step) -> tuple[list[Layer], Callable[[Trick[Any]], Layer]]:
    """What a question passes through, the outermost first; and the layer of a trick that stands within another."""
    of: dict[Any, Layer] = {}
    for call in calls(step.run.hook.estimate_noise):
        trick: Any = call.implementation.plugin
        of[trick] = Layer(call.name, partial(_asked, call, step), partial(_gave, step, call.name), trick.place)
    within = nested(step.run.tricks)
    return [layer for trick, layer in of.items() if trick not in within], of.__getitem__


def _changed(call: Call, step: Step) -> None:
    """Lets a trick change the latents of a step."""
    before = step.x
    call(step=step)
    if step.x is not before:
        step.run.trace.note(call.name, step.index, step.x)


def _gave(step: Step, who: object, estimate: Estimate) -> None:
    step.run.trace.note(who, step.index, estimate.value)


def _asked(call: Call, step: Step, ask: Ask) -> Any:
    return call(ask=ask, step=step)


def _answer(step: Step, asks: list[Ask]) -> list[Estimate]:
    """The model's answers to all that is pending in a step."""
    run = step.run
    said = [ask.said_as(partial(said_in, step.index // run.substeps, run.whole_steps)) for ask in asks]
    answers, rows = answer(step.run.model, said, step.t, step.level, step.run.terms)
    step.rows += rows
    step.run.rows += rows
    step.differentiated += sum(len(ask.x) for ask in asks if ask.gradient)
    for estimate in answers:
        _gave(step, MODEL, estimate)
    return answers


def sample(
    model: Model,
    *,
    prompt: str | Sequence[str | None] | None = None,
    tricks: Sequence[TrickLike] = (),
    seed: int = 0,
    count: int | None = None,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    timesteps: Sequence[int] | None = None,
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

    model: from `load_model`. tricks: outermost first: objects, names, or functions as
    `lambda ask, step: ask.but(prompt="a skull")`, see `FunctionTrick`. latents: standard normal starting noise
    (b c h w) instead of the seeds'; its length is the count, unless that is said. All else is as in `Sampling`.
    The iterator belongs to one thread at a time. In a coroutine, where a step would hold up all others, each is awaited
    as `await asyncio.to_thread(next, steps, None)`; several may be under way, see docs/threads.md.
    Raises UsageError for what cannot be as it is asked for, at once or where a step shows it; PictureError for a
    picture that a trick cannot use; ModelError, PluginError and OutOfMemory where model, trick or memory fail.
    """
    if latents is not None:
        rows = _rows_of(latents)
        count = rows if count is None and seeds is None else count
    sampling = Sampling(
        prompt=prompt, seed=seed, count=count, seeds=seeds, steps=steps, timesteps=timesteps, stride=stride,
        scheduler=scheduler, size=size, upscale_steps=upscale_steps, upscale_scheduler=upscale_scheduler,
        noise_level=noise_level, distilled_guidance=distilled_guidance, max_rows=max_rows,
    )  # fmt: skip
    return denoise(begin(model, sampling, tricks), latents)


def _rows_of(latents: Any) -> int:
    """How many pictures latents are for. Raises UsageError for what is no batch of them."""
    if not isinstance(latents, Tensor) or latents.ndim != 4:
        came = f"one of shape {tuple(latents.shape)}" if isinstance(latents, Tensor) else f"a {type(latents).__name__}"
        raise UsageError(f"latents must be a tensor (b c h w) of standard normal noise, got {came}")
    return len(latents)
