"""A model that reads, made to know more words, and wider: what `start_from` asks of weights that learnt less.

    python -m diffusion_tricks.training.grown diffusion_tricks/models/emoji drawings.npz MODEL
    python -m diffusion_tricks.training.grown ... --widths 32,64,96,128,256

Words that the model was taught keep their pieces, so that what it draws of them stays the same to the bit; every other
word of the drawings' captions becomes a piece of its own, whose embedding begins as the mean of the pieces that the
word was read in before.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import T5Tokenizer

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.training import folder
from diffusion_tricks.training.data.captions import STYLES
from diffusion_tricks.training.data.drawn import DrawnSource
from diffusion_tricks.training.data.emoji import COLOURS
from diffusion_tricks.training.data.sets import Drawings
from diffusion_tricks.training.network import WORD
from diffusion_tricks.training.task import opened_pipeline
from diffusion_tricks.training.widened import widened


def grow(pipe: Any, taught: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Makes every word of the texts that is in none of those taught one piece; gives the words that are new.

    pipe: IFPipeline whose tokenizer is of the unigram kind; its tokenizer and embeddings are replaced.
    """
    old, encoder = pipe.tokenizer, pipe.text_encoder
    pieces: list[tuple[str, float]] = [
        (piece, float(score)) for piece, score in json.loads(old.backend_tokenizer.to_str())["model"]["vocab"]
    ]
    held = {piece for piece, _ in pieces}
    words = sorted(words_of(texts) - words_of(taught))
    new = [word for word in words if f"▁{word}" not in held]
    before = encoder.get_input_embeddings().weight.detach()
    rows = [before[old(word, add_special_tokens=False).input_ids].mean(0) for word in new]
    surer = [(f"▁{word}", 0.0) for word in new]  # than any two pieces, whose logarithms are below 0
    encoder.resize_token_embeddings(len(pieces) + len(new), mean_resizing=False)
    with torch.no_grad():
        encoder.get_input_embeddings().weight[len(pieces) :] = torch.stack(rows) if rows else before[:0]
    pipe.register_modules(tokenizer=T5Tokenizer(vocab=pieces + surer, extra_ids=0))
    return new


def words_of(texts: Iterable[str]) -> set[str]:
    """The words of captions, in lower case."""
    return {word for text in texts for word in WORD.findall(text.lower())}


def taught(captions: Mapping[str, Sequence[str]]) -> list[str]:
    """What a model's captions were made of: its things, and the words of styles and backgrounds."""
    things = [text for name, others in captions.items() for text in (name, *others)]
    return [*things, *(way.format("a an the") for ways in STYLES.values() for way in ways), *COLOURS, "on background"]


def main(argv: list[str] | None = None) -> int:
    """Writes the model that knows more words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path, help="the directory of a model that reads")
    parser.add_argument("drawings", type=Path, help="what `diffusion_tricks.training.data.sets` wrote")
    parser.add_argument("model", type=Path, help="the directory to write")
    parser.add_argument("--widths", help="channels of every level, if more than it has, as in 32,64,96,128,256")
    given = parser.parse_args(argv)
    try:
        with quiet_libraries():
            pipe = opened_pipeline(str(given.start))
            defaults = read_object(given.start / DEFAULTS_FILE, UsageError)
            if not isinstance(defaults.get("captions"), dict):
                raise UsageError(f"{given.start / DEFAULTS_FILE} names no `captions` that the model was taught")
            texts = DrawnSource(Drawings.read(given.drawings)).texts()
            new = grow(pipe, taught(defaults["captions"]), texts)
            if given.widths:
                pipe.register_modules(unet=widened(pipe.unet, [int(width) for width in given.widths.split(",")]))
            given.model.mkdir(parents=True, exist_ok=True)
            folder.save_pipeline(given.model, pipe, defaults)
    except DiffusionTricksError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{given.model}: {len(new)} words more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
