"""The denoising loop, the only one: a generator of `Step`s that tricks shape and callers watch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pluggy
import torch
from torch import Tensor

from diffusion_tricks.ask import Ask, Estimate, Layer, Level, Prompt, resolve
from diffusion_tricks.denoiser import Size, check_size
from diffusion_tricks.errors import DiffusionTricksError, PluginError, UsageError
from diffusion_tricks.manager import run_manager
from diffusion_tricks.model import Model
from diffusion_tricks.noise import Noise
from diffusion_tricks.schedulers import (
    Scheduler,
    noise_levels,
    restore,
    scheduler_for,
    set_steps,
    snapshot,
    step_arguments,
)
from diffusion_tricks.source import Source
from diffusion_tricks.trick import Trick


@dataclass
class Run:
    """One run of the loop over a batch of pictures: what was asked, and what tricks may read and note down.

    prompt: for all pictures, or one each. noise: one generator per picture. levels: (alpha, sigma) before each
    step and after the last. latents: after the last step so far (b c h w). facts: what tricks report of each picture, one dictionary per picture.
    """

    model: Model
    prompt: Prompt
    noise: Noise
    size: Size
    scheduler: Scheduler
    timesteps: Tensor
    tricks: Sequence[Trick[Any]]
    max_rows: int | None = None
    source: Source | None = None
    rows: int = 0
    first: int = 0
    latents: Tensor | None = None
    facts: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.manager = run_manager(self.tricks)
        self.hook = self.manager.hook
        self.levels = [Level(a, s, self._prediction()) for a, s in noise_levels(self.scheduler)]
        self.facts = [{} for _ in self.noise.seeds]
        self._states: dict[int, dict[str, Any]] = {}

    def _prediction(self) -> str:
        return str(self.scheduler.config.get("prediction_type", "epsilon"))

    @property
    def count(self) -> int:
        """How many pictures the run makes."""
        return len(self.noise.seeds)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c h w) of one picture's latents."""
        family = self.model.family
        return family.channels, self.size[1] // family.scale, self.size[0] // family.scale

    @property
    def substeps(self) -> int:
        """Evaluations the scheduler makes in one full step: 2 for Heun, else 1."""
        return int(getattr(self.scheduler, "order", 1))

    def state(self, trick: Trick[Any]) -> dict[str, Any]:
        """A trick's notes of this run; a trick instance itself may serve many runs."""
        return self._states.setdefault(id(trick), {})

    def noised(self, clean: Tensor, noise: Tensor, index: int) -> Tensor:
        """Clean latents (b c h w) at the level before step `index`: alpha x0 + sigma eps."""
        level = self.levels[index]
        return level.alpha * clean + level.sigma * noise

    def latents_of(self, pixels: Tensor) -> Tensor:
        """Pixels (b 3 H W) in -1..1 as latents (b c h w) on the model's device."""
        return self.model.family.encode(pixels.to(self.model.device, self.model.dtype))

    def prompts(self) -> list[str | None]:
        """Every prompt that may be asked: the run's own and those that tricks name."""
        own = self.prompt if isinstance(self.prompt, tuple) else (self.prompt,)
        named = [p for prompts in self.hook.prompts(run=self) for p in (prompts or ())]
        return list(dict.fromkeys([*own, *named]))


@dataclass(frozen=True)
class Start:
    """Where a run starts: latents (b c h w) at the level before step `index`."""

    latents: Tensor
    index: int = 0


@dataclass
class Step:
    """One evaluation of the denoiser and the step it led to.

    index: from 0, of the run's timesteps. t: timestep. alpha, sigma: the level of the latents that were asked about.
    x: latents (b c h w): before the step in `before_step` and `estimate_noise`, after it in `after_step` and for
    whoever iterates. estimate: the model's answer after all tricks. rows: what the denoiser computed for it.
    """

    run: Run
    index: int
    t: Tensor
    x: Tensor
    rows: int = 0
    repeated: int = 0
    again: bool = False
    _estimate: Estimate | None = None

    @property
    def level(self) -> Level:
        """The level before the step."""
        return self.run.levels[self.index]

    @property
    def next_level(self) -> Level:
        """The level after the step."""
        return self.run.levels[self.index + 1]

    @property
    def alpha(self) -> float:
        """Factor of the clean latents, before the step."""
        return self.level.alpha

    @property
    def sigma(self) -> float:
        """Factor of the noise, before the step."""
        return self.level.sigma

    @property
    def estimate(self) -> Estimate:
        """The estimate the step was made with; there is none before the denoiser was asked."""
        if self._estimate is None:
            raise AttributeError("step.estimate is known once the denoiser has answered: in after_step, not before")
        return self._estimate

    @property
    def fraction(self) -> float:
        """How far the schedule has come before this step, 0 to just under 1."""
        return self.index / len(self.run.timesteps)

    @property
    def last(self) -> bool:
        """Whether no step follows."""
        return self.index == len(self.run.timesteps) - 1

    def repeat(self) -> None:
        """Asks, in `after_step`, for this step again from re-noised latents (RePaint, arXiv:2201.09865)."""
        self.again = True


def begin(
    model: Model,
    *,
    prompt: str | Sequence[str | None] | None = None,
    tricks: Sequence[Trick[Any]] = (),
    seed: int = 0,
    count: int = 1,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    timesteps: list[int] | None = None,
    scheduler: str | None = None,
    size: Size | None = None,
    max_rows: int | None = None,
) -> Run:
    """A run that is ready to go: scheduler set, size checked, prompts not yet encoded. See `sample`."""
    seeds = list(seeds) if seeds is not None else [seed + i for i in range(count)]
    if not seeds:
        raise UsageError("count must be at least 1, got 0")
    if max_rows is not None and max_rows < 1:
        raise UsageError(f"max_rows must be at least 1, got {max_rows}")
    own = prompt if prompt is None or isinstance(prompt, str) else tuple(prompt)
    if isinstance(own, tuple) and len(own) != len(seeds):
        raise UsageError(f"expected one prompt, or one for each of {len(seeds)} pictures, got {len(own)}")
    size = size or model.family.size
    check_size(model.family, size)
    chosen = scheduler_for(model.pipe.scheduler, scheduler or model.defaults.scheduler)
    times = set_steps(chosen, steps or model.defaults.steps, timesteps)
    return Run(model, own, Noise(seeds), size, chosen, times, tuple(tricks), max_rows)


def sample(model: Model, *, latents: Tensor | None = None, **request: Any) -> Iterator[Step]:
    """Denoises, and yields every `Step` as it is made.

        for step in sample(model, prompt="a rabbit", tricks=[Guidance(scale=7)], seed=0, steps=20):
            step.estimate.clean        # the model's present idea of the picture

    prompt: one text, one per picture, or None, the unconditional. tricks: outermost first. seed: of picture 0;
    picture i has seed + i. count: pictures, or `seeds`, one each. steps: of the schedule; `timesteps` sets them one
    by one. scheduler: a name of `SCHEDULERS`, or None, the model's own. size: (width, height). latents: standard
    normal starting noise (b c h w) instead of the seeds'. max_rows: rows in one call of the denoiser.
    Raises UsageError, ModelError, PluginError, OutOfMemory.
    """
    if latents is not None and "count" not in request and "seeds" not in request:
        request["count"] = len(latents)
    return denoise(begin(model, **request), latents)


def denoise(run: Run, latents: Tensor | None = None) -> Iterator[Step]:
    """The loop over a run that `begin` made."""
    run.hook.prepare(run=run)
    run.model.encode_prompts(run.prompts(), run.size)
    start = _start(run, latents)
    x = run.latents = start.latents.to(run.model.device, run.model.dtype)
    run.first = start.index
    if hasattr(run.scheduler, "set_begin_index"):
        run.scheduler.set_begin_index(run.first)
    times = run.timesteps.to(run.model.device)
    layers = _layers(run)
    arguments = step_arguments(run.scheduler, run.noise.generators)
    for index in range(run.first, len(run.timesteps)):
        repeated, again = 0, True
        while again:
            step = Step(run, index, times[index], x, repeated=repeated)
            before = snapshot(run.scheduler) if run.hook.after_step.get_hookimpls() else {}
            _advance(step, layers, arguments)
            again, repeated, x = step.again, repeated + 1, step.x
            run.latents = x
            yield step
            if again:
                restore(run.scheduler, before)
                x = _noised_again(step)


def _advance(step: Step, layers: list[Layer], arguments: dict[str, Any]) -> None:
    """Asks, and takes the one step."""
    run = step.run
    _guarded(step, run.hook.before_step)
    asking = [Layer(layer.name, partial(layer.estimate, step=step)) for layer in layers]
    try:
        step._estimate = resolve([Ask(step.x, run.prompt)], asking, partial(_answer, step))[0]
    except PluginError as error:
        raise PluginError(f"step {step.index}: {error}") from error
    output = _output(step.estimate, run.scheduler).to(run.model.dtype)
    t = run.timesteps[step.index]
    step.x = run.scheduler.step(output, t, step.x, **arguments, return_dict=False)[0]
    _guarded(step, run.hook.after_step)


def _answer(step: Step, asks: list[Ask]) -> list[Estimate]:
    """The model's answers to all that is pending in a step."""
    run = step.run
    scale = run.scheduler.scale_model_input
    answers, rows = run.model.answer(asks, step.t, step.level, run.size, scale, run.max_rows)
    step.rows += rows
    run.rows += rows
    return answers


def _output(estimate: Estimate, scheduler: Scheduler) -> Tensor:
    """What the scheduler is given: with the variance where it uses a learned one."""
    learned = str(scheduler.config.get("variance_type")).startswith("learned")
    if estimate.variance is None or not learned:
        return estimate.value
    return torch.cat([estimate.value, estimate.variance], dim=1)


def _start(run: Run, latents: Tensor | None) -> Start:
    """The trick's start, or pure noise at the first level."""
    started: Start | None = run.hook.start(run=run)
    if started is not None:
        return started
    if latents is None:
        latents = run.noise.draw(run.latent_shape, dtype=run.model.dtype)
    elif tuple(latents.shape) != (run.count, *run.latent_shape):
        raise UsageError(f"latents must be of shape {(run.count, *run.latent_shape)}, got {tuple(latents.shape)}")
    return Start(latents * run.scheduler.init_noise_sigma)


def _noised_again(step: Step) -> Tensor:
    """The latents after a step, taken back to the level before it with fresh noise."""
    now, then = step.next_level, step.level
    kept = then.alpha / now.alpha
    added = max(then.sigma**2 - (kept * now.sigma) ** 2, 0.0) ** 0.5
    noise = step.run.noise.draw(step.run.latent_shape, step.x.device, step.x.dtype)
    return kept * step.x + added * noise


def _layers(run: Run) -> list[Layer]:
    """The tricks that shape the estimate, outermost first; pluggy lists its hooks the other way round."""
    return [Layer(i.plugin_name, i.function) for i in reversed(run.hook.estimate_noise.get_hookimpls())]


def _guarded(step: Step, hook: pluggy.HookCaller) -> None:
    """Calls a hook of every trick in order; a trick's own failure names it and the step."""
    for implementation in reversed(hook.get_hookimpls()):
        try:
            implementation.function(step=step)
        except DiffusionTricksError:
            raise
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise PluginError(
                f"step {step.index}: trick {implementation.plugin_name!r} failed in {hook.name}: "
                f"{type(error).__name__}: {error}"
            ) from error
