"""Which recipes ask their model at the same timesteps, and so go well together. No torch here."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.trick import Trick, changing

LONGEST = 1000  # training steps of nearly all models
SHARED = ("lora", "upscaler", "size", "steps", "stride", "scheduler", "upscale_steps", "upscale_scheduler",
          "noise_level", "distilled_guidance")  # fmt: skip


def likeness(recipe: Recipe, tricks: Sequence[Trick[Any]] | None = None) -> Hashable:
    """Equal for recipes that share calls of their model in `made_together`, as far as is known without the model.

    tricks: those of the recipe, where they are made already. Prompts, seeds, guidance and tricks may differ. One that
    goes alone is like itself only. Raises what making its tricks raises.
    """
    if tricks is None:
        tricks = recipe.build() if recipe.picture is None else []
    if goes_alone(recipe, tricks):
        return repr(recipe)
    said = ((name, getattr(recipe, name)) for name in SHARED)
    same = [(name, tuple(value) if isinstance(value, list) else value) for name, value in said]
    return recipe.model, *same, _stride(recipe, tricks)


def goes_alone(recipe: Recipe, tricks: Sequence[Trick[Any]] | None = None) -> bool:
    """Whether no other recipe can share calls with it: it changes the model while it runs, or asks none.

    tricks: as for `likeness`.
    """
    return recipe.picture is not None or changing(recipe.build() if tricks is None else tricks)


def _stride(recipe: Recipe, tricks: Sequence[Trick[Any]]) -> int | None:
    """What its tricks ask for, where it does not say itself which steps are made."""
    if recipe.steps is not None or recipe.stride is not None:
        return None
    asked = (guarded(trick.label(), "stride", trick.stride, LONGEST) for trick in tricks)
    return next((stride for stride in asked if stride is not None), None)
