"""One picture made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.recipes.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.generate.score import Score


@dataclass
class Result:
    """One picture made: the image, its seed, the recipe that remakes it alone, and the facts of the run.

    seed: None for a picture that was only finished, where none was given.

    score: where scores were asked for.  unfinished: the picture before tricks wrote on it, None where it is unknown.
    """

    image: Image
    seed: int | None
    index: int
    recipe: Recipe
    provenance: Literal["generated", "edited"] | None
    facts: dict[str, Any] = field(default_factory=dict)
    icc: bytes | None = None
    score: Score | None = None
    unfinished: Image | None = None
