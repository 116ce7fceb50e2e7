"""One picture made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from diffusion_tricks.recipes.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from diffusion_tricks.generate.score import Score
    from diffusion_tricks.io.pictures import Picture
    from diffusion_tricks.io.raster import Raster


@dataclass
class Result:
    """One picture made: the image, its seed, the recipe that remakes it alone, and the facts of the run.

    image is 8 bit, in the space that `icc` describes.  raster: the picture in the mode and at the depth of the one that
    it was made from, `source`, whose metadata it takes over; None where it was made from none.  kept: where (h w) the
    source was to stay as it was, None where nothing was promised.
    score: where scores were asked for.  unfinished: the picture in sRGB before tricks wrote on it, None where it is
    unknown.
    """

    image: Image
    seed: int
    index: int
    recipe: Recipe
    provenance: Literal["generated", "edited"] | None
    facts: dict[str, Any] = field(default_factory=dict)
    icc: bytes | None = None
    score: Score | None = None
    unfinished: Image | None = None
    raster: Raster | None = None
    source: Picture | None = None
    kept: NDArray[np.bool_] | None = None
