"""What follows from a recipe alone, found once for all that ask for it: tricks are made for that. No torch here."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion_tricks import Recipe, Trick, likeness
from diffusion_tricks.plugin import DiffusionTricksError, paths, refuse_clashes


@dataclass(frozen=True)
class Traits:
    """A recipe, and what follows from it.

    kind: equal for recipes that can share a batch; one that cannot tell is its own. files: all that it reads.
    pictures: those of them that tricks are given. problem: why its tricks cannot be, or not beside each other.
    """

    recipe: Recipe
    kind: Hashable
    files: Sequence[Path]
    pictures: Sequence[Path]
    problem: DiffusionTricksError | None


def traits_of(recipe: Recipe) -> Traits:
    """Looks at a recipe. Raises UnknownName for a trick that there is not."""
    tricks, problem = None, None
    try:
        tricks = recipe.build()
        refuse_clashes(tricks)
    except DiffusionTricksError as error:
        problem = error
    files = paths(recipe)
    return Traits(recipe, _kind(recipe, tricks), files, paths(recipe, of=["argument"]) if files else (), problem)


def _kind(recipe: Recipe, tricks: Sequence[Trick[Any]] | None) -> Hashable:
    try:
        return repr(recipe) if tricks is None else likeness(recipe, tricks)
    except DiffusionTricksError:
        return repr(recipe)
