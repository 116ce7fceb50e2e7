"""What is behind a thing: a plain colour, a gradient, or a piece of a photograph, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.training.data.emoji import COLOURS

WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Grounds:
    """How often each kind is drawn, chances that add up to 1 with white; `unsaid` is how often words leave it out.

    A photograph is mostly said, or every plain caption would now and then bring one.
    """

    named: float = 0.16
    pastel: float = 0.12
    gradient: float = 0.08
    photograph: float = 0.08
    unsaid: float = 0.2


def ground(grounds: Grounds, photographs: Tensor, side: int, random: np.random.Generator) -> tuple[str | None, Tensor]:
    """One ground (3 side side) in 0..1, and its word, `blue` or `photo`; None is not said.

    photographs: 8 bits (k 3 h w); where there are none, the ground is white instead.
    """
    at, unsaid = random.random(), random.random() < grounds.unsaid
    if (at := at - grounds.named) < 0:
        word, colour = named_colour(random)
        return word, plain(colour, side)
    if (at := at - grounds.pastel) < 0:
        return None, plain(pastel(random), side)
    if (at := at - grounds.gradient) < 0:
        word, colour = named_colour(random)
        return None if unsaid else f"{word} gradient", gradient(colour, pastel(random), side, random)
    if at - grounds.photograph < 0 and len(photographs):
        return None if unsaid else "photo", cut(photographs, side, random)
    return None, plain(np.array(WHITE), side)


def named_colour(random: np.random.Generator) -> tuple[str, np.ndarray]:
    """A colour that has a name, a little off: its word and RGB in 0..1."""
    word = str(random.choice(list(COLOURS)))
    return word, (np.array(COLOURS[word]) / 255 + random.uniform(-0.04, 0.04, 3)).clip(0, 1)


def pastel(random: np.random.Generator) -> np.ndarray:
    """A light colour without a name, RGB in 0.6..1."""
    return 0.6 + 0.4 * random.random(3)


def plain(colour: np.ndarray, side: int) -> Tensor:
    """One colour: (3 side side)."""
    return torch.tensor(colour, dtype=torch.float32)[:, None, None].expand(3, side, side)


def gradient(one: np.ndarray, other: np.ndarray, side: int, random: np.random.Generator) -> Tensor:
    """From one colour to the other, in any direction: (3 side side)."""
    angle = random.uniform(0, 2 * np.pi)
    at = torch.linspace(-0.5, 0.5, side)
    slope = (at * np.cos(angle) + at[:, None] * np.sin(angle)) / (abs(np.cos(angle)) + abs(np.sin(angle))) + 0.5
    return torch.lerp(plain(one, side), plain(other, side), slope)


def cut(photographs: Tensor, side: int, random: np.random.Generator) -> Tensor:
    """A square piece of a photograph, a third of it or more, perhaps mirrored: (3 side side) in 0..1."""
    photograph = photographs[random.integers(len(photographs))]
    height = photograph.shape[1]
    length = int(random.integers(height // 3, height + 1))
    top, left = (int(random.integers(height - length + 1)) for _ in range(2))
    piece = photograph[:, top : top + length, left : left + length].float() / 255
    piece = piece.flip(2) if random.random() < 0.5 else piece
    return F.interpolate(piece[None], size=(side, side), mode="bilinear", antialias=True, align_corners=False)[0]
