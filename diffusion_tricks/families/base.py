"""Record and replay: any pipeline of diffusers as a function from latents, step and prompts to a prediction.

The pipeline's own `__call__` prepares the denoiser's arguments, guidance off, for each prompt. The first denoiser
call is recorded and left by an exception before the model computes; from then on that call is replayed
with other latents and timesteps, picking rows per prompt. No pipeline is copied here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from diffusion_tricks.errors import PluginError
from diffusion_tricks.families.heeding import check_weights, encoders_in
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.types import Parts, Pipeline, Row, Size

if TYPE_CHECKING:
    from pathlib import Path

    from diffusion_tricks.diffusion.conditioning import Condition


class Family(ABC):
    """What differs between families of models; one object serves one pipeline.

    part: the name of the denoiser among the pipeline's components. normalises: whether the family's own pipeline brings
    guided predictions back, by `normalised`; None for families that have no such rule. schedule_reads: whether
    `schedule` takes that a prompt has been recorded. reads: whether `record` is given the words alone, and
    its pipeline reads them with their weights; else the prompt as it was asked. differentiable: whether gradients
    go back through its answers.
    """

    part: ClassVar[str] = "unet"
    schedule_reads: ClassVar[bool] = False
    reads: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    normalises: ClassVar[bool | None] = None

    def __init__(self, pipe: Pipeline):
        self.pipe = pipe
        self.shape = self.shape_of(parts_of(pipe))

    @staticmethod
    @abstractmethod
    def shape_of(parts: Parts) -> Shape:
        """The shape of a model of these parts. Raises ModelError for one that the family does not serve."""

    @classmethod
    def check_prompt(cls, prompt: str | None, parts: Parts, folder: Path | None = None) -> None:
        """Raises what `record` would for a prompt, as far as a model's settings tell: for plans, before it is loaded.

        folder: where they are written; None where they are known by the model's name.
        """
        encoders = encoders_in(parts)
        if prompt and cls.reads and encoders is not None:
            check_weights(str(parts.get("model_index", {}).get("_class_name")), encoders, prompt)

    @abstractmethod
    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """The denoiser's arguments for each prompt, as rows of one.

        distilled: the guidance scale that a distilled model is given; None is its pipeline's own.
        """

    @abstractmethod
    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The raw output (n c' h w) for scaled latents (n c h w), one recorded row each, and more arguments."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b 3 H W) in -1..1 to latents (b c h w)."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b c h w) to pixels (b 3 H W), about -1..1."""

    def beside(self, condition: Condition, size: Size) -> Tensor:
        """The input channels (b c' h w) that stand behind the latents, of a model that sees a condition."""
        raise PluginError(f"{type(self.pipe).__name__} sees nothing beside the latents; ask it without a condition")

    @staticmethod
    def schedule(shape: Shape, scheduler: Any, steps: int, size: Size) -> dict[str, Any]:
        """What the pipeline tells `scheduler.set_timesteps` beside the steps, such as `mu`, or instead, as `sigmas`."""
        return {}

    def normalised(self, guided: Tensor, cond: Tensor) -> Tensor:
        """The guided prediction (b c h w) as the family's own pipeline brings it back towards the conditional one."""
        return guided

    @property
    def denoiser(self) -> torch.nn.Module:
        """The network that is asked."""
        module: torch.nn.Module = getattr(self.pipe, self.part)
        return module

    @property
    def channels(self) -> int:
        """Of the latents."""
        return self.shape.channels

    @property
    def scale(self) -> int:
        """Pixels per latent."""
        return self.shape.scale

    @property
    def size(self) -> Size:
        """The size the model was made for, in pixels."""
        return self.shape.size

    @property
    def multiple(self) -> int:
        """Width and height are multiples of this, in pixels."""
        return self.shape.multiple


def parts_of(pipe: Pipeline) -> Parts:
    """The configuration of every component of a pipeline that has one, and its own as `model_index`."""
    components = {name: (part, getattr(part, "config", None)) for name, part in pipe.components.items()}
    return {"model_index": {**getattr(pipe, "config", {}), "_class_name": type(pipe).__name__}} | {
        name: {**_plain(config), "_class_name": type(part).__name__}
        for name, (part, config) in components.items() if config is not None
    }  # fmt: skip


def _plain(config: Any) -> Mapping[str, Any]:
    return config if isinstance(config, Mapping) else config.to_dict()
