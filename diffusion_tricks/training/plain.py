"""Networks without text: `UNet2DModel`, told a class or nothing (tasks denoiser, unconditional and class)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, UNet2DModel
from torch import Tensor, nn

from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.plain import PlainFamily
from diffusion_tricks.training.data.stream import Batch, Source
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.showing import sampled_page
from diffusion_tricks.training.task import Page, check_same, cycled, level_widths

GUIDANCE = 5.0  # of a class


class Plain(nn.Module):
    """A UNet whose prediction is all it gives."""

    def __init__(self, unet: UNet2DModel):
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """The prediction (b c h w) for noisy pictures (b c h w) at timesteps (b), of classes (b) where it knows any."""
        prediction: Tensor = self.unet(x, t, class_labels=class_labels, return_dict=False)[0]
        return prediction


class PlainTask:
    """Nothing is told, or a class; the class after the last stands for none.

    start: a pipeline whose network to go on with. Raises UsageError, ModelError where it or the data do not fit.
    """

    def __init__(self, options: TrainOptions, source: Source, start: Any = None, folder: Path | None = None):
        self.classes = source.classes if options.task == "class" else ()
        if options.task == "class" and not source.classes:
            raise UsageError(f'data {options.data!r} has no classes; use `task="unconditional"`, or class sub-folders')
        self.guidance = (GUIDANCE if options.guidance is None else options.guidance) if self.classes else 1.0
        embeddings = len(self.classes) + 1 if self.classes else None
        if start is not None:
            check_same(start.unet, "UNet2DModel", source.size, source.channels, embeddings)
            known = PlainFamily(start).classes
            if self.classes and known != self.classes:
                raise UsageError(f"the weights to start from know other classes: {', '.join(known)}")
        unet = start.unet if start is not None else unet_for(options, source, embeddings)
        self.network: nn.Module = Plain(unet)

    def condition(self, batch: Batch, dropout: float) -> dict[str, Tensor]:
        """The classes (b), the null class in the place of those that are dropped or unknown."""
        if not self.classes:
            return {}
        dropped = (torch.rand(len(batch.classes)) < dropout) | (batch.classes < 0)
        return {"class_labels": batch.classes.masked_fill(dropped, len(self.classes))}

    def pipeline(self, scheduler: Any) -> Any:
        """DDIMPipeline, which takes DDIM's scheduler alone; DDPMPipeline for a flow's."""
        assert isinstance(self.network, Plain)
        unet = copy.deepcopy(self.network.unet).to("cpu", memory_format=torch.contiguous_format).eval()
        kind = DDIMPipeline if isinstance(scheduler, DDIMScheduler) else DDPMPipeline
        return kind(unet=unet, scheduler=scheduler)

    def page(self, pipe: Any, source: Source, options: TrainOptions, device: torch.device) -> Page:
        """Samples, in rows of as many as there are classes, where these are few, with the classes' names."""
        return sampled_page(self, pipe, options, device, captioned=bool(self.classes))

    def opened(self, pipe: Any) -> Family:
        """With the names of the classes, which the pipeline does not hold."""
        return PlainFamily(pipe, self.classes)

    def prompts(self, count: int) -> list[str]:
        """Every class in turn, or nothing."""
        return cycled(self.classes or ("",), count)


def unet_for(options: TrainOptions, source: Source, embeddings: int | None) -> UNet2DModel:
    """A new network for the data, with attention at the coarsest level."""
    widths = level_widths(options, source.size)
    plain = len(widths) - 1
    return UNet2DModel(
        sample_size=source.size,
        in_channels=source.channels,
        out_channels=source.channels,
        block_out_channels=widths,
        layers_per_block=options.layers,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        norm_num_groups=8,
        attention_head_dim=8,
        num_class_embeds=embeddings,
    )
