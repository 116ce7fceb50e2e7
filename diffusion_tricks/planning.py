"""What a recipe will cost, found by running its tricks on a stand-in of the model's shape; no weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.cascade import needs_upscaling
from diffusion_tricks.cascade import stages as sizes_of_stages
from diffusion_tricks.condition import Condition
from diffusion_tricks.defaults import Defaults
from diffusion_tricks.denoiser import Family, Parts, Row, Shape, Size
from diffusion_tricks.families import FamilyRow, described, opened, upscaler_row
from diffusion_tricks.families.upscaler import checked_level, guessed_row, no_upscaler
from diffusion_tricks.making import (
    check_finishers,
    check_prompts,
    schedule_of,
    second_guidance,
    settings,
    with_guidance,
)
from diffusion_tricks.model import Model, Second
from diffusion_tricks.models import defaults_of, folder_here, label_of, location_of, place_of, upscaler_of
from diffusion_tricks.models.configs import config_in, defaults_in, described_in
from diffusion_tricks.models.known import IF_II
from diffusion_tricks.models.lora import checked
from diffusion_tricks.nesting import order
from diffusion_tricks.recipe import Recipe
from diffusion_tricks.sampler import begin, denoise
from diffusion_tricks.variants import versions

UNKNOWN = Shape(3, (64, 64), controllable=True, distilled=True)  # a guess that refuses nothing


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

    model: None for a picture that is only finished. known: whether the model's shape could be read; if not, `size`,
    `scheduler`, steps and the guidance that is on by default are a guess. order: tricks that shape the estimate,
    outermost first. stages: one, or more for a larger size.
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
    checked(recipe.lora)
    model, known = stand_in(recipe.model, recipe.size)
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
            stage.model.name, stage.size,
            named["scheduler" if stage.stage == 1 else "upscale_scheduler"] or type(stage.scheduler).__name__,
            [rows for cost in costs for rows in cost[stage.stage - 1]],
        )
        for stage in run.stages
    ]  # fmt: skip
    names = [trick.label() for trick in tricks]
    return Plan(
        model.name, known, stages[-1].size, stages[0].scheduler, recipe.count, order(tricks), names, stages
    )  # fmt: skip


def check_size_before(recipe: Recipe) -> None:
    """Raises UsageError for a size that the recipe's model cannot make, where its settings are on this machine.

    Before its weights are loaded, which may take minutes. Raises ModelError for a model that may not be loaded.
    """
    if recipe.size is None:
        return
    model, known = stand_in(recipe.model)
    stage = model.second if needs_upscaling(model, recipe.size) else None
    while isinstance(stage, OutlinedUpscaler):
        known, stage = known and stage.folder is not None, stage.second
    if known:
        sizes_of_stages(model, recipe.size, recipe.noise_level)


def stand_in(name: str, size: Size | None = None) -> tuple[Model, bool]:
    """A model of the shape of the one called `name` that answers without computing, and whether that shape is known.

    It is known for directories and for what the hub has already left on this machine; else it makes `size` by itself,
    64x64 pixels unless that is given.
    """
    location = location_of(name)
    folder = _folder(location)
    defaults = defaults_in(folder) if folder else Defaults()
    upscaler = upscaler_of(name, folder or location, defaults)
    outline = _outline(folder) if folder else None
    of_pixels = upscaler == IF_II  # known by its name
    second = OutlinedUpscaler(upscaler) if upscaler and (outline or of_pixels) else None
    guess = Outline(UNKNOWN if of_pixels else replace(UNKNOWN, size=size or UNKNOWN.size))
    model = _outlined(label_of(name, location), folder, defaults, outline or guess, second)
    return model, outline is not None


def _outlined(
    name: str, folder: Path | None, defaults: Defaults, family: Outline, second: Second | None = None
) -> Model:
    return Model(Settings(folder), name, torch.device("cpu"), torch.float32, defaults, second=second, opened=family)


class Settings:
    """Stands for a pipeline of which the settings are read when they are needed: diffusers takes seconds to import."""

    def __init__(self, folder: Path | None):
        self.folder, self.components = folder, dict[str, Any]()

    @cached_property
    def scheduler(self) -> Any:
        """The scheduler that the model's configuration describes; where that is not known, DDPM's."""
        from diffusers import schedulers

        config = (config_in(self.folder / "scheduler" / "scheduler_config.json") if self.folder else None) or {}
        scheduler_class = getattr(schedulers, str(config.get("_class_name")), None) or schedulers.DDPMScheduler
        return scheduler_class.from_config(config)


class OutlinedUpscaler:
    """A later stage that has a shape and no weights. Where that is not known, it enlarges four times."""

    def __init__(self, source: str):
        self.source, self.name = source, label_of(source, Path(source))

    @cached_property
    def folder(self) -> Path | None:
        """Where it lies, if it is on this machine."""
        return _folder(place_of(self.source))

    @cached_property
    def row(self) -> FamilyRow:
        """Its kind, by its configuration or, where that is not on this machine, by its name."""
        found = upscaler_row(described_in(self.folder)[0]) if self.folder else guessed_row(self.name)
        if found is None:
            assert self.folder is not None
            raise no_upscaler(self.name, described_in(self.folder)[0])
        return found

    @cached_property
    def defaults(self) -> Defaults:
        """As its own file says."""
        return defaults_of(self.folder, self.row.defaults) if self.folder else self.row.defaults

    @cached_property
    def second(self) -> OutlinedUpscaler | None:
        """The stage that may stand behind it."""
        further = upscaler_of(self.source, self.folder or Path(self.source), self.defaults)
        return OutlinedUpscaler(further) if further else None

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The stand-in that follows `base`. Raises UsageError for a noise level that the upscaler does not have."""
        kind: Any = opened(self.row)
        parts = described_in(self.folder)[1] if self.folder else kind.guess(base.family.size)
        level = self.defaults.noise_level if noise_level is None else noise_level
        checked_level(level, kind.most_noise(parts))
        shape = kind.shape_of(parts)
        outline = Outline(shape, kind, kind.factor_of(shape, base.family.size))
        return _outlined(self.name, self.folder, self.defaults, outline, self.second)


class Outline(Family):
    """A family of models that have a shape and no weights: every answer is its own question.

    factor: times that an upscaler enlarges; 1 is none.
    """

    def __init__(self, shape: Shape, like: type[Family] = Family, factor: int = 1):
        self.pipe, self.shape, self.factor = None, shape, factor
        self.schedule = like.schedule  # type: ignore[method-assign]
        self.normalises = like.normalises  # type: ignore[misc]

    @staticmethod
    def shape_of(parts: Parts) -> Shape:
        """Never asked: an outline is told its shape."""
        raise NotImplementedError

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """Nothing is needed of a prompt."""
        return [{} for _ in prompts]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The latents (n c h w) as the prediction, with a variance of zero where the model learns one."""
        x = x[:, : self.channels]
        return torch.cat([x, torch.zeros_like(x)], dim=1) if self.shape.learned else x

    def beside(self, condition: Condition, size: Size) -> Tensor:
        """One empty channel (b 1 h w)."""
        return torch.zeros(len(condition.picture), 1, size[1] // self.scale, size[0] // self.scale)

    def condition(
        self, pixels: Tensor, size: Size, row: Row, generators: list[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Zeros of the right shape (b c h w), for the noise of a later stage and for its condition."""
        empty = torch.zeros(len(pixels), self.channels, size[1] // self.scale, size[0] // self.scale)
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
    return folder_here(location)


def _outline(folder: Path) -> Outline:
    """The shape of a model, from the configuration files alone. Raises ModelError where no family serves it."""
    pipeline, parts = described_in(folder)
    family, _ = described(pipeline, parts)
    return Outline(family.shape_of(parts), family)
