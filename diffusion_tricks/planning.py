"""What a recipe will cost, found by running its tricks on a stand-in of the model's shape; no weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.denoiser import Size, UNetFamily
from diffusion_tricks.errors import ModelError
from diffusion_tricks.making import check_finishers, check_prompts, with_guidance
from diffusion_tricks.model import Defaults, Model
from diffusion_tricks.models import check_directory, defaults_of, known_models, location_of
from diffusion_tricks.nesting import order
from diffusion_tricks.recipe import Recipe
from diffusion_tricks.sampler import begin, denoise
from diffusion_tricks.variants import versions


@dataclass(frozen=True)
class Plan:
    """The cost of one picture of a recipe.

    model: None for a picture that is only finished. known: whether the model's shape could be read; if not, `size`
    and `scheduler` are a guess, but the rows are right. order: tricks that shape the estimate, outermost first.
    rows: what the denoiser computes in each of its evaluations.
    """

    model: str | None
    known: bool
    size: Size | None
    scheduler: str | None
    count: int
    order: list[str]
    tricks: list[str]
    rows: list[int]

    @property
    def steps(self) -> int:
        """Evaluations of the denoiser; a second-order scheduler makes more than were asked for."""
        return len(self.rows)

    def data(self) -> dict[str, Any]:
        """As plain data, with the keys of a picture's facts."""
        known = {"model": self.model, "model_known": self.known, "size": list(self.size) if self.size else None}
        cost = {"steps": self.steps, "rows_per_step": max(self.rows, default=0), "rows_total": sum(self.rows)}
        nesting = {"tricks": self.tricks, "order": self.order, "rows": self.rows}
        return known | {"scheduler": self.scheduler, "count": self.count} | cost | nesting


def plan(recipe: Recipe) -> Plan:
    """What making `recipe` will cost. Raises what making it would raise, but for what only the weights can tell."""
    recipe = recipe.resolved()
    tricks = recipe.build()
    names = [trick.label() for trick in tricks]
    if recipe.picture is not None:
        check_finishers(tricks)
        return Plan(None, True, None, None, recipe.count, [], names, [])
    model, known = stand_in(recipe.model)
    recipe, tricks = with_guidance(recipe, tricks, model.defaults.guidance)
    check_prompts(recipe, tricks)
    prompt = recipe.prompt[0] if isinstance(recipe.prompt, list) else recipe.prompt
    rows: list[int] = []
    for version in versions(tricks):
        run = begin(
            model, prompt=prompt, tricks=version, seeds=recipe.seeds[:1], steps=recipe.steps,
            stride=recipe.stride, scheduler=recipe.scheduler, size=recipe.size,
        )  # fmt: skip
        rows += [step.rows for step in denoise(run)]
    scheduler = recipe.scheduler or model.defaults.scheduler or type(run.scheduler).__name__
    names = [trick.label() for trick in tricks]
    return Plan(model.name, known, run.size, scheduler, recipe.count, order(tricks), names, rows)


def stand_in(name: str) -> tuple[Model, bool]:
    """A model of the shape of the one called `name` that answers without computing, and whether that shape is known.

    It is known for directories and for what the hub has already left on this machine; else 64x64 pixels are assumed.
    """
    folder = _folder(name)
    shape, scheduler = _shape(folder) if folder else (None, None)
    if scheduler is None:
        from diffusers import DDPMScheduler

        scheduler = DDPMScheduler()
    pipe = SimpleNamespace(scheduler=scheduler, components={})
    defaults = defaults_of(folder) if folder else Defaults()
    label = name if name in known_models() else Path(name).name if folder else name
    return Model(pipe, label, torch.device("cpu"), torch.float32, defaults, opened=Outline(shape)), shape is not None


class Outline:
    """A family of models that have a shape and no weights: every answer is its own question."""

    def __init__(self, shape: UNetFamily | None):
        self.channels, self.scale = (shape.channels, shape.scale) if shape else (3, 1)
        self.size, self.multiple = (shape.size, shape.multiple) if shape else ((64, 64), 1)
        self.learned = shape is not None and shape.pipe.unet.config.out_channels == 2 * self.channels

    def record(self, prompts: Sequence[str | None], size: Size) -> list[dict[str, Any]]:
        """Nothing is needed of a prompt."""
        return [{} for _ in prompts]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[dict[str, Any]]) -> Tensor:
        """The latents (n c h w) as the prediction, with a variance of zero where the model learns one."""
        return torch.cat([x, torch.zeros_like(x)], dim=1) if self.learned else x

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents (b c h w) of the right shape for pixels (b 3 H W)."""
        if self.scale == 1:
            return pixels
        return torch.zeros(len(pixels), self.channels, *(side // self.scale for side in pixels.shape[-2:]))

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels (b 3 H W) of the right shape for latents (b c h w)."""
        if self.scale == 1:
            return latents
        return torch.zeros(len(latents), 3, *(side * self.scale for side in latents.shape[-2:]))


def _folder(name: str) -> Path | None:
    """The directory of a model that is on this machine. Raises ModelError for one that may not be loaded."""
    location = location_of(name)
    if location.is_dir():
        check_directory(location)
        return location
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(location.as_posix(), "model_index.json") if str(location).count("/") == 1 else None
    return Path(cached).parent if isinstance(cached, str) else None


def _shape(folder: Path) -> tuple[UNetFamily | None, Any]:
    """The family's shape and the scheduler, from the configuration files alone."""
    unet, vae = (_config(folder / part / "config.json") for part in ("unet", "vae"))
    settings = _config(folder / "scheduler" / "scheduler_config.json")
    if unet is None or settings is None:
        return None, None
    from diffusers import schedulers

    scheduler_class = getattr(schedulers, str(settings.config.get("_class_name")), None)
    scheduler = scheduler_class.from_config(settings.config) if scheduler_class else None
    return UNetFamily(SimpleNamespace(unet=_attributes(unet), vae=_attributes(vae))), scheduler


def _config(file: Path) -> SimpleNamespace | None:
    if not file.is_file():
        return None
    try:
        return SimpleNamespace(config=json.loads(file.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ModelError(f"{file} is not valid JSON: {error}") from None


def _attributes(part: SimpleNamespace | None) -> SimpleNamespace | None:
    return None if part is None else SimpleNamespace(config=SimpleNamespace(**part.config))
