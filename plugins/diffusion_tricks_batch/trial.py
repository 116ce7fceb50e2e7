"""Recipes tried on stand-ins of their models, before anything is made. No torch here until one is tried."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import DiffusionTricksError, PictureError, check_before
from diffusion_tricks_batch.groups import kinds
from diffusion_tricks_batch.traits import Traits

TRIED = 3  # jobs that are tried before others of the list are
KINDS = 16  # of recipes, of which one each is tried before anything is made


def rehearsed(firsts: Iterable[Recipe]) -> dict[str, DiffusionTricksError]:
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


def check_first(recipes: Sequence[Traits]) -> None:
    """Raises what all jobs would, as far as that can be told: some first ones, one of each kind and the last."""
    said, error = set(), None
    for one in _samples(recipes):
        error = _fault(one.recipe)
        said.add(str(error))
        if error is None or isinstance(error, PictureError) or len(said) > 1:
            return
    if error:
        raise error


def _samples(recipes: Sequence[Traits]) -> Iterator[Traits]:
    """The first few; where nothing is made of these, one of each kind that follows, and the last."""
    yield from recipes[:TRIED]
    yield from kinds(recipes[TRIED:])[:KINDS]
    yield from recipes[-1:]


def _fault(recipe: Recipe) -> DiffusionTricksError | None:
    """What a recipe fails with."""
    try:
        check_before(recipe) if recipe.picture is None else None
    except DiffusionTricksError as error:
        return error
    return None
