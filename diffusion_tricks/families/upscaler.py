"""What every upscaler has: a smaller picture beside the latents, noised to a level of which it is told.

    eps = unet([x_t, c], t, prompt, s),   c = alpha_s small + sigma_s eps'        Imagen, arXiv:2205.11487,
                                                                                  section 2.3 and appendix A.1

The pipeline's own `__call__` makes the condition c, once a run, and is left at its first denoiser call (`replay`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from diffusion_tricks.errors import PluginError
from diffusion_tricks.families.base import Family, parts_of
from diffusion_tricks.families.enlarging import Enlarging, checked_level
from diffusion_tricks.families.replay import Recorded, replayed
from diffusion_tricks.types import Pipeline, Row, Size

if TYPE_CHECKING:
    from diffusion_tricks.diffusion.conditioning import Condition


class Base(Protocol):
    """The model that makes the smaller pictures."""

    name: str
    device: torch.device
    dtype: torch.dtype
    family: Family

    def encode_prompts(
        self, prompts: Sequence[str | None], size: Size, distilled: float | None = None
    ) -> dict[str | None, Row]:
        """The denoiser's arguments for each prompt."""


class UpscalingFamily(Family):
    """A family of upscalers, each behind the model before it.

    enlarging: what its kind makes and takes. factor: times that it enlarges. noise_level: timestep of the noise on the
    condition, 0 (next to none) up; what it hides is made anew.
    """

    enlarging: ClassVar[Enlarging]

    def __init__(self, pipe: Pipeline, base: Base, noise_level: int):
        super().__init__(pipe)
        self.base = base
        self.noise_level = checked_level(noise_level, self.enlarging.most_noise(parts_of(pipe)))
        self.factor = self.enlarging.factor(self.shape, base.family.size)

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
