"""The denoising loop, the only one: a generator of `Step`s that tricks shape and callers watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from torch import Tensor

from diffusion_tricks.devices.transfer import sent
from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.diffusion.estimate import Estimate
from diffusion_tricks.diffusion.scheduler_quirks import output_for, restore, snapshot, step_arguments, stepped
from diffusion_tricks.diffusion.steps import begin_at
from diffusion_tricks.errors import UsageError
from diffusion_tricks.model.batching import Asked, answer_together, rows_of
from diffusion_tricks.model.model import Model
from diffusion_tricks.registry.calls import Call, calls
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.prompts import said_in
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.resolve import Layer, Open, resolve
from diffusion_tricks.sampling.retry import persisted
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.stages import closed, prepared, started
from diffusion_tricks.sampling.step import Step
from diffusion_tricks.sampling.trace import MODEL, SCHEDULER, START
from diffusion_tricks.sampling.tricks import nested
from diffusion_tricks.sampling.unread import heard, note_unheard
from diffusion_tricks.types import Size

if TYPE_CHECKING:
    from diffusion_tricks.registry.function import TrickLike


def denoise(run: Run, latents: Tensor | None = None) -> Generator[Step]:
    """The loop over a run that `begin` made, and over the stages that follow it.

    latents: standard normal noise (b c h w) that the first stage starts from, instead of the seeds'.
    """
    with closing(_due(run, latents)) as due:
        for step in due:
            persisted([step], _take)
            yield step


def denoise_together(runs: Sequence[Run]) -> Generator[Step]:
    """The loop over several runs at once: steps of one model at one timestep are taken together, and share its calls.

    Of the steps that are due the noisiest are taken first, so that a run that begins later, or goes back, meets the
    others there. What fails in one of them ends all.
    """
    with ExitStack() as open:
        walks = [open.enter_context(closing(_due(run))) for run in runs]
        due = {walk: step for walk in walks for step in islice(walk, 1)}
        while due:
            first = min(map(_place, due.values()))
            now = {walk: step for walk, step in due.items() if _place(step) == first}
            persisted(list(now.values()), _take)
            yield from now.values()
            following = {walk: next(walk, None) for walk in now}
            due = {walk: step for walk in walks if (step := following.get(walk, due.get(walk))) is not None}


def _place(step: Step) -> tuple[Any, ...]:
    """Equal for steps that share the calls of their model; the noisiest of the first stage comes first."""
    t = step.run.timesteps[step.index]  # on the CPU
    return step.stage, -float(t), str(t.dtype), id(step.run.model)


def _due(run: Run, latents: Tensor | None = None) -> Generator[Step]:
    """Every step of a run and of the stages that follow it, before it is taken: who asks for the next has taken it."""
    with prepared(run):
        for stage in run.stages:
            yield from _steps(stage, started(stage, latents))
            note_unheard(stage)
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
        yield step
        made[index] += 1
        assert run.latents is not None  # those that the step came to
        x = run.latents
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


def _take(steps: Sequence[Step]) -> None:
    """Asks through all tricks, and takes each one step: of one model, at one timestep."""
    for step in steps:
        for call in calls(step.run.hook.before_step):
            _changed(call, step)
    for step, (estimate,) in zip(steps, resolve([*map(_open, steps)], partial(_answer, steps)), strict=True):
        step.answered(estimate.detached())
        _step(step)


def _step(step: Step) -> None:
    """Takes a step that is answered."""
    run = step.run
    output = output_for(run.scheduler, step.estimate).to(run.model.latent_dtype)
    arguments = step_arguments(run.scheduler, run.noise.generators, step.taken)
    t = run.timesteps[step.index]  # on the CPU
    step.x = run.scheduler.step(output, t, step.x, **arguments, return_dict=False)[0]
    run.trace.note(SCHEDULER, step.index, step.x)
    stepped(run.scheduler, step.index)
    for call in calls(run.hook.after_step):
        _changed(call, step)
    run.latents = step.x


def _open(step: Step) -> Open:
    """The question of a step, before it passes the tricks."""
    layers, within = _layers(step)
    return Open([Ask(step.x, step.run.prompt, step.run.condition)], layers, step.spare, within)


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


def _answer(steps: Sequence[Step], pending: list[list[Ask]]) -> list[list[Estimate]]:
    """The model's answers to all that is pending in each of the steps."""
    asked = [
        Asked(_said(step, asks), step.level, step.run.terms, step.run.span)
        for step, asks in zip(steps, pending, strict=True)
    ]
    answers = answer_together(steps[0].run.model, asked, steps[0].t)
    for step, one, estimates in zip(steps, asked, answers, strict=True):
        heard(step.run, one.asks, step.level, step.index)
        rows = rows_of(estimates)
        step.rows += rows
        step.run.rows += rows
        step.spare(sum(len(ask.x) for ask in one.asks) - rows)
        step.differentiated += rows_of([e for ask, e in zip(one.asks, estimates, strict=True) if ask.gradient])
        for estimate in estimates:
            _gave(step, MODEL, estimate)
    return answers


def _said(step: Step, asks: list[Ask]) -> list[Ask]:
    """The asks in the words of a step."""
    run = step.run
    return [ask.said_as(partial(said_in, step.index // run.substeps, run.whole_steps)) for ask in asks]


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
