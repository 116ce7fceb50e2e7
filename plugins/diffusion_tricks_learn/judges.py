"""Who says what a picture shows: the digit classifier inside for models of digits, CLIP for all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from diffusion_tricks import UsageError
from diffusion_tricks.plugin import to_images, to_tensor

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks import Model, Scorer
    from diffusion_tricks_learn.session import Session

DIGITS = tuple("0123456789")
THINGS = (
    "a strawberry", "a mushroom", "a rocket", "a rabbit", "a panda",
    "a rainbow", "a pineapple", "a sunflower", "a pizza", "a snowman",
)  # fmt: skip


class Judge(Protocol):
    """Reads pictures (b c h w) in -1..1 as one of `names`. label: what it is called. unit: of its scores."""

    names: Sequence[str]
    label: str
    unit: str

    def scores(self, pictures: Tensor) -> Tensor:
        """How well each picture shows each name (b k)."""

    def features(self, pictures: Tensor) -> Tensor:
        """What it sees (b d), to compare pictures by."""


@dataclass
class Clip:
    """CLIP: the cosine of picture and name, -1..1."""

    scorer: Scorer
    names: Sequence[str]
    label: str = "CLIP"
    unit: str = "clip_score"

    def scores(self, pictures: Tensor) -> Tensor:
        """Cosines (b k)."""
        return self.scorer.similarity(to_images(pictures), self.names).cpu()

    def features(self, pictures: Tensor) -> Tensor:
        """Unit vectors (b d)."""
        return self.scorer.pictures(to_images(pictures)).cpu()


@dataclass
class Digits:
    """The digit classifier: how likely each digit is, 0..1."""

    names: Sequence[str] = DIGITS
    label: str = "the digit classifier"
    unit: str = "probability"

    def scores(self, pictures: Tensor) -> Tensor:
        """Probabilities (b 10)."""
        from diffusion_tricks.training import digit_classifier

        return digit_classifier().probabilities(pictures.float().cpu())

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """The layer below the ten scores (b 64)."""
        from diffusion_tricks.training import digit_classifier

        return digit_classifier().features(pictures.float().cpu())


def names_for(model: Model, asked: Sequence[str] = ()) -> list[str]:
    """What was asked for, or all classes of a model of classes, or ten things that the model inside draws.

    Raises UsageError for a model that takes no prompt, and for less than two names: nothing is recognised of one.
    """
    classes: Sequence[str] | None = getattr(model.family, "classes", None)  # None for models of text
    if classes is not None and not classes:
        raise UsageError(
            f"expected a model that is told what to draw, by text or class, and {model.name!r} takes no prompt"
        )
    names = list(asked or (THINGS if classes is None else classes))
    if len(names) < 2:
        raise UsageError(f"expected at least two things to tell apart, got {names}; give `prompts` more")
    return names


def judge_for(session: Session, names: Sequence[str]) -> Judge:
    """The digit classifier where digits were asked for, else CLIP, which tells the names from each other."""
    return Digits() if set(names) <= set(DIGITS) else Clip(session.scorer, names)


def right(judge: Judge, pictures: Tensor, asked: Sequence[str]) -> Tensor:
    """Whether each picture (b c h w) is read as what was asked (b), of all that the judge knows."""
    return judge.scores(pictures).argmax(1) == indices(judge, asked)


def indices(judge: Judge, asked: Sequence[str]) -> Tensor:
    """The places (b) of what was asked among the judge's names."""
    return torch.tensor([list(judge.names).index(name) for name in asked])


def pixels(images: Sequence[Image]) -> Tensor:
    """Pictures of one size as (b 3 h w) in -1..1."""
    return torch.cat([to_tensor(image.convert("RGB")) for image in images])
