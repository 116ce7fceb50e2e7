"""The second stage of a cascade, of the kind of DeepFloyd IF II without text (task upscale).

    v = unet([x_t, c], t, s),   c = sqrt(abar_s) up(small) + sqrt(1 - abar_s) eps',   s drawn from 0..max_noise_level

Noise on the condition c makes it robust to a first stage that draws worse than the data: Imagen, arXiv:2205.11487,
section 2.3.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, IFSuperResolutionPipeline, UNet2DConditionModel
from torch import Tensor, nn

from diffusion_tricks.devices.memory import Memory
from diffusion_tricks.errors import ModelError
from diffusion_tricks.loading.load import upscaler_from
from diffusion_tricks.training.data.crops import Crops, shrunk
from diffusion_tricks.training.data.stream import Batch, Source
from diffusion_tricks.training.network import upscaler_unet
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.showing import NOISE_LEVEL
from diffusion_tricks.training.task import Page, check_same, level_widths

LEVELS = 1000  # noise levels of the condition, on the cosine schedule whatever that of the pictures is


class Enlarger(nn.Module):
    """The UNet, which sees the enlarged picture beside the noisy one."""

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, beside: Tensor, level: Tensor) -> Tensor:
        """The prediction (b 3 h w) for noisy pictures (b 3 h w) at timesteps (b), beside others of noise levels (b)."""
        seen = torch.cat([x, beside], 1)
        both: Tensor = self.unet(seen, t, encoder_hidden_states=None, class_labels=level, return_dict=False)[0]
        return both[:, : x.shape[1]]


class UpscaleTask:
    """The small picture is told, enlarged and noised, and how much it is noised.

    start: a pipeline whose network to go on with. Raises UsageError, ModelError where it or the data do not fit.
    """

    classes: tuple[str, ...] = ()
    guidance = 1.0

    def __init__(self, options: TrainOptions, source: Source, start: Any = None):
        assert isinstance(source, Crops)
        self.factor, self.max_noise_level = options.factor, options.max_noise_level
        if start is not None:
            check_same(start.unet, "UNet2DConditionModel", source.whole.size, 6, None)
            unet = start.unet
        else:
            widths = level_widths(options, math.gcd(source.size, source.whole.size))
            unet = upscaler_unet(source.whole.size, widths, options.layers)
        self.network: nn.Module = Enlarger(unet)
        self.noising = noising_scheduler()

    def condition(self, batch: Batch, dropout: float) -> dict[str, Tensor]:
        """The enlarged pictures (b 3 h w), each noised at a level of its own, and the levels (b). None is dropped."""
        assert batch.enlarged is not None
        level = torch.randint(0, self.max_noise_level + 1, (len(batch.enlarged),))
        beside = self.noising.add_noise(batch.enlarged, torch.randn_like(batch.enlarged), level)
        return {"beside": beside, "level": level}

    def pipeline(self, scheduler: Any) -> Any:
        """IFSuperResolutionPipeline in float16, without text encoder and tokenizer."""
        assert isinstance(self.network, Enlarger)
        unet = copy.deepcopy(self.network.unet).to("cpu", memory_format=torch.contiguous_format).eval()
        return IFSuperResolutionPipeline(
            tokenizer=None, text_encoder=None, unet=unet.half(), scheduler=scheduler,
            image_noising_scheduler=noising_scheduler(), safety_checker=None, feature_extractor=None,
            watermarker=None, requires_safety_checker=False,
        )  # fmt: skip

    def page(self, pipe: Any, source: Source, options: TrainOptions, device: torch.device) -> Page:
        """For each picture three: the small one in large pixels, what the model makes of it, the picture itself."""
        assert isinstance(source, Crops)
        count = max(1, options.sheet_count // 3)
        places = np.linspace(0, len(source.whole) - 1, count).astype(int).tolist()
        pictures = source.whole.draw(places, np.random.default_rng([options.seed, 5])).pictures
        small = shrunk(pictures, self.factor)
        rows = (enlarged_by(pipe.to(device, torch.float32), one[None], options.sheet_steps) for one in small)
        coarse = small.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
        shown = torch.stack([coarse, torch.cat(list(rows)), pictures], 1).flatten(0, 1)
        return Page(shown.clamp(-1, 1), 3, ["small", "enlarged", "original"] * count)


def noising_scheduler() -> DDPMScheduler:
    """What puts noise on the condition, in training and in the saved pipeline."""
    return DDPMScheduler(num_train_timesteps=LEVELS, beta_schedule="squaredcos_cap_v2")


def enlarged_by(pipe: Any, small: Tensor, steps: int, noise_level: int = NOISE_LEVEL) -> Tensor:
    """What an upscaler makes of small pictures in -1..1 (b 3 h w), without text, from the same seed each time."""
    pipe.set_progress_bar_config(disable=True)
    unheard = torch.zeros(len(small), 1, 1, device=pipe.device)
    made: Tensor = pipe(
        prompt_embeds=unheard, image=small, num_inference_steps=steps, guidance_scale=1.0, noise_level=noise_level,
        generator=torch.Generator().manual_seed(0), output_type="pt",
    ).images  # fmt: skip
    return made.cpu()


def opened_upscaler(folder: str) -> Any:
    """The upscaler in a directory, in float32. Raises ModelError."""
    found = upscaler_from(folder, torch.device("cpu"), torch.float32)
    if found is None:
        raise ModelError(f"`start_from` {folder}: expected the directory of an upscaler")
    return found.load(Memory())
