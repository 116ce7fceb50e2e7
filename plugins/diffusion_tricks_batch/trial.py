"""Recipes tried on stand-ins of their models, before anything is made. No torch here until one is tried."""

from __future__ import annotations

import json
from collections.abc import Sequence

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import DiffusionTricksError, PictureError, check_before

TRIED = 3  # jobs that fail alike before their fault is taken for that of all
KINDS = 16  # of recipes, of which one each is tried before anything is made


def rehearsed(firsts: Sequence[Recipe]) -> dict[str, DiffusionTricksError]:
    """What recipes fail with on a stand-in of their model, by all they say but for the seed.

    firsts: those that are tried, the first of each kind: so it depends on the list alone, as do the batches.
    """
    found = {}
    for recipe in firsts:
        if error := _fault(recipe):
            found[but_seed(recipe)] = error
    return found


def but_seed(recipe: Recipe) -> str:
    """All that a recipe says but for its seed."""
    return json.dumps(recipe.model_copy(update={"seed": 0}).data(), sort_keys=True)


def check_first(recipes: Sequence[Recipe]) -> None:
    """Raises what the first jobs would, where it is the same for all, and so no fault of one job's."""
    said = set()
    for number, recipe in enumerate(recipes[:TRIED], 1):
        error = _fault(recipe)
        if error is None:
            return
        said.add(str(error))
        if len(said) == 1 and number == min(len(recipes), TRIED) and not isinstance(error, PictureError):
            raise error


def _fault(recipe: Recipe) -> DiffusionTricksError | None:
    """What a recipe fails with."""
    try:
        check_before(recipe) if recipe.picture is None else None
    except DiffusionTricksError as error:
        return error
    return None
