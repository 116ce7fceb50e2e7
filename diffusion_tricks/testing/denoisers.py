"""Closed-form denoisers: models whose every answer is known, so that a test can tell a right sampler from a wrong one.

x = sqrt(abar) x0 + sqrt(1 - abar) eps;  with one x0 in the data set,  eps = (x - sqrt(abar) x0) / sqrt(1 - abar)
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.diffusion.levels import Scheduler
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.model.model import Model
from diffusion_tricks.types import Parts, Row, Size

Images = Tensor | Mapping[str, Tensor] | Mapping[str | None, Tensor]


class ExactFamily(Family):
    """The exact denoiser of a data set that holds one picture (per prompt), in pixel space.

    images: (1 c h w) in -1..1 for each prompt; one Tensor alone answers every prompt. scheduler: whose training
    schedule says alpha_bar at a timestep. variance: what the learned variance channels hold, None for none.
    """

    def __init__(self, images: Images, scheduler: Scheduler, variance: float | None = None):
        self.images = images
        self.variance = variance
        self.prediction = str(scheduler.config.get("prediction_type", "epsilon"))
        bars = scheduler.alphas_cumprod.double()
        self.sigmas = ((1 - bars) / bars).sqrt()  # (timesteps)
        example = images if isinstance(images, Tensor) else next(iter(images.values()))
        self.shape = Shape(int(example.shape[1]), (int(example.shape[-1]), int(example.shape[-2])))

    @staticmethod
    def shape_of(parts: Parts) -> Shape:
        """Never asked: its pictures have the shape."""
        raise NotImplementedError

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """The prompts themselves. Raises UsageError for a size that the data set lacks."""
        if size != self.size:
            raise UsageError(f"this exact model knows pictures of size {self.size}, got {size}")
        return [{"prompt": prompt} for prompt in prompts]

    def _image(self, prompt: str | None) -> Tensor:
        if isinstance(self.images, Tensor):
            return self.images
        known: Mapping[Any, Tensor] = self.images
        if prompt not in known:
            raise UsageError(f"this exact model knows the prompts {list(known)}, was asked {prompt!r}")
        return known[prompt]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The exact prediction (n c h w) for scaled latents; behind it the variance channels, if there are any."""
        x0 = torch.cat([self._image(row["prompt"]) for row in rows]).to(x.device, torch.float64)  # (n c h w)
        alpha, sigma = self._level(t)
        value = Level(alpha, sigma, self.prediction).from_clean(x0, x.double()).to(x.dtype)
        if self.variance is None:
            return value
        return torch.cat([value, torch.full_like(value, self.variance)], dim=1)

    def _level(self, t: Tensor) -> tuple[float, float]:
        """(sqrt(alpha_bar), sqrt(1 - alpha_bar)) at t, whatever the scheduler's scaling: scaled input is of this form.

        Between two timesteps sigma is linear, as in Euler's schedules.
        """
        below = int(t)
        share = float(t) - below
        sigma = float(self.sigmas[below])
        if share:
            sigma += share * (float(self.sigmas[min(below + 1, len(self.sigmas) - 1)]) - sigma)
        bar = 1 / (1 + sigma * sigma)
        return float(bar**0.5), float((1 - bar) ** 0.5)

    def encode(self, pixels: Tensor) -> Tensor:
        """The pixels themselves."""
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        """The latents themselves."""
        return latents


class ExactPipeline:
    """Stands for the pipeline of an exact model, of which there is a scheduler alone."""

    def __init__(self, scheduler: Scheduler):
        self.scheduler, self.components = scheduler, dict[str, Any]()


def exact_model(
    images: Images,
    scheduler: Scheduler | None = None,
    prediction: str = "epsilon",
    variance: float | None = None,
) -> Model:
    """A model that knows one picture: every sampler that is right ends in it, from any noise.

        model = exact_model({"a rabbit": rabbit, None: torch.zeros(1, 3, 64, 64)})

    images: (1 3 h w) in -1..1, for every prompt or for each of those that will be asked; None is the unconditional.
    scheduler: of diffusers, with a training schedule; default DDPM's linear one, unclipped. prediction: "epsilon",
    "v_prediction" or "sample". variance: learned variance channels of this value, -1..1; None is none.
    Asking for a prompt or a size it does not know raises UsageError.
    """
    from diffusers import DDPMScheduler

    if scheduler is None:
        kind = "fixed_small" if variance is None else "learned_range"
        scheduler = DDPMScheduler(clip_sample=False, variance_type=kind)
    scheduler = copy.deepcopy(scheduler)
    scheduler.register_to_config(prediction_type=prediction)
    pipe = ExactPipeline(scheduler)
    family = ExactFamily(images, scheduler, variance)
    return Model(pipe, "exact", torch.device("cpu"), torch.float32, Defaults(steps=20), opened=family)


__all__ = ["ExactFamily", "exact_model"]
