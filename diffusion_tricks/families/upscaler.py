"""What every upscaler has: a smaller picture beside the latents, noised to a level of which it is told.

    eps = unet([x_t, c], t, prompt, s),   c = alpha_s small + sigma_s eps'        Imagen, arXiv:2205.11487,
                                                                                  section 2.3 and appendix A.1

The pipeline's own `__call__` makes the condition c, once a run, and is left at its first denoiser call (`denoiser`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from diffusion_tricks.devices.memory import Memory
from diffusion_tricks.errors import ModelError, PluginError, UsageError
from diffusion_tricks.families.base import Family, Recorded, Shape, parts_of, replayed
from diffusion_tricks.families.table import UPSCALERS, FamilyRow, upscaler_row
from diffusion_tricks.types import Parts, Pipeline, Row, Size

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.conditioning import Condition
    from diffusion_tricks.families.defaults import Defaults
    from diffusion_tricks.model.model import Model, Second


class UpscalingFamily(Family):
    """A family of upscalers, each behind the model before it.

    borrowed: components that it takes from the model before it, and does not need itself. factor: times that it
    enlarges. noise_level: timestep of the noise on the condition, 0 (next to none) up; what it hides is made anew.
    """

    borrowed: ClassVar[tuple[str, ...]] = ()

    def __init__(self, pipe: Pipeline, base: Model, noise_level: int):
        super().__init__(pipe)
        self.base = base
        self.noise_level = checked_level(noise_level, self.most_noise(parts_of(pipe)))
        self.factor = self.factor_of(self.shape, base.family.size)

    @staticmethod
    @abstractmethod
    def factor_of(shape: Shape, base: Size) -> int:
        """How many times it enlarges what a model of size `base` makes. Raises ModelError where that is not larger."""

    @staticmethod
    @abstractmethod
    def most_noise(parts: Parts) -> int:
        """The highest noise level."""

    @staticmethod
    @abstractmethod
    def guess(base: Size) -> Parts:
        """The configurations of one that is not on this machine, behind a model of size `base`, as far as it goes."""

    @abstractmethod
    def prepared(self, pixels: Tensor, size: Size, row: Row, generators: list[torch.Generator]) -> Recorded:
        """The pipeline's first denoiser call for smaller pictures (b 3 h w), about -1..1, and one prompt's row."""

    def condition(
        self, pixels: Tensor, size: Size, row: Row, generators: list[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Starting noise (b c h w), standard normal, and the condition (b c' h w), for smaller pictures (b 3 h w).

        Both are what the pipeline draws and prepares itself, one generator per picture, in its own order.
        """
        made = self.prepared(pixels, size, row, generators)
        noise, condition = made.sample[:, : self.channels], made.sample[:, self.channels :]
        return noise / made.spread, condition

    def beside(self, condition: Condition, size: Size) -> Tensor:
        """The small picture, noised (b c' h w)."""
        return condition.picture

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """Replays the recorded call with other latents and condition, in this order in the channels of x."""
        if x.shape[1] != self.pipe.unet.config.in_channels:
            raise PluginError("a question to an upscaler came without its condition; make it from `ask`, by `ask.but`")
        return replayed(self.pipe.unet, x, t, rows, **more)


def checked_level(noise_level: int, most: int) -> int:
    """The noise level, if the upscaler has it. Raises UsageError."""
    if not 0 <= noise_level <= most:
        raise UsageError(f"noise level must be between 0 and {most} for this upscaler, got {noise_level}")
    return noise_level


def guessed_row(name: str) -> FamilyRow:
    """The row of an upscaler of which nothing is known but its name, and that it is one."""
    return UPSCALERS[1 if "x4" in name.lower() else 0]


def no_upscaler(name: str, pipeline: str) -> ModelError:
    """The error to raise for a model of a class of pipelines that enlarges nothing."""
    known = " or ".join(pipeline for row in UPSCALERS for pipeline in row.pipelines)
    return ModelError(f"{name!r} is of {pipeline} and no upscaler: expected {known}")


@dataclass
class Upscaler:
    """The stage that a model may have behind it; its weights are loaded when they are first asked for.

    name: of the model it is. load: gives its pipeline, on the base model's device, where memory is saved as it is told.
    defaults: of its runs. follows: gives what may stand behind it in turn. revision: the commit it is of, where it was
    loaded from the hub.
    """

    name: str
    load: Callable[[Memory], Pipeline]
    defaults: Defaults
    follows: Callable[[], Second | None] = field(default=lambda: None, repr=False)
    revision: str | None = None
    _pipe: Pipeline = field(default=None, repr=False)
    _memory: Memory | None = field(default=None, repr=False)

    @cached_property
    def second(self) -> Second | None:
        """The stage behind this one, not yet loaded."""
        return self.follows()

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The upscaler as the model that follows `base`. Raises ModelError for a pipeline that is no upscaler."""
        from diffusion_tricks.families.lookup import opened
        from diffusion_tricks.model.model import Model

        if self._pipe is None or self._memory is None:
            self._memory = Memory(base.memory.mode)
            self._pipe = self.load(self._memory)
        row = upscaler_row(type(self._pipe).__name__)
        if row is None:
            raise no_upscaler(self.name, type(self._pipe).__name__)
        level = self.defaults.noise_level if noise_level is None else noise_level
        family = opened(row)(self._pipe, base, level)  # type: ignore[call-arg]
        return Model(
            self._pipe, self.name, base.device, base.dtype, self.defaults, self.revision, self.second,
            memory=self._memory, opened=family,
        )  # fmt: skip
