"""Which text encoders heed the weights of words: CLIP's and T5's, by the names of their classes. No torch here."""

from __future__ import annotations

from collections.abc import Collection

from diffusion_tricks.diffusion.prompt_grammar import asks_weights
from diffusion_tricks.errors import UsageError
from diffusion_tricks.types import Parts

ENCODER, TOKENIZER = "text_encoder", "tokenizer"


def is_clip(encoder: str) -> bool:
    """Whether a class is CLIP's, which reads in chunks."""
    return encoder.startswith("CLIPText")


def is_t5(encoder: str) -> bool:
    """Whether a class is T5's, which reads all at once."""
    return encoder.endswith("T5EncoderModel")


def heed(encoders: Collection[str]) -> bool:
    """Whether text encoders of these classes, all that a pipeline has, heed weights."""
    return bool(encoders) and all(is_clip(each) or is_t5(each) for each in encoders)


def check_weights(pipeline: str, encoders: Collection[str], prompt: str) -> None:
    """Raises UsageError for a prompt that says weights to text encoders that cannot heed them."""
    if asks_weights(prompt) and not heed(encoders):
        raise cannot_weigh(pipeline, prompt)


def cannot_weigh(pipeline: str, prompt: str) -> UsageError:
    """The error to raise for weights that a pipeline's text encoders cannot heed."""
    return UsageError(
        f"{pipeline} cannot weigh the words of a prompt, as its text encoders are neither CLIP nor T5; got "
        rf"{prompt!r}; leave the weights out, or write brackets that are text as \( and \)"
    )


def encoders_in(parts: Parts) -> list[str] | None:
    """The classes of a model's text encoders that have a tokenizer, by its settings; None where they do not tell."""
    index = parts.get("model_index", {})
    named = {name: kind[1] for name, kind in index.items() if isinstance(kind, list | tuple) and len(kind) == 2}
    if named:
        return [kind for name, kind in named.items()
                if kind and name.startswith(ENCODER) and named.get(name.replace(ENCODER, TOKENIZER))]  # fmt: skip
    return parts.get(ENCODER, {}).get("architectures")
