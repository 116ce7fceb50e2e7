"""Pictures that experiments read, and the one that the model inside draws for a course without any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks import Recipe, make
from diffusion_tricks.plugin import atomic_write, fit, flatten, read_picture, to_tensor
from diffusion_tricks_learn.report import png

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks import Model


def pixels_of(path: str, model: Model) -> Tensor:
    """A picture as (1 3 h w) in -1..1 at the model's own size, its middle where proportions differ.

    Raises PictureError for what is no picture.
    """
    return to_tensor(fit(flatten(read_picture(path).srgb), model.family.size))


def distance(x: Tensor, y: Tensor) -> float:
    """The root of the mean squared difference of two pictures in -1..1: 0 for equal ones, 1 for black and white."""
    return float(((x - y) / 2).square().mean().sqrt())


def drawn_inside(folder: Path, seed: int, prompt: str = "a fox") -> Path:
    """A picture by the model inside, in the folder; the one that is there already, if any."""
    path = folder / "picture.png"
    if not path.exists():
        (result,) = make(Recipe(prompt=prompt, seed=seed))
        atomic_write(path, png(result.image))
    return path
