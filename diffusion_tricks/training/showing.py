"""Pictures of what the model has learned so far: sheets of samples, and a denoiser at many noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.generate.make import make
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.model.model import Model
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.training.data.stream import Source
from diffusion_tricks.training.figures import denoiser_figure
from diffusion_tricks.training.objectives import WIDE
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.task import Page, Task

LEVELS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0)  # sigmas; a denoiser is trained on one of them
ROWS = 3  # pictures in the figure of levels
MEASURED = 32  # pictures that its errors are means over
COLUMNS = 10
NOISE_LEVEL = 50  # at which a saved upscaler enlarges
SEARCHED = 8  # pictures that are drawn for one of each class on a page of data


def defaults(options: TrainOptions, task: Task) -> dict[str, Any]:
    """What the saved model is run with when nothing else is asked, and its classes."""
    steps = 1 if options.task == "denoiser" else min(options.sampling_steps, options.timesteps)
    about: dict[str, Any] = {"steps": steps, "guidance": task.guidance, "scheduler": options.scheduler}
    if options.task == "upscale":
        about["noise_level"] = min(NOISE_LEVEL, options.max_noise_level)
    if options.below is not None:
        about["below"] = options.below
    return about | ({"classes": list(task.classes)} if task.classes else {})


class Prompted(Task, Protocol):
    """A task whose model is asked in words."""

    def opened(self, pipe: Any) -> Family:
        """The pipeline, ready to be sampled."""

    def prompts(self, count: int) -> list[str]:
        """What to show on a sheet."""


def samples(task: Prompted, pipe: Any, options: TrainOptions, device: torch.device) -> Tensor:
    """Pictures (n 3 h w) in -1..1 that the pipeline makes, from the same seeds each time, by the project's sampler."""
    steps = 1 if options.task == "denoiser" else min(options.sheet_steps, options.timesteps)
    placed = pipe.to(device, torch.float32)
    model = Model(
        placed,
        "training",
        device,
        torch.float32,
        Defaults(steps, task.guidance, options.scheduler),
        opened=task.opened(placed),
    )
    prompts = task.prompts(options.sheet_count)
    with torch.random.fork_rng():
        results = make(Recipe(prompt=prompts, seed=0, count=len(prompts)), model)
    return torch.cat([to_tensor(result.image) for result in results])


def sampled_page(
    task: Prompted, pipe: Any, options: TrainOptions, device: torch.device, captioned: bool = False
) -> Page:
    """Samples; in rows of as many as there are classes, where these are few."""
    columns = len(task.classes) if 1 < len(task.classes) <= 2 * COLUMNS else COLUMNS
    captions = task.prompts(options.sheet_count) if captioned else None
    return Page(samples(task, pipe, options, device), columns, captions)


def page_of(source: Source, rows: int = 5, columns: int = 10, seed: int = 0) -> Page:
    """What a model learns from, as `sheet` draws it: a column for each class where these fit, else as it comes.

    rows, columns: of the page, 1 or more each; fewer where the source has not enough, or fewer classes.
    seed: of which pictures, and of how they are drawn. Raises UsageError for a page without room.
    """
    if rows < 1 or columns < 1:
        raise UsageError(f"expected a page of 1 row or more and as many columns, got {rows} and {columns}")
    random, count = np.random.default_rng([seed, 5]), len(source.classes)
    classed = 1 < count <= columns
    most = SEARCHED * rows * count if classed else rows * columns
    batch = source.draw(random.permutation(len(source))[:most].tolist(), random)
    found = [torch.nonzero(batch.classes == number)[:rows, 0] for number in range(count)]
    if not classed or min(map(len, found)) < rows:
        kept = rows * columns
        return Page(batch.pictures[:kept], columns, batch.captions[:kept])
    return Page(batch.pictures[torch.stack(found, 1).flatten()], count, list(source.classes) * rows)


def noised(clean: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Clean pictures (n c h w) with the same noise at each level: (levels n c h w)."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return torch.stack([clean + WIDE * sigma * noise for sigma in sigmas])


def denoised(pipe: Any, noisy: Tensor) -> Tensor:
    """What a denoiser makes of noisy pictures (levels n c h w), in -1..1, as x = sqrt(alpha_bar) (x0 + sigma eps)."""
    alpha = float(pipe.scheduler.alphas_cumprod[0]) ** 0.5
    unet, t = pipe.unet, torch.zeros((), dtype=torch.long)
    with torch.no_grad():
        return torch.stack([unet(alpha * x.to(unet.device), t.to(unet.device)).sample.cpu() for x in noisy])


def write_denoiser_figure(before: Any, after: Any, held_out: Source, options: TrainOptions, file: Path) -> None:
    """The figure of noise levels for held-out pictures, before and after training, with levels never trained on."""
    sigmas = sorted({*LEVELS, options.sigma})
    count = min(MEASURED, len(held_out))
    clean = held_out.draw(range(count), np.random.default_rng([options.seed, 3])).pictures
    noisy = noised(clean, sigmas)
    outputs = [denoised(pipe, noisy) for pipe in (before, after)]
    errors = {name: _errors(x, clean) for name, x in (("noisy input", noisy), ("denoised", outputs[1]))}
    before_it, after_it, shown = (x[:, :ROWS].clamp(-1, 1) for x in (*outputs, noisy))
    denoiser_figure(shown, before_it, after_it, sigmas, file, trained=options.sigma, errors=errors)


def _errors(x: Tensor, clean: Tensor) -> list[float]:
    """Mean squared errors per level, where black is 0 and white is 1."""
    per_level: list[float] = ((x - clean) / WIDE).square().mean((1, 2, 3, 4)).tolist()
    return per_level
