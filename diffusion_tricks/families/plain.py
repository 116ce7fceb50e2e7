"""Models without text: a plain UNet that is told nothing, or one class by its number (DDPMPipeline, DDIMPipeline).

A prompt names the class. No class at all, which guidance moves away from, is the network's last embedding where
the model was trained with one: there is one embedding more than there are names (arXiv:2207.12598).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.errors import ModelError, UnknownName, UsageError
from diffusion_tricks.families import shapes
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.families.replay import replayed
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.types import Parts, Pipeline, Row, Size

ARTICLES = ("a ", "an ", "the ")
NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")  # classes 0 to 9, in words


class PlainFamily(Family):
    """`UNet2DModel` in pixel space: gray (1 channel) or colour (3), with or without classes."""

    def __init__(self, pipe: Pipeline, classes: Sequence[str] | None = None):
        super().__init__(pipe)
        self.embeddings = int(pipe.unet.config.num_class_embeds or 0)
        self.classes = tuple(classes) if classes is not None else class_names(_folder_of(pipe), self.embeddings)

    shape_of = staticmethod(shapes.of_plain_unet)

    @classmethod
    def check_prompt(cls, prompt: str | None, parts: Parts, folder: Path | None = None) -> None:
        """Also for one that names no class."""
        super().check_prompt(prompt, parts, folder)
        embeddings = int(parts["unet"].get("num_class_embeds") or 0)
        if not embeddings:
            _nothing(prompt)
        elif folder is not None:
            class_of(prompt, class_names(folder, embeddings), embeddings)

    def record(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> list[Row]:
        """The class of each prompt. Raises UnknownName for one that is no class, UsageError where there are none."""
        device = self.pipe._execution_device  # the weights may wait elsewhere
        if not self.embeddings:
            return [_nothing(prompt) for prompt in prompts]
        return [{"class_labels": torch.tensor([self.label(prompt)], device=device)} for prompt in prompts]

    def label(self, prompt: str | None) -> int:
        """The number of the class that a prompt names; None and the empty text are no class."""
        return class_of(prompt, self.classes, self.embeddings)

    def predict(self, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
        """The network's answer, one class each."""
        return replayed(self.pipe.unet, x, t, rows, **more)

    def encode(self, pixels: Tensor) -> Tensor:
        """The pixels themselves; their mean over the colours for a gray model."""
        return pixels if self.channels == 3 else pixels.mean(1, keepdim=True)

    def decode(self, latents: Tensor) -> Tensor:
        """The latents themselves, as three equal channels for a gray model."""
        return latents if self.channels == 3 else latents.expand(-1, 3, -1, -1)


def _nothing(prompt: str | None) -> Row:
    if prompt:
        raise UsageError(f"this model takes no prompt, it makes what it was trained on; got {prompt!r}, leave it out")
    return {}


def class_of(prompt: str | None, classes: Sequence[str], embeddings: int) -> int:
    """The number of the class that a prompt names; None and the empty text are the embedding behind the classes.

    Raises UnknownName for one that names none of them, UsageError for none where there is no such embedding.
    """
    word = _bare(prompt or "")
    if word:
        known = {_bare(name): i for i, name in enumerate(classes)}
        word = str(NUMERALS.index(word)) if word in NUMERALS and word not in known else word
        if word not in known:
            raise UnknownName("class", str(prompt), classes)
        return known[word]
    if embeddings <= len(classes):
        raise UsageError("this model knows classes only, and was asked for none; name one, and use guidance 1")
    return len(classes)


def _folder_of(pipe: Pipeline) -> Path:
    return Path(str(getattr(pipe, "name_or_path", None) or ""))


def class_names(folder: Path, embeddings: int) -> tuple[str, ...]:
    """The names in a model's directory, else the numbers of the embeddings.

    Raises ModelError for names that do not fit the network.
    """
    file = folder / DEFAULTS_FILE
    names = read_object(file, ModelError).get("classes", []) if file.is_file() else []
    if not names:
        return tuple(str(i) for i in range(embeddings))
    if not isinstance(names, list) or not len(names) <= embeddings <= len(names) + 1:
        raise ModelError(f"{file}: expected one class name for each of {embeddings} embeddings, or one less")
    return tuple(map(str, names))


def _bare(text: str) -> str:
    """Lower case, without an article."""
    word = " ".join(text.lower().split())
    article = next((a for a in ARTICLES if word.startswith(a)), "")
    return word.removeprefix(article)
