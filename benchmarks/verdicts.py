"""The judge's verdicts: at which place, among the captions of all emoji, a picture's own caption comes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import judge as judging
from diffusion_tricks.io.pixels import to_tensor
from diffusion_tricks.training.data.captions import with_article
from diffusion_tricks.training.data.emoji import concepts
from diffusion_tricks.training.data.sets import THINGS
from diffusion_tricks.training.words import common_name

PAIRS = Path(__file__).with_name("reach_pairs.toml")
ROWS = 64  # pictures that the judge sees together


@dataclass(frozen=True)
class Asked:
    """A prompt, and the CLDR name of the emoji it stands for. main: whether it says that name, not another one."""

    prompt: str
    name: str
    main: bool = True


def every_caption() -> list[Asked]:
    """Every name the model claims and every other name it was taught for the same thing, each with its article."""
    rows = [(text, name) for name, others in concepts().items() for text in (name, *others)]
    return [Asked(with_article(text), name, text == name) for text, name in rows]


def asked(name: str) -> Asked:
    """A thing as people ask for it, whether the model claims it or not."""
    return Asked(with_article(common_name(name, concepts(THINGS)[name])), name)


@cache
def pairs(kind: str) -> tuple[tuple[Asked, Asked], ...]:
    """The listed pairs of a kind: `flip`, `rotate_cw` or `hybrid`."""
    listed = tomllib.loads(PAIRS.read_text(encoding="utf-8"))[kind]
    return tuple((asked(one), asked(other)) for one, other in listed)


@torch.no_grad()
def places(judge: judging.Judge, names: Sequence[str], images: Sequence[Image.Image], wanted: Sequence[str]) -> Tensor:
    """The place of each picture's own caption among all, 0 the first: (n)."""
    found = []
    for first in range(0, len(images), ROWS):
        pixels = torch.cat([to_tensor(image) for image in images[first : first + ROWS]]) / 2 + 0.5  # (n 3 h w) in 0..1
        opaque = torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1)
        logits = judge(judging.seen(opaque, torch.ones(1, 3, 1, 1)))
        own = logits.gather(1, torch.tensor([[names.index(name)] for name in wanted[first : first + ROWS]]))
        found.append((logits > own).sum(1))
    return torch.cat(found)


def share(found: Tensor, first: int) -> float:
    """How many (0..1) are among the `first` so many."""
    return float((found < first).float().mean())
