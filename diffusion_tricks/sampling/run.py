"""One run of the denoising loop: what tricks and callers read, and note down."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload

from diffusion_tricks.diffusion.levels import levels_of
from diffusion_tricks.diffusion.steps import begin_at, can_spread, set_steps
from diffusion_tricks.errors import PluginError
from diffusion_tricks.io.pixels import png_of, to_images
from diffusion_tricks.io.source import Source
from diffusion_tricks.sampling.heard import Heard
from diffusion_tricks.sampling.notebook import line_of_run
from diffusion_tricks.sampling.prompts import every_prompt, written
from diffusion_tricks.sampling.trace import Trace
from diffusion_tricks.types import Prompt

if TYPE_CHECKING:
    from pluggy import PluginManager
    from torch import Tensor
    from torch.nn import Module

    from diffusion_tricks.diffusion.conditioning import Condition
    from diffusion_tricks.diffusion.levels import Scheduler
    from diffusion_tricks.diffusion.noise import Noise
    from diffusion_tricks.io.raster import Repainted
    from diffusion_tricks.model.batching import Terms
    from diffusion_tricks.model.model import Model
    from diffusion_tricks.registry.trick import Trick
    from diffusion_tricks.types import Size

Notes = TypeVar("Notes")  # what a trick keeps of a run


@dataclass(repr=False)
class Run:
    """One run of the loop over a batch of pictures: what was asked, and what tricks may read and note down.

    prompt: for all pictures, or one each. noise: one generator per picture. levels: (alpha, sigma) before each step and
    after the last. first: the step it starts with. rows: computed by the denoiser so far. latents: after the last step
    so far (b c h w). facts: what tricks report of each picture, one dictionary per picture.

    A picture larger than the model makes is made in stages, each a run: `following` enlarges what this one makes,
    `previous` made what it enlarges. window: the size that the model is asked about at a time, where not the whole;
    wraps: whether its last column goes on in the first; a trick's `prepare` sets both. condition: what the model sees
    beside `x`, of that or of a picture to inpaint. repainted: by number of the picture, what `finish_image` made of the
    source, at its depth. terms: how the model is asked. rehearsal: on a stand-in without weights, to find what would
    fail; tricks do it all again in the run itself.
    """

    model: Model
    prompt: Prompt
    noise: Noise
    terms: Terms
    scheduler: Scheduler
    timesteps: Tensor
    tricks: Sequence[Trick[Any]]
    manager: PluginManager = field(repr=False)
    source: Source | None = None
    rows: int = 0
    first: int = 0
    latents: Tensor | None = None
    facts: list[dict[str, Any]] = field(default_factory=list)
    condition: Condition | None = None
    window: Size | None = None
    wraps: bool = False
    rehearsal: bool = False
    previous: Run | None = field(default=None, repr=False, compare=False)
    following: Run | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.hook = self.manager.hook
        self.levels = levels_of(self.scheduler)
        self.trace = Trace()
        self.facts = [{} for _ in self.noise.seeds]
        self.repainted: dict[int, Repainted] = {}
        self._states: dict[int, Any] = {}
        self.heard = Heard()
        self.span = 1.0  # share of the training's timesteps that it goes through, less where it starts from a picture
        self.begun: set[str] = set()  # names of the tricks whose `prepare` began, and that are not closed
        self._settled: dict[int, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return line_of_run(self)

    def _repr_png_(self) -> bytes | None:
        """The latents as pictures side by side, for a notebook; None before the run has started."""
        return None if self.latents is None else png_of(to_images(self.pixels()))

    @property
    def count(self) -> int:
        """How many pictures the run makes."""
        return len(self.noise.seeds)

    @property
    def network(self) -> Module | None:
        """The denoiser; None in a rehearsal."""
        return getattr(self.model.pipe, self.model.family.part, None)

    @property
    def size(self) -> Size:
        """(width, height) of the pictures in pixels."""
        return self.terms.size

    @property
    def max_rows(self) -> int | None:
        """Rows in one call of the denoiser at the most; None is all."""
        return self.terms.max_rows

    @property
    def stage(self) -> int:
        """1, or 2 and up for a run that enlarges what another made."""
        return 1 if self.previous is None else self.previous.stage + 1

    @property
    def stage_count(self) -> int:
        """How many stages the pictures take in all."""
        return self.stage - 1 + len(self.stages)

    @property
    def stages(self) -> list[Run]:
        """This run and those that follow it; the pictures of the last are those that were asked for."""
        return [self, *(self.following.stages if self.following else [])]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c h w) of one picture's latents."""
        family = self.model.family
        return family.channels, self.size[1] // family.scale, self.size[0] // family.scale

    @property
    def substeps(self) -> int:
        """Evaluations the scheduler makes in one full step: 2 for Heun, else 1."""
        return int(getattr(self.scheduler, "order", 1))

    @property
    def whole_steps(self) -> int:
        """Full steps of the schedule."""
        return -(-len(self.timesteps) // self.substeps)

    @overload
    def state(self, trick: Trick[Any]) -> dict[str, Any]: ...

    @overload
    def state(self, trick: Trick[Any], kind: type[Notes]) -> Notes: ...

    def state(self, trick: Trick[Any], kind: type[Any] = dict) -> Any:
        """A trick's notes of this run, made by `kind()` when they are first asked for; the trick may serve many runs.

        kind: a class that is made without arguments, such as a dataclass with defaults. A step that is taken again sets
        back what stands in its attributes. Raises PluginError where the notes are of another kind already.
        """
        if id(trick) not in self._states:
            self._states[id(trick)] = kind()
        notes = self._states[id(trick)]
        if not isinstance(notes, kind):
            came, expected = type(notes).__name__, kind.__name__
            raise PluginError(f"trick {trick.label()!r} keeps its notes as a {came}, not a {expected}; use one")
        return notes

    def settle(self, trick: Trick[Any], **options: Any) -> None:
        """Says what options of a trick stood for, for the record, such as a commit for a name at the hub.

        Each is a value that the option takes and JSON holds. Raises PluginError for what is no option of the trick.
        """
        if unknown := options.keys() - type(trick).Options.model_fields.keys():
            names = ", ".join(sorted(unknown))
            raise PluginError(f"trick {trick.label()!r} settles {names}, of which it has no option; name its own")
        self._settled.setdefault(id(trick), {}).update(options)

    def settled(self, trick: Trick[Any]) -> dict[str, Any]:
        """What a trick has settled in this run and those that follow it."""
        return {name: value for run in self.stages for name, value in run._settled.get(id(trick), {}).items()}

    def first_step(self, strength: float) -> int:
        """The index of the first step of an edit of that strength, 0..1; the number of steps where none is made.

        As in the image-to-image pipelines of diffusers: of all steps the last are made, so many as the strength says.
        That of latent consistency models spreads all of them over what the strength leaves of the schedule, which is
        then set anew.
        """
        steps = self.scheduler.num_inference_steps or len(self.timesteps)  # None for timesteps given one by one
        if self.model.family.shape.spreads and 0 < strength < 1 and can_spread(self.scheduler):
            self.timesteps = set_steps(self.scheduler, steps, strength=strength)
            self.levels = levels_of(self.scheduler)
            return 0
        skipped = steps - min(int(steps * strength), steps)
        return min(skipped * self.substeps, len(self.timesteps))

    def beginning(self, index: int) -> int:
        """The step that a run begins with which is to begin at `index`: that one, or the next at the same level.

        Raises UsageError where its scheduler cannot begin there, in the middle of a step.
        """
        return begin_at(copy.deepcopy(self.scheduler), index)

    def noised(self, clean: Tensor, noise: Tensor, index: int) -> Tensor:
        """Clean latents (b c h w) at the level before step `index`: alpha x0 + sigma eps."""
        return self.levels[index].noised(clean, noise)

    def latents_of(self, pixels: Tensor) -> Tensor:
        """Pixels (b 3 H W) in -1..1 as latents (b c h w) on the model's device."""
        from diffusion_tricks.devices.transfer import sent  # here, as it needs torch

        return self.model.encode(sent(pixels, self.model.device, self.model.dtype))

    def pixels(self) -> Tensor:
        """The latents as pixels (b 3 H W), about -1..1; there are none before the run has started."""
        if self.latents is None:
            raise AttributeError("run.latents are known once the run has started")
        if not self.wraps or self.model.family.scale == 1:
            return self.model.decode(self.latents, self.max_rows)
        from diffusion_tricks.sampling.wrapping import SEAM, around, within  # here, as it needs torch

        columns = min(SEAM, self.latents.shape[-1])
        pixels = self.model.decode(around(self.latents, columns), self.max_rows)
        return within(pixels, columns / self.latents.shape[-1])

    def prompts(self) -> list[str | None]:
        """Every prompt that may be asked, in the words of the step that asks it. Raises PluginError."""
        return every_prompt(written(self, self.prompt), self.whole_steps)
