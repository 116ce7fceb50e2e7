"""What the network is told beside the noisy picture, and the pipeline it becomes: what every task has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.loading.load import load_model
from diffusion_tricks.training.data.stream import Batch, Source
from diffusion_tricks.training.options import TrainOptions


@dataclass(frozen=True)
class Page:
    """What a sheet shows: pictures (n 3 h w) in -1..1, so many in a row, and a caption for each or none at all."""

    pictures: Tensor
    columns: int
    captions: list[str] | None = None


class Task(Protocol):
    """One network to train, and how it is spoken to.

    network: called with noisy pictures (b c h w), timesteps (b) and the tensors of `condition`; gives predictions
    (b c h w).  classes: names that the saved model knows, if it knows any.  guidance: the scale it is best shown at.
    """

    network: nn.Module
    classes: tuple[str, ...]
    guidance: float

    def condition(self, batch: Batch, dropout: float) -> dict[str, Tensor]:
        """What the network is told of a batch; a share `dropout` of its pictures comes without."""

    def pipeline(self, scheduler: Any) -> Any:
        """A copy of the present weights as a pipeline of diffusers, on the CPU."""

    def page(self, pipe: Any, source: Source, options: TrainOptions, device: torch.device) -> Page:
        """A sheet of what the pipeline makes, of the pictures of `source` if of any."""


def opened_pipeline(folder: str) -> Any:
    """The pipeline in a directory, in float32. Raises ModelError."""
    return load_model(Path(folder), device="cpu", dtype="float32").pipe


def check_same(unet: Any, kind: str, size: int, channels: int, classes: int | None) -> None:
    """Raises ModelError unless a network to start from has the shape that the data asks for."""
    config = unet.config
    asked = {"network": kind, "size": size, "channels": channels, "class embeddings": classes}
    there = {
        "network": type(unet).__name__, "size": config.sample_size, "channels": config.in_channels,
        "class embeddings": config.num_class_embeds,
    }  # fmt: skip
    wrong = [
        f"{name} {there[name]} where the training needs {asked[name]}" for name in asked if there[name] != asked[name]
    ]
    if wrong:
        raise ModelError(f"the weights to start from do not fit: {'; '.join(wrong)}")


def level_widths(options: TrainOptions, size: int) -> tuple[int, ...]:
    """Channels of each level for pictures of `size` pixels. Raises UsageError where these cannot be halved so often."""
    widths = options.channels_of_levels()
    if widths is None:
        widths = tuple(_multiple(options.width * min(2, 2**i)) for i in range(options.levels or halvings(size) + 1))
    if size % 2 ** (len(widths) - 1):
        raise UsageError(
            f"{len(widths)} levels halve the side {len(widths) - 1} times, which {size} pixels do not allow; "
            f"use `levels={halvings(size) + 1}` or another `size`"
        )
    return widths


def halvings(size: int) -> int:
    """How often a side can be halved, three times and to 4 pixels at the most."""
    count = 0
    while count < 3 and size % 2 == 0 and size // 2 >= 4:
        size, count = size // 2, count + 1
    return count


def _multiple(width: int) -> int:
    """The next multiple of 8: the norms work on groups of channels."""
    return -(-width // 8) * 8


def cycled(names: Sequence[str], count: int) -> list[str]:
    """`count` names, from the first on and over again."""
    return [names[i % len(names)] for i in range(count)]
