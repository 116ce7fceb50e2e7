"""What a recipe will cost, found by running its tricks on a stand-in of the model's shape; no weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.denoiser import Size, UNetFamily
from diffusion_tricks.errors import ModelError
from diffusion_tricks.making import (
    check_finishers,
    check_prompts,
    schedule_of,
    second_guidance,
    settings,
    with_guidance,
)
from diffusion_tricks.model import Defaults, Model, Second
from diffusion_tricks.models import check_directory, defaults_of, label_of, location_of, place_of, upscaler_of
from diffusion_tricks.nesting import order
from diffusion_tricks.recipe import Recipe
from diffusion_tricks.sampler import begin, denoise
from diffusion_tricks.unconditional import PlainFamily
from diffusion_tricks.upscaling import GUIDANCE, UpscalerFamily
from diffusion_tricks.variants import versions


@dataclass(frozen=True)
class Stage:
    """The cost of one stage of a picture; rows: what its denoiser computes in each of its evaluations."""

    model: str
    size: Size
    scheduler: str
    rows: list[int]

    def data(self) -> dict[str, Any]:
        """As plain data, with the keys of a picture's facts."""
        cost = {"steps": len(self.rows), "rows_per_step": max(self.rows, default=0), "rows_total": sum(self.rows)}
        return {"model": self.model, "size": list(self.size), "scheduler": self.scheduler, **cost}


@dataclass(frozen=True)
class Plan:
    """The cost of one picture of a recipe.

    model: None for a picture that is only finished. known: whether the model's shape could be read; if not, `size`
    and `scheduler` are a guess, but the rows are right. order: tricks that shape the estimate, outermost first.
    stages: one, or two for a larger size.
    """

    model: str | None
    known: bool
    size: Size | None
    scheduler: str | None
    count: int
    order: list[str]
    tricks: list[str]
    stages: list[Stage]

    @property
    def rows(self) -> list[int]:
        """Of each evaluation, in order."""
        return [rows for stage in self.stages for rows in stage.rows]

    @property
    def steps(self) -> int:
        """Evaluations of the denoiser; a second-order scheduler makes more than were asked for."""
        return len(self.rows)

    def data(self) -> dict[str, Any]:
        """As plain data, with the keys of a picture's facts."""
        known = {"model": self.model, "model_known": self.known, "size": list(self.size) if self.size else None}
        cost = {"steps": self.steps, "rows_per_step": max(self.rows, default=0), "rows_total": sum(self.rows)}
        nesting = {"tricks": self.tricks, "order": self.order, "rows": self.rows}
        stages = {"stages": [stage.data() for stage in self.stages]} if len(self.stages) > 1 else {}
        return known | {"scheduler": self.scheduler, "count": self.count} | cost | nesting | stages


def plan(recipe: Recipe) -> Plan:
    """What making `recipe` will cost. Raises what making it would raise, but for what only the weights can tell."""
    recipe = recipe.resolved()
    tricks = recipe.build()
    names = [trick.label() for trick in tricks]
    if recipe.picture is not None:
        check_finishers(tricks)
        return Plan(None, True, None, None, recipe.count, [], names, [])
    model, known = stand_in(recipe.model)
    recipe, tricks = with_guidance(recipe, tricks, model.defaults.guidance, second_guidance(recipe, model))
    check_prompts(recipe, tricks)
    prompt = recipe.prompt[0] if isinstance(recipe.prompt, list) else recipe.prompt
    costs: list[list[list[int]]] = []
    for version in versions(tricks):
        run = begin(model, prompt=prompt, tricks=version, seeds=recipe.seeds[:1], **schedule_of(recipe))
        costs.append([[] for _ in run.stages])
        for step in denoise(run):
            costs[-1][step.stage - 1].append(step.rows)
    named = settings(recipe, run)
    stages = [
        Stage(
            stage.model.name, stage.size, named[key] or type(stage.scheduler).__name__,
            [rows for cost in costs for rows in cost[stage.stage - 1]],
        )
        for stage, key in zip(run.stages, ("scheduler", "upscale_scheduler"), strict=False)
    ]  # fmt: skip
    names = [trick.label() for trick in tricks]
    return Plan(
        model.name, known, stages[-1].size, stages[0].scheduler, recipe.count, order(tricks), names, stages
    )  # fmt: skip


def stand_in(name: str) -> tuple[Model, bool]:
    """A model of the shape of the one called `name` that answers without computing, and whether that shape is known.

    It is known for directories and for what the hub has already left on this machine; else 64x64 pixels are assumed.
    """
    location = location_of(name)
    folder = _folder(location)
    defaults = defaults_of(folder) if folder else Defaults()
    upscaler = upscaler_of(name, location, defaults)
    shape, second = _shape(folder) if folder else None, OutlinedUpscaler(upscaler) if upscaler else None
    return _outlined(label_of(name, location), folder, defaults, Outline(shape), second), shape is not None


def _outlined(
    name: str, folder: Path | None, defaults: Defaults, family: Outline, second: Second | None = None
) -> Model:
    pipe = SimpleNamespace(scheduler=_scheduler(folder), components={})
    return Model(pipe, name, torch.device("cpu"), torch.float32, defaults, second=second, opened=family)


class OutlinedUpscaler:
    """A second stage that has a shape and no weights. Where that is not known, it enlarges four times."""

    def __init__(self, source: str):
        self.source, self.name = source, label_of(source, Path(source))

    @cached_property
    def folder(self) -> Path | None:
        """Where it lies, if it is on this machine."""
        return _folder(place_of(self.source))

    @cached_property
    def defaults(self) -> Defaults:
        """As its own file says."""
        general = Defaults(guidance=GUIDANCE)
        return defaults_of(self.folder, general) if self.folder else general

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The stand-in that follows `base`. Raises UsageError for a noise level that the upscaler does not have."""
        unet = _config(self.folder / "unet" / "config.json") if self.folder else None
        guess = {"in_channels": 6, "out_channels": 3, "sample_size": 4 * base.family.size[0], "block_out_channels": [1]}
        parts = {
            "unet": _attributes(unet or SimpleNamespace(config=guess)),
            "image_noising_scheduler": _scheduler(self.folder, "image_noising_scheduler"),
        }
        level = self.defaults.noise_level if noise_level is None else noise_level
        shape = UpscalerFamily(SimpleNamespace(**parts), base, level)
        return _outlined(self.name, self.folder, self.defaults, Outline(shape))


class Outline:
    """A family of models that have a shape and no weights: every answer is its own question."""

    def __init__(self, shape: UNetFamily | PlainFamily | UpscalerFamily | None):
        self.shape = shape
        self.channels, self.scale = (shape.channels, shape.scale) if shape else (3, 1)
        self.size, self.multiple = (shape.size, shape.multiple) if shape else ((64, 64), 1)
        self.learned = shape is not None and shape.pipe.unet.config.out_channels == 2 * self.channels

    def record(self, prompts: Sequence[str | None], size: Size) -> list[dict[str, Any]]:
        """Nothing is needed of a prompt."""
        return [{} for _ in prompts]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[dict[str, Any]]) -> Tensor:
        """The latents (n c h w) as the prediction, with a variance of zero where the model learns one."""
        x = x[:, : self.channels]
        return torch.cat([x, torch.zeros_like(x)], dim=1) if self.learned else x

    def smaller(self, size: Size) -> Size:
        """The size that a second stage enlarges to `size`."""
        assert isinstance(self.shape, UpscalerFamily)
        return self.shape.smaller(size)

    def condition(
        self, pixels: Tensor, size: Size, row: dict[str, Any], generators: list[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Zeros of the right shape (b c h w), for the noise of a second stage and for its condition."""
        empty = torch.zeros(len(pixels), self.channels, size[1], size[0])
        return empty, empty.clone()

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


def _folder(location: Path) -> Path | None:
    """The directory of a model that is on this machine. Raises ModelError for one that may not be loaded."""
    if location.is_dir():
        check_directory(location)
        return location
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(location.as_posix(), "model_index.json") if str(location).count("/") == 1 else None
    return Path(cached).parent if isinstance(cached, str) else None


def _shape(folder: Path) -> UNetFamily | PlainFamily | None:
    """The family's shape, from the configuration files alone."""
    unet, vae = (_config(folder / part / "config.json") for part in ("unet", "vae"))
    if unet is None:
        return None
    if unet.config.get("_class_name") == "UNet2DModel":
        return PlainFamily(SimpleNamespace(unet=_attributes(unet), name_or_path=str(folder)))
    return UNetFamily(SimpleNamespace(unet=_attributes(unet), vae=_attributes(vae)))


def _scheduler(folder: Path | None, part: str = "scheduler") -> Any:
    """The scheduler that a model's configuration describes; where that is not known, DDPM's."""
    from diffusers import schedulers

    settings = _config(folder / part / "scheduler_config.json") if folder else None
    config = settings.config if settings else {}
    scheduler_class = getattr(schedulers, str(config.get("_class_name")), None) or schedulers.DDPMScheduler
    return scheduler_class.from_config(config)


def _config(file: Path) -> SimpleNamespace | None:
    if not file.is_file():
        return None
    try:
        return SimpleNamespace(config=json.loads(file.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ModelError(f"{file} is not valid JSON: {error}") from None


def _attributes(part: SimpleNamespace | None) -> SimpleNamespace | None:
    return None if part is None else SimpleNamespace(config=SimpleNamespace(**part.config))
