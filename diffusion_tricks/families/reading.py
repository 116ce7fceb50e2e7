"""How a pipeline's own text encoders read a prompt with weights, or one that is longer than they read at a time.

    e_i = e0_i + w_i (e_i - e0_i),  e0: the empty text's        each token's embedding, by the weight of its word

as ComfyUI weighs it: 1 is the word as it is, 0 as if nothing were said there. CLIP reads 75 tokens and its marks at a
time; what is longer is read in chunks, which stand one behind the other, as in AUTOMATIC1111's web UI. The pooled text
of SDXL and SD3 is that of the first chunk, without weights. T5 reads what it was made to read, and what is left out of
that is told.

For the time of a recording tokenizers and text encoders are watched, on the instance; no pipeline is copied here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.diffusion.prompt_grammar import Piece, has_grammar, weighted
from diffusion_tricks.families.heeding import ENCODER, TOKENIZER, cannot_weigh, check_weights, heed, is_clip, is_t5
from diffusion_tricks.families.onestep import standing_in
from diffusion_tricks.types import Pipeline

POOLED = ("pooler_output", "text_embeds")  # of what CLIP gives: one vector for a text
SHOWN = 200  # characters of what was not read
Letters = list[tuple[str, float]]  # every character with its weight


@dataclass
class Reading:
    """A prompt on its way through the text encoders.

    text: its words, as the pipeline is given them. chunks: their pieces. unread: what became of its tail, a sentence
    for each encoder that left one out. weighed: whether an encoder heeded the weights.
    """

    text: str
    chunks: list[list[Piece]]
    unread: list[str] = field(default_factory=list)
    weighed: bool = False

    @property
    def has_weights(self) -> bool:
        """Whether any word counts more or less than the others."""
        return any(piece.weight != 1 for chunk in self.chunks for piece in chunk)

    def letters(self, heard: str) -> list[Letters] | None:
        """The characters of each chunk as a tokenizer heard them, maybe in lower case; None for another text."""
        chunks = [[(c, piece.weight) for piece in chunk for c in piece.text] for chunk in self.chunks]
        for change in (str, str.lower):
            changed = [[(c, weight) for letter, weight in chunk for c in change(letter)] for chunk in chunks]
            if _joined(changed).strip() == heard.strip():
                return changed
        return None


def _joined(chunks: Sequence[Letters]) -> str:
    return " ".join("".join(c for c, _ in chunk).strip() for chunk in chunks)


@contextlib.contextmanager
def reading(pipe: Pipeline, prompt: str) -> Iterator[Reading]:
    """The pipeline, reading a prompt with its weights and in chunks; it is to be given the reading's `text`.

    Raises UsageError where it has weights that its text encoders cannot heed: those that are neither CLIP's nor T5's.
    """
    read = _reading(pipe, prompt)
    encoders, instead = _encoders(pipe), dict[str, Any]()
    with contextlib.ExitStack() as watching:
        watching.enter_context(quiet_libraries())  # diffusers says that CLIP cuts what is read in chunks here
        for suffix, encoder in encoders.items():
            kind = Chunked if is_clip(_kind(encoder)) else Whole if is_t5(_kind(encoder)) else None
            tokenizer = Heard(getattr(pipe, TOKENIZER + suffix), read, chunks=kind is Chunked)
            instead[TOKENIZER + suffix] = tokenizer
            if kind is not None:
                watching.enter_context(_reads(encoder, kind, tokenizer, read))
        watching.enter_context(standing_in(pipe, **instead))
        yield read
    if read.has_weights and not read.weighed:
        raise cannot_weigh(type(pipe).__name__, prompt)


def _reading(pipe: Pipeline, prompt: str) -> Reading:
    encoders = [_kind(encoder) for encoder in _encoders(pipe).values()]
    check_weights(type(pipe).__name__, encoders, prompt)
    if not has_grammar(prompt) or not heed(encoders):
        return Reading(prompt, [[Piece(prompt, 1.0)]])
    chunks = weighted(prompt)
    return Reading(" ".join("".join(piece.text for piece in chunk).strip() for chunk in chunks), chunks)


def _encoders(pipe: Pipeline) -> dict[str, torch.nn.Module]:
    """The text encoders that have a tokenizer, by what stands behind their names."""
    found = {name.removeprefix(ENCODER): part for name, part in pipe.components.items()
             if name.startswith(ENCODER) and isinstance(part, torch.nn.Module)}  # fmt: skip
    return {suffix: part for suffix, part in found.items() if getattr(pipe, TOKENIZER + suffix, None) is not None}


def _kind(encoder: torch.nn.Module) -> str:
    return type(encoder).__name__


class Heard:
    """Stands for a tokenizer: does what that does, keeps what it was asked, and says what it cut.

    chunks: what is cut will be read all the same. letters: of the prompt, once it was heard; tokens: what it became.
    """

    own: Any
    read: Reading
    chunks: bool
    letters: list[Letters] | None
    tokens: list[int]

    def __init__(self, own: Any, read: Reading, chunks: bool):
        mine = {"own": own, "read": read, "chunks": chunks, "letters": None, "tokens": []}
        vars(self).update(mine)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """A pipeline may set its tokenizer, as Sana's does."""
        if name in vars(self):
            vars(self)[name] = value
        else:
            setattr(self.own, name, value)

    def __len__(self) -> int:
        return len(self.own)

    def __call__(self, text: Any = None, *arguments: Any, **named: Any) -> Any:
        """What the tokenizer gives."""
        given = self.own(text, *arguments, **named)
        heard = text[0] if isinstance(text, list | tuple) and len(text) == 1 else text
        if isinstance(heard, str) and named.get("truncation") and self.read.text:
            limit = named.get("max_length") or self.own.model_max_length
            self._hear(heard, limit, _listed(given["input_ids"]))
        return given

    def _hear(self, heard: str, limit: int, tokens: list[int]) -> None:
        letters = self.read.letters(heard)
        if letters is not None:
            self.letters, self.tokens = letters, tokens
        if not self.chunks and len(tokens) >= limit:
            self._note_unread(heard, limit)

    def _note_unread(self, heard: str, limit: int) -> None:
        """Says what of a text was cut; what stands around the prompt, as in a chat, is not of it."""
        whole = self.own(heard, truncation=False, return_offsets_mapping=True, verbose=False)
        over = len(whole["input_ids"]) - limit
        if over <= 0:
            return
        marks = self.own.num_special_tokens_to_add()
        start = whole["offset_mapping"][limit - marks][0]
        found = heard.lower().find(self.read.text.strip().lower())
        end = len(heard) if found < 0 else found + len(self.read.text.strip())
        if words := heard[start:end].strip():
            told = shorten(words, SHOWN, placeholder=" ...")
            self.read.unread.append(f"the prompt is longer than the {limit} tokens that the model reads; it was not"
                                    f" told {told!r}")  # fmt: skip


def _listed(ids: Any) -> list[int]:
    rows = ids.tolist() if isinstance(ids, Tensor) else ids
    return list(rows[0]) if rows and isinstance(rows[0], list) else list(rows)


@contextlib.contextmanager
def _reads(encoder: torch.nn.Module, kind: type[Whole], tokenizer: Heard, read: Reading) -> Iterator[None]:
    """A text encoder that reads the prompt, where this thread asks it, as `kind` does; put back after."""
    own, plain, here = vars(encoder).get("forward"), encoder.forward, threading.get_ident()

    def forward(*arguments: Any, **named: Any) -> Any:
        ids = named.pop("input_ids", None) if not arguments else arguments[0]
        asked = threading.get_ident() == here and isinstance(ids, Tensor) and tokenizer.letters is not None
        if not asked or len(ids) != 1 or ids[0].tolist() != tokenizer.tokens:
            return plain(ids, *arguments[1:], **named)
        return kind(tokenizer, read, ids).output(plain, named)

    encoder.forward = forward
    try:
        yield
    finally:
        vars(encoder).pop("forward", None)
        if own is not None:
            encoder.forward = own


class Whole:
    """A text that is read at once, as T5 does: tokens, and the weight of each."""

    def __init__(self, tokenizer: Heard, read: Reading, ids: Tensor):
        self.tokenizer, self.read, self.ids = tokenizer, read, ids
        self.length = ids.shape[1]

    def output(self, plain: Any, named: dict[str, Any]) -> Any:
        """What the encoder gives, with every row of tokens behind the one before."""
        rows = self.rows()
        if len(rows) == 1 and not self.read.has_weights:
            return plain(self.ids, **named)
        masked = named.pop("attention_mask", None) is not None
        outputs = [self._asked(plain, tokens, masked, named) for tokens, _ in rows]
        empty = self._asked(plain, self.empty(), masked, named)
        self.read.weighed = True
        weights = torch.tensor([padded(each, self.length, 1.0) for _, each in rows], device=self.ids.device)  # (n l)
        return _combined(outputs, empty, weights)

    def rows(self) -> list[tuple[list[int], list[float]]]:
        """The tokens that are read, and the weight of each; a row of them."""
        chunks = self.tokenizer.letters or []
        letters = [letter for chunk in chunks for letter in [(" ", 1.0), *chunk]][1:]
        return [self.weighed(letters, truncation=True, max_length=self.length)]

    def weighed(self, letters: Letters, **how: Any) -> tuple[list[int], list[float]]:
        """Tokens of a text, and the weight of the last letter of each; 1 for marks."""
        told = self.tokenizer.own("".join(c for c, _ in letters), return_offsets_mapping=True, verbose=False, **how)
        weights = [letters[end - 1][1] if end > start else 1.0 for start, end in told["offset_mapping"]]
        return list(told["input_ids"]), weights

    def empty(self) -> list[int]:
        """The tokens of the empty text."""
        return list(self.tokenizer.own("")["input_ids"])

    def _asked(self, plain: Any, tokens: list[int], masked: bool, named: dict[str, Any]) -> Any:
        padding = self.tokenizer.own.pad_token_id
        ids = torch.tensor([padded(tokens, self.length, padding)], device=self.ids.device)
        mask = torch.tensor([padded([1] * len(tokens), self.length, 0)], device=self.ids.device)
        return plain(ids, **({"attention_mask": mask} if masked else {}), **named)


class Chunked(Whole):
    """A text in rows of as many tokens as the encoder reads, as CLIP's; each has its own marks."""

    def rows(self) -> list[tuple[list[int], list[float]]]:
        """Each chunk that BREAK begins, in as many rows as it takes."""
        start, end = self.empty()
        most = self.length - 2
        each = [self.weighed(chunk, add_special_tokens=False) for chunk in self.tokenizer.letters or []]
        return [
            ([start, *tokens[a:b], end], [1.0, *weights[a:b], 1.0])
            for tokens, weights in each
            for a, b in pairwise([*range(0, max(len(tokens), 1), most), max(len(tokens), 1)])
        ]


def padded(values: list[Any], length: int, value: Any) -> list[Any]:
    """Values, and behind them one value up to a length."""
    return [*values, *[value] * (length - len(values))]


def _combined(outputs: list[Any], empty: Any, weights: Tensor) -> Any:
    """The outputs of all rows as those of one longer text, weighed (n l); the pooled text is the first row's."""
    whole = outputs[0]
    for name in whole.keys() - set(POOLED):
        values = [output[name] for output in outputs]
        if isinstance(whole[name], Tensor):
            whole[name] = behind(values, empty[name], weights)
        elif isinstance(whole[name], tuple):
            layers = zip(zip(*values, strict=True), empty[name], strict=True)
            whole[name] = tuple(behind(list(layer), nothing, weights) for layer, nothing in layers)
    return whole


def behind(rows: Sequence[Tensor], empty: Tensor, weights: Tensor) -> Tensor:
    """e0 + w (e - e0) of rows (1 l d), one behind the other (1 n*l d); a weight of 1 leaves a token as it is."""
    e = torch.cat(list(rows))  # (n l d)
    w = weights[:, :, None].to(e.dtype)
    return torch.where(w == 1, e, empty + w * (e - empty)).reshape(1, -1, e.shape[-1])
