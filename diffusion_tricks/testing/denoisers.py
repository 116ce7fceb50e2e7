"""Closed-form denoisers: models whose every answer is known, so that a test can tell a right sampler from a wrong one.

x = alpha x0 + sigma eps, and of a data set that holds the pictures x_i the best guess at x0 is their posterior mean,

    x0 = sum_i w_i x_i,  w = softmax_i( -|x - alpha x_i|^2 / (2 sigma^2) )      EDM, arXiv:2206.00364, appendix B.3

which is the picture itself where there is but one. The noise is then  eps = (x - alpha x0) / sigma.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.diffusion.levels import Scheduler, flows, prediction_of
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.model.model import Model
from diffusion_tricks.types import Parts, Row, Size

Images = Tensor | Mapping[str, Tensor] | Mapping[str | None, Tensor]
Denoise = Callable[[Tensor, Level, Sequence[str | None]], Tensor]  # (n c h w), its level, prompts, to x0 (n c h w)


def posterior_mean(x: Tensor, level: Level, images: Tensor) -> Tensor:
    """The best guess at the clean picture of each x (b c h w) at a level, where the data set is `images` (n c h w).

    sum_i w_i x_i,  w = softmax_i( -|x - alpha x_i|^2 / (2 sigma^2) ),  computed in float64.
    arXiv:2206.00364, appendix B.3
    """
    known = images.to(x.device, torch.float64).flatten(1)  # (n chw)
    alike = level.alpha * x.double().flatten(1) @ known.T - level.alpha**2 / 2 * known.square().sum(1)  # but for |x|^2
    weights = torch.softmax(alike / level.sigma**2, dim=1)  # (b n)
    return (weights @ known).reshape(x.shape).to(x.dtype)


class DenoiserFamily(Family):
    """A function from noisy to clean pictures as a model, in pixel space; see `denoiser_model`."""

    reads = False

    def __init__(self, denoise: Denoise, shape: Shape, scheduler: Scheduler, variance: float | None = None):
        self.denoise, self.shape, self.variance = denoise, shape, variance
        self.prediction = prediction_of(scheduler)
        self.total = int(scheduler.config.num_train_timesteps)
        self.sigmas = None if flows(scheduler) else _sigmas(scheduler)  # (timesteps)

    @staticmethod
    def shape_of(parts: Parts) -> Shape:
        """Never asked: it is given."""
        raise NotImplementedError

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """The prompts themselves. Raises UsageError for a size that the data set lacks."""
        if size != self.size:
            raise UsageError(f"this exact model knows pictures of size {self.size}, got {size}")
        return [{"prompt": prompt} for prompt in prompts]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The prediction (n c h w) for scaled latents; behind it the variance channels, if there are any."""
        level, wide = self._level(t), x.double()
        x0 = self.denoise(wide, level, [row["prompt"] for row in rows]).double()  # (n c h w)
        value = level.from_clean(x0, wide).to(x.dtype)
        if self.variance is None:
            return value
        return torch.cat([value, torch.full_like(value, self.variance)], dim=1)

    def _level(self, t: Tensor) -> Level:
        """The level at t: of a flow (1 - t / T, t / T), else (sqrt(alpha_bar), sqrt(1 - alpha_bar)).

        Whatever the scheduler's scaling, scaled input is of this form. Between two timesteps sigma / alpha is linear,
        as in Euler's schedules.
        """
        if self.sigmas is None:
            s = float(t) / self.total
            return Level(1 - s, s, self.prediction)
        below = int(t)
        share = float(t) - below
        sigma = float(self.sigmas[below])
        if share:
            sigma += share * (float(self.sigmas[min(below + 1, len(self.sigmas) - 1)]) - sigma)
        bar = 1 / (1 + sigma * sigma)
        return Level(float(bar**0.5), float((1 - bar) ** 0.5), self.prediction)

    def encode(self, pixels: Tensor) -> Tensor:
        """The pixels themselves."""
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        """The latents themselves."""
        return latents


def _sigmas(scheduler: Scheduler) -> Tensor:
    bars: Tensor = scheduler.alphas_cumprod.double()
    return ((1 - bars) / bars).sqrt()


class DenoiserPipeline:
    """Stands for the pipeline of a model that is a function, of which there is a scheduler alone."""

    def __init__(self, scheduler: Scheduler):
        self.scheduler, self.components = scheduler, dict[str, Any]()


def denoiser_model(
    denoise: Denoise,
    shape: tuple[int, int, int],
    scheduler: Scheduler | None = None,
    prediction: str | None = None,
    variance: float | None = None,
) -> Model:
    """A model that asks a function for clean pictures: any denoiser, in the toolkit's own loop.

        model = denoiser_model(lambda x, level, prompts: network(x, level.sigma), (2, 1, 1))

    denoise: gives x0 (n c h w) for noisy x (n c h w) in float64, x = level.alpha x0 + level.sigma eps, and a prompt for
    each of its rows. shape: (c h w) of a picture. scheduler, prediction, variance: as for `exact_model`.
    """
    from diffusers import DDPMScheduler

    if scheduler is None:
        kind = "fixed_small" if variance is None else "learned_range"
        scheduler = DDPMScheduler(clip_sample=False, variance_type=kind)
    scheduler = copy.deepcopy(scheduler)
    if prediction is not None:
        scheduler.register_to_config(prediction_type=prediction)
    channels, height, width = shape
    family = DenoiserFamily(denoise, Shape(channels, (width, height), fixed=True), scheduler, variance)
    pipe = DenoiserPipeline(scheduler)
    return Model(pipe, "exact", torch.device("cpu"), torch.float32, Defaults(steps=20), opened=family)


def exact_model(
    images: Images,
    scheduler: Scheduler | None = None,
    prediction: str | None = None,
    variance: float | None = None,
) -> Model:
    """A model that knows a data set, and of each noisy picture the best there is to say: `posterior_mean`.

        model = exact_model({"a rabbit": rabbit, None: torch.zeros(1, 3, 64, 64)})

    Where the set holds one picture, every sampler that is right ends in it, from any noise.

    images: (n c h w), about -1..1, for every prompt or for each of those that will be asked; None is the unconditional.
    scheduler: of diffusers, with a training schedule or a flow's; default DDPM's linear one, unclipped. prediction:
    "epsilon", "v_prediction" or "sample"; None is the scheduler's own. variance: learned variance channels of this
    value, -1..1; None is none. Asking for a prompt or a size it does not know raises UsageError.
    """
    example = images if isinstance(images, Tensor) else next(iter(images.values()))

    def denoise(x: Tensor, level: Level, prompts: Sequence[str | None]) -> Tensor:
        if isinstance(images, Tensor):
            return posterior_mean(x, level, images)
        rows = [posterior_mean(x[i : i + 1], level, _known(images, prompt)) for i, prompt in enumerate(prompts)]
        return torch.cat(rows)

    _, *shape = example.shape
    return denoiser_model(denoise, (shape[0], shape[1], shape[2]), scheduler, prediction, variance)


def _known(images: Mapping[Any, Tensor], prompt: str | None) -> Tensor:
    if prompt not in images:
        raise UsageError(f"this exact model knows the prompts {list(images)}, was asked {prompt!r}")
    return images[prompt]


__all__ = ["denoiser_model", "exact_model", "posterior_mean"]
