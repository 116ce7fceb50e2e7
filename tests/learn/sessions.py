"""Sessions of models that a test made itself, and pictures for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from diffusion_tricks import Model
from diffusion_tricks.plugin import to_images
from diffusion_tricks_learn.session import Session

SIDE = 16


def session_of(model: Model, **how: Any) -> Session:
    """A session that has a model already."""
    session = Session("given", **how)
    session._models["given"] = model
    return session


def pattern(seed: int = 0) -> Tensor:
    """A picture of values that 8 bits hold exactly (1 3 16 16), in -0.6..0.6."""
    levels = torch.randint(51, 205, (1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))
    return levels / 255 * 2 - 1


def saved(x: Tensor, path: Path) -> str:
    """The picture as a file."""
    to_images(x)[0].save(path)
    return str(path)


def opened(path: Path) -> Image.Image:
    """A picture that is read whole, so that its file is closed."""
    with Image.open(path) as picture:
        return picture.convert("RGB")
