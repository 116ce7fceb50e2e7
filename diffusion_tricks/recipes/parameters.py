"""A picture's settings as text in the form of the AUTOMATIC1111 web UI, which other programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.recipes.record import versions, without_absolute_paths
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.entry import TrickEntry

ORDER = ("Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Denoising strength", "Tricks")  # Version is last


def parameters_text(recipe: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The picture's settings as text in the form of the AUTOMATIC1111 web UI, which other programs read.

    Each setting is looked up in `facts`, then in `recipe`: `prompt`, `negative`, `steps`, `scheduler`, `guidance`,
    `seed`, `width` and `height` (or `size`) in pixels, `model`, `tricks`; then among what the tricks say of themselves
    (`Trick.parameters`). What is not known is left out.
    """
    own = {key: each for source in (recipe, facts) for key, each in source.items() if each is not None}
    said = _of_tricks(recipe)
    prompt, negative = (said.pop(key, None) for key in ("Prompt", "Negative prompt"))
    settings = said | {key: value for key, value in _settings(own).items() if value is not None}
    lines = [_one_text(own.get("prompt") or prompt)]
    if text := _one_text(own.get("negative") or negative):
        lines.append(f"Negative prompt: {text}")
    order = sorted(settings, key=lambda key: ORDER.index(key) if key in ORDER else len(ORDER) + (key == "Version"))
    lines.append(", ".join(f"{key}: {_quoted(settings[key])}" for key in order))
    return "\n".join(lines)


def _of_tricks(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What the tricks of a recipe say of themselves; one that cannot be built here says nothing."""
    said: dict[str, Any] = {}
    for data in recipe.get("tricks") or ():
        with suppress(DiffusionTricksError, ValidationError):
            trick = TrickEntry.model_validate(data).build()
            told = guarded(trick.label(), "parameters", trick.parameters)
            prompts = [*_listed(said.get("Prompt")), *_listed(told.get("Prompt"))]
            said |= told | {"Prompt": prompts or None}
    return {key: value for key, value in said.items() if value is not None}


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _settings(known: Mapping[str, Any]) -> dict[str, object]:
    size = [known["width"], known["height"]] if {"width", "height"} <= set(known) else known.get("size")
    return {
        "Steps": known.get("steps"),
        "Sampler": known.get("scheduler"),
        "CFG scale": known.get("guidance"),
        "Seed": known.get("seed"),
        "Size": "x".join(str(side) for side in size) if size else None,
        "Model": without_absolute_paths(known.get("model")),
        "Tricks": " + ".join(_trick_name(trick) for trick in known.get("tricks") or ()) or None,
        "Version": f"diffusion-tricks {versions().get('diffusion-tricks', '')}".rstrip(),
    }


def _trick_name(trick: Any) -> str:
    return str(trick.get("trick") or trick.get("name") or "?") if isinstance(trick, Mapping) else str(trick)


def _one_text(value: Any) -> str:
    return " | ".join(str(each) for each in value) if isinstance(value, list) else str(value or "")


def _quoted(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(',:\n"') else text
