"""Stand-ins for models: they have the shape and the settings of one, answer without computing, and cost no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.diffusion.conditioning import Condition
from diffusion_tricks.errors import DiffusionTricksError, ModelError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.gradients import no_gradients
from diffusion_tricks.families.lookup import described
from diffusion_tricks.families.open import opened
from diffusion_tricks.families.shapes import Shape
from diffusion_tricks.lazy import importing
from diffusion_tricks.loading.by_code import code_of, defaults_by, size_by
from diffusion_tricks.loading.defaults_file import defaults_of
from diffusion_tricks.loading.download import folder_here
from diffusion_tricks.loading.location import (
    label_of,
    location_of,
    upscaler_label,
    upscaler_named,
    upscaler_of,
)
from diffusion_tricks.loading.lora import checked, takes_none
from diffusion_tricks.loading.outlines import Said, said_of
from diffusion_tricks.loading.refiner import below_of, refiner_folder
from diffusion_tricks.loading.stage_outlines import OutlinedStage, upscaler_kind
from diffusion_tricks.model.cascade import needs_upscaling
from diffusion_tricks.model.cascade import stages as sizes_of_stages
from diffusion_tricks.model.model import Model, Refiner, Second
from diffusion_tricks.types import Parts, Row, Size, Spans

UNKNOWN = Shape(3, (64, 64), controllable=True, distilled=True)  # a guess that refuses nothing


def known_stages(model: Model, size: Size | None, spans: Spans = "none") -> bool:
    """Whether the shapes of all stages behind a stand-in that a size takes are known, and not guessed."""
    stage = model.second if needs_upscaling(model, size, spans) else None
    while isinstance(stage, OutlinedUpscaler):
        if stage.outlined.folder is None:
            return False
        stage = stage.second
    return True


def check_upscalers(names: Sequence[str]) -> None:
    """Raises UnknownName and ModelError for names of upscalers that are none, as far as this machine can tell."""
    for name in names:
        place = upscaler_named(name)
        upscaler_kind(upscaler_label(place), folder_here(Path(place)))


def check_loras(model: str, loras: Sequence[str]) -> None:
    """Raises UsageError and ModelError for LoRA weights that cannot be loaded, or not into the model of that name."""
    said = said_of(model, folder_here(location_of(model))) if checked(loras) else None
    if said is not None and not said.takes_lora:
        raise takes_none(model, said.pipeline)


def stand_in(
    name: str, size: Size | None = None, upscaler: Sequence[str] = (), loras: Sequence[str] = ()
) -> tuple[Model, bool]:
    """A model of the shape of the one called `name` that answers without computing, and whether that shape is known.

    It is known for directories, for what the hub has already left on this machine, and for models with a short name;
    else it makes `size` by itself, 64x64 pixels unless that is given. upscaler: names of what stands behind it, instead
    of its own; a model of unknown shape leaves the last of the size to them. loras: with any, a model has no refiner.
    """
    location = location_of(name)
    folder = folder_here(location)
    said, label = said_of(name, folder), label_of(name, location)
    if (code := code_of(name)) and (own_size := size_by(code)):
        return _outlined(label, {}, defaults_by(code, Defaults()), Outline(replace(UNKNOWN, size=own_size))), True
    if said is None:
        return _unknown(label, size, upscaler), False
    own = upscaler_of(name, folder or location, said.defaults)
    behind = [upscaler_named(each) for each in upscaler] or ([own] if own else [])
    model = _outlined(label, said.parts, said.defaults, _outline(said), _chained(behind))
    below = None if loras else _below(said.defaults.refiner, folder, here=location.is_dir())
    model.refiner = Refiner(model, below) if below is not None else None
    return model, True


def _below(refiner: str | None, folder: Path | None, here: bool) -> int | None:
    """Below which timestep the refiner in a model's directory answers, if there is one.

    Raises ModelError where it is not whole in a directory of this machine; of the hub's, it may not be here yet.
    """
    if not refiner or folder is None:
        return None
    return below_of(refiner_folder(folder, refiner)) if here else defaults_of(folder / refiner).below


def stand_in_for(model: Model) -> Model:
    """A model of the shape of one that is loaded, alone, which answers without computing."""
    settings = Settings({})
    settings.scheduler = model.pipe.scheduler
    outline = Outline(model.family.shape, type(model.family))
    return Model(settings, model.name, torch.device("cpu"), torch.float32, model.defaults, opened=outline)


def _unknown(label: str, size: Size | None, upscaler: Sequence[str]) -> Model:
    """A model of which nothing is known, as one that refuses nothing."""
    behind, whole = [upscaler_named(each) for each in upscaler], size or UNKNOWN.size
    part = whole[0] // 4 ** len(behind), whole[1] // 4 ** len(behind)
    model = _outlined(label, {}, Defaults(), Outline(replace(UNKNOWN, size=part)), _chained(behind))
    if size and _makes(model, size):
        return model
    return _outlined(label, {}, Defaults(), Outline(replace(UNKNOWN, size=whole)))


def _chained(behind: Sequence[str]) -> OutlinedUpscaler | None:
    return OutlinedUpscaler(OutlinedStage(behind[0], behind[1:])) if behind else None


def _makes(model: Model, size: Size) -> bool:
    """Whether a size can be made, as far as a guess can tell."""
    try:
        return min(model.family.size) > 0 and bool(sizes_of_stages(model, size))
    except DiffusionTricksError:
        return False


def _outlined(name: str, parts: Parts, defaults: Defaults, family: Outline, second: Second | None = None) -> Model:
    return Model(Settings(parts), name, torch.device("cpu"), torch.float32, defaults, second=second, opened=family)


class Settings:
    """Stands for a pipeline of which the scheduler is made when it is needed: diffusers takes seconds to import."""

    def __init__(self, parts: Parts):
        self.parts, self.components = parts, dict[str, Any]()

    @cached_property
    def scheduler(self) -> Any:
        """The scheduler that the model's configuration describes; where that is not known, DDPM's."""
        config = self.parts.get("scheduler", {})
        with importing():
            from diffusers import schedulers

            scheduler_class = getattr(schedulers, str(config.get("_class_name")), None) or schedulers.DDPMScheduler
        try:
            return scheduler_class.from_config(config)
        except Exception as error:  # of whatever kind a scheduler raises for settings that it cannot have
            raise ModelError(
                f"the model's scheduler cannot be made as its settings say: {error}; fetch it anew"
            ) from error


class OutlinedUpscaler:
    """A later stage that has a shape and no weights; where that is not known, it enlarges four times."""

    def __init__(self, outlined: OutlinedStage):
        self.outlined, self.name = outlined, outlined.name

    @property
    def defaults(self) -> Defaults:
        """As its own file says; that is looked for when it is asked for."""
        return self.outlined.defaults

    @property
    def second(self) -> OutlinedUpscaler | None:
        """The stage that may stand behind it."""
        return OutlinedUpscaler(self.outlined.second) if self.outlined.second else None

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The stand-in that follows `base`. Raises UsageError for a noise level that the upscaler does not have."""
        parts, shape, factor = self.outlined.behind(base.family.size, noise_level)
        outline = Outline(shape, opened(self.outlined.row), factor)
        return _outlined(self.name, parts, self.defaults, outline, self.second)


class Outline(Family):
    """A family of models that have a shape and no weights: every answer is its own question.

    factor: times that an upscaler enlarges; 1 is none. said: what is known of the model, by which it refuses as that
    would; None refuses nothing.
    """

    reads = False

    def __init__(self, shape: Shape, like: type[Family] = Family, factor: int = 1, said: Said | None = None):
        self.pipe, self.shape, self.like, self.factor, self.said = None, shape, like, factor, said
        self.schedule = like.schedule  # type: ignore[method-assign]
        self.normalises = like.normalises  # type: ignore[misc]

    @staticmethod
    def shape_of(parts: Parts) -> Shape:
        """Never asked: an outline is told its shape."""
        raise NotImplementedError

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """Nothing is needed of a prompt. Raises UsageError for one that the model would refuse."""
        if self.said:
            for prompt in prompts:
                self.like.check_prompt(prompt, self.said.parts, self.said.folder)
        return [{} for _ in prompts]

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The latents (n c h w) as the prediction, with a variance of zero where the model learns one.

        Raises UsageError for a gradient where the model would have none.
        """
        if x.requires_grad and self.said and not self.like.differentiable:
            raise no_gradients(self.said.pipeline)
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


def _outline(said: Said) -> Outline:
    """The shape of a model, from its configurations alone. Raises ModelError where no family serves it."""
    row = described(said.pipeline, said.parts)
    return Outline(row.serves.shape(said.parts), opened(row), said=said)
