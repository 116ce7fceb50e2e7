"""A run that is ready to go: what is sampled and how, checked, and the stages that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.noise import Noise
from diffusion_tricks.diffusion.scheduler_quirks import send_what_it_draws
from diffusion_tricks.diffusion.schedulers import Scheduler, input_scaling, scheduler_for, set_steps, strided
from diffusion_tricks.errors import UsageError
from diffusion_tricks.model.batching import Terms
from diffusion_tricks.model.cascade import nothing_upscaled, stages
from diffusion_tricks.model.model import Model
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.tricks import run_manager
from diffusion_tricks.types import Prompt, Size

if TYPE_CHECKING:
    from torch import Tensor

SEEDS = range(-(2**63), 2**64)  # that torch's generators take
WHOLE = ("steps", "stride", "upscale_steps", "max_rows", "count")  # numbers; the schedule says which steps may be
COUNTS = ("max_rows", "count")
LENGTHS = ("steps", "timesteps", "stride")


@dataclass(frozen=True)
class Sampling:
    """What is sampled, and how; None leaves it to the model.

    prompt: one text, one per picture, or None, the unconditional. seed: of picture 0; picture i has seed + i. count:
    pictures, as many as there are prompts in a list unless said; or `seeds`, one each. steps: of the schedule; instead,
    `timesteps` sets them one by one, and `stride` every so many of the training's, down to 0. scheduler: a name of
    `SCHEDULERS`. size: (width, height) in pixels; one that is larger than a model makes by itself is made in stages
    (`Step.stage`), the later ones by upscalers, for which `upscale_steps` and `upscale_scheduler` are, and
    `noise_level`, a timestep: how noisy each sees the picture of the one before. distilled_guidance: the scale that a
    guidance-distilled model takes as an input, which is another thing than the trick. max_rows: rows in one call of the
    denoiser at the most.
    Raises UsageError for what cannot be.
    """

    prompt: str | Sequence[str | None] | None = None
    seed: int = 0
    count: int | None = None
    seeds: Sequence[int] | None = None
    steps: int | None = None
    timesteps: list[int] | None = None
    stride: int | None = None
    scheduler: str | None = None
    size: Size | None = None
    upscale_steps: int | None = None
    upscale_scheduler: str | None = None
    noise_level: int | None = None
    distilled_guidance: float | None = None
    max_rows: int | None = None

    def __post_init__(self) -> None:
        for name in WHOLE:
            _check_whole(name, getattr(self, name))
        if self.size is not None:
            _check_size(self.size)
        for seed in self.every_seed:
            _check_seed(seed)
        lengths = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(lengths) > 1:
            raise UsageError(f"{' and '.join(lengths)} both say which steps are made; give one of them")
        prompts = self.prompts
        if isinstance(prompts, tuple) and len(prompts) != len(self.every_seed):
            raise UsageError(f"expected one prompt, or one for each of {len(self.every_seed)} pictures, "
                             f"got {len(prompts)}")  # fmt: skip

    @property
    def prompts(self) -> Prompt:
        """The prompt of all pictures, or one each."""
        return self.prompt if self.prompt is None or isinstance(self.prompt, str) else tuple(self.prompt)

    @property
    def every_seed(self) -> list[int]:
        """One for each picture. Raises UsageError where there is none."""
        if self.seeds is not None:
            if not len(self.seeds):
                raise UsageError("count must be at least 1, got 0")
            return list(self.seeds)
        _check_seed(self.seed)
        count = len(self.prompts) if isinstance(self.prompts, tuple) and self.count is None else self.count
        return [self.seed + i for i in range(1 if count is None else count)]


def _check_whole(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be a whole number, got {value!r}")
    if value < 1 and name in COUNTS:
        raise UsageError(f"{name} must be at least 1, got {value}")


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed not in SEEDS:
        raise UsageError(f"a seed must be a whole number between -2**63 and 2**64 - 1, got {seed!r}")


def _check_size(size: Any) -> None:
    pair = isinstance(size, list | tuple) and len(size) == 2
    if not pair or not all(isinstance(side, int) for side in size):
        raise UsageError(f"size must be (width, height) in pixels, as in (64, 64), got {size!r}")


def begin(
    model: Model, sampling: Sampling | None = None, tricks: Sequence[Trick[Any]] = (), *, rehearsal: bool = False
) -> Run:  # fmt: skip
    """A run that is ready to go: scheduler set, size checked, prompts not yet encoded.

    tricks: outermost first. rehearsal: see `Run`. For a size that takes several stages, the run of the next one is its
    `following`.
    Raises UsageError for what the model cannot do, and PluginError.
    """
    sampling = sampling or Sampling()
    _check_model(model)
    asked = sampling.size or model.family.size
    with alone_with(model.pipe):  # an upscaler may be loaded now
        (_, size), *later = stages(model, (asked[0], asked[1]), sampling.noise_level)
    _check_told(model, sampling, size, upscaled=bool(later))
    scheduler, times = _schedule(model, size, sampling)
    terms = Terms(size, input_scaling(scheduler), sampling.max_rows, sampling.distilled_guidance)
    tricks = tuple(tricks)
    run = last = Run(
        model,
        sampling.prompts,
        Noise(sampling.every_seed),
        terms,
        scheduler,
        times,
        tricks,
        run_manager(tricks),
        rehearsal=rehearsal,
    )
    for upscaler, larger in later:
        scheduler, times = _schedule(
            upscaler, larger, Sampling(scheduler=sampling.upscale_scheduler, steps=sampling.upscale_steps)
        )
        terms = Terms(larger, input_scaling(scheduler), sampling.max_rows)
        last.following = Run(
            upscaler,
            run.prompt,
            run.noise,
            terms,
            scheduler,
            times,
            tricks,
            run_manager(tricks),
            rehearsal=rehearsal,
            previous=last,
        )
        last = last.following
    return run


def _check_model(model: Any) -> None:
    if not isinstance(model, Model):
        raise UsageError(f"expected a model, as load_model gives it, got a {type(model).__name__}")


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
    timesteps = sampling.timesteps if sampling.stride is None else strided(scheduler, sampling.stride)
    steps = model.defaults.steps if sampling.steps is None else sampling.steps
    family = model.family
    if family.schedule_reads:
        model.encode_prompts([None], size)
    how = {} if timesteps is not None else family.schedule(family.shape, scheduler, steps, size)
    return scheduler, set_steps(scheduler, steps, timesteps, **how)
