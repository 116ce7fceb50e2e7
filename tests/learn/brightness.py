"""A CLIP whose answers are known: it sees how bright a picture is, and knows the words "bright" and "dark"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Model
from diffusion_tricks.testing import exact_model
from diffusion_tricks_learn.session import Session
from learn.sessions import session_of

BRIGHT, DARK, MIDDLE = 204 / 127.5 - 1, 85 / 127.5 - 1, 102 / 127.5 - 1  # that 8 bits hold exactly


class Brightness:
    """A picture of mean m, -1..1, is the unit vector (m, sqrt(1 - m^2)); "bright" is (1, 0), "dark" is (-1, 0)."""

    temperature = 0.5

    def __init__(self, *given: Any):
        pass

    def pictures(self, pictures: Sequence[Image]) -> Tensor:
        m = torch.tensor([float(np.asarray(p.convert("RGB"), np.float64).mean()) / 127.5 - 1 for p in pictures])
        return torch.stack([m, (1 - m**2).clamp(min=0).sqrt()], 1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[-1.0 if "dark" in text else 1.0, 0.0] for text in texts])

    def similarity(self, pictures: Sequence[Image], texts: Sequence[str]) -> Tensor:
        return self.pictures(pictures) @ self.texts(texts).T


def gray(value: float) -> Tensor:
    return torch.full((1, 3, 8, 8), value)


def two_grays() -> Model:
    """A model that draws one gray for "bright", one for "dark", and one without a prompt."""
    return exact_model({"bright": gray(BRIGHT), "dark": gray(DARK), None: gray(MIDDLE)})


def judged(model: Model | None = None, **how: Any) -> Session:
    """A session of a model of grays, judged by their brightness."""
    session = session_of(model or two_grays(), **how)
    session.__dict__["scorer"] = Brightness()
    return session
