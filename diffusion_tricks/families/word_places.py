"""Where the words of a prompt are among the tokens that a network is told, for whoever reads its attention to them."""

from __future__ import annotations

import re
from typing import NamedTuple

from diffusion_tricks.diffusion.prompt_grammar import plain
from diffusion_tricks.errors import UsageError
from diffusion_tricks.types import Pipeline


class Placed(NamedTuple):
    """A word of a prompt, and the places of its tokens in the text, from 0."""

    word: str
    places: list[int]


def word_places(pipe: Pipeline, prompt: str) -> list[Placed]:
    """The words of a prompt in order, without weights, as its pipeline's first tokenizer reads them.

    Raises UsageError for a pipeline without such a tokenizer, and for one that tells what it reads in a chat.
    """
    tokenizer = getattr(pipe, "tokenizer", None)
    if tokenizer is None or getattr(tokenizer, "chat_template", None):
        raise UsageError(f"{type(pipe).__name__} does not tell at which tokens its network is told a word")
    text = plain(prompt)
    heard = text.lower() if hasattr(pipe, "_text_preprocessing") else text
    offsets = tokenizer(heard, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    words = list(re.finditer(r"\S+", heard))
    return [
        Placed(
            text[slice(*word.span())],
            [i for i, (a, b) in enumerate(offsets) if a < b and word.start() < b <= word.end()],
        )
        for word in words
    ]
