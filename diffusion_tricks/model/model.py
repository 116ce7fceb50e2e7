"""A loaded model: a pipeline, what it is called, where it runs, and its answers to asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from diffusion_tricks.devices.capacity import rows_that_fit
from diffusion_tricks.devices.compile import Compiled
from diffusion_tricks.devices.memory import Job, Memory, Work, in_parts, persisting
from diffusion_tricks.devices.rungs import PICTURES, PROMPTS, tiled
from diffusion_tricks.devices.text_encoders import arrive, leave
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.ask import Ask
from diffusion_tricks.diffusion.levels import training_level
from diffusion_tricks.diffusion.noise_level import Level
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import Family
from diffusion_tricks.families.defaults import Defaults
from diffusion_tricks.families.open import family_of
from diffusion_tricks.families.reading import reading
from diffusion_tricks.families.rows import Rows
from diffusion_tricks.model.lora import Lora
from diffusion_tricks.model.prompt_rows import PromptRows
from diffusion_tricks.model.prompt_store import Asked, PromptStore
from diffusion_tricks.model.row_files import Encoded
from diffusion_tricks.model.vocabulary import Vocabulary
from diffusion_tricks.types import Pipeline, Row, Size


class Second(Protocol):
    """The stage that follows a model's, not yet loaded."""

    @property
    def name(self) -> str:
        """What it is called in results."""

    @property
    def defaults(self) -> Defaults:
        """What it is run with when nothing else is asked."""

    @property
    def second(self) -> Second | None:
        """The stage that follows this one, if any."""

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The model of the stage; noise_level: on the pictures it enlarges, None is its default."""


@dataclass(frozen=True)
class Refiner:
    """A model without text, which answers in another's place where little noise is left: eDiff-I, arXiv:2211.01324.

    model: that answers; it predicts what the other does, on the same schedule. below: the timestep below which it has
    learnt to answer; there and in more noise the other answers itself.
    """

    model: Model
    below: int

    def answers(self, asks: Sequence[Ask], level: Level, span: float = 1.0) -> bool:
        """Whether it is to answer what one step asks: no more than latents, of little noise.

        span: the share of the training's timesteps that the run goes through. A run that starts from a picture goes
        through fewer, and so are those that are refined, that what it is asked for is heard.
        """
        plain = all(ask.condition is None and not ask.controls and ask.inside is None for ask in asks)
        return plain and level.snr > self.model.level(round(span * self.below)).snr


@dataclass(repr=False)
class Model:
    """A diffusers pipeline opened up. Made by `load_model`.

    name: what it was asked for by. device, dtype: where and in what the denoiser runs. opened: the family that serves
    the pipeline, where it is known; else it is looked for. second: the upscaler that makes its pictures larger.
    refiner: what answers in its place where little noise is left.
    vocabulary: what it was taught, where it says so. loras: what was added to its weights. memory: how it is saved.
    compiled: its denoiser, where that was asked for. unread: of each prompt that was encoded, what was left out of it,
    in sentences. store: where the prompts that were encoded are kept from run to run, if they are.
    """

    pipe: Pipeline
    name: str
    device: torch.device
    dtype: torch.dtype
    defaults: Defaults = field(default_factory=Defaults)
    revision: str | None = None
    second: Second | None = None
    refiner: Refiner | None = None
    vocabulary: Vocabulary | None = None
    loras: Sequence[Lora] = ()
    memory: Memory = field(default_factory=Memory)
    compiled: Compiled | None = None
    unread: dict[str, list[str]] = field(default_factory=dict, repr=False)
    store: PromptStore | None = field(default=None, repr=False)
    _prompts: PromptRows = field(default_factory=PromptRows, repr=False)
    opened: InitVar[Family | None] = None

    def __post_init__(self, opened: Family | None) -> None:
        self.family: Family = opened or family_of(self.pipe)

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"<Model {self.name!r}: {type(self.pipe).__name__} on {self.device} in {dtype}>"

    @property
    def latent_dtype(self) -> torch.dtype:
        """In what a run keeps its latents: the denoiser's, or float32 where the family's own pipeline keeps them so."""
        return torch.float32 if self.family.shape.precise else self.dtype

    def level(self, t: int) -> Level:
        """The noise level of a timestep of its training, see `training_level`. Raises UsageError."""
        return training_level(self.pipe.scheduler, t)

    def encode_prompts(
        self, prompts: Sequence[str | None], size: Size, distilled: float | None = None
    ) -> dict[str | None, Row]:
        """The denoiser's arguments for each prompt; each is computed once and remembered.

        distilled: the guidance scale that a distilled model is given; None is its default.
        Raises UsageError for a prompt that is no text.
        """
        for prompt in prompts:
            check_text(prompt)
        scale = self.defaults.distilled_guidance if distilled is None else distilled
        with alone_with(self.pipe):
            return self._prompts.found(prompts, (size, scale), partial(self._recorded, size, scale))

    def _recorded(self, size: Size, scale: float | None, prompts: list[str | None]) -> list[Row]:
        store = None if self.family.schedule_reads else self.store  # which needs the recording itself
        asked = Asked(size, scale, type(self.family).__name__, self.device)
        known = store.found(prompts, self.pipe, asked) if store else {}
        if missing := [prompt for prompt in prompts if prompt not in known]:
            rows = persisting(self, PROMPTS, partial(self._attempted, missing, size, scale))
            new = {p: Encoded(row, self.unread.get(p or "", [])) for p, row in zip(missing, rows, strict=True)}
            if store:
                store.keep(new, self.pipe, asked)
            known |= new
        leave(self)
        self.unread |= {prompt: list(known[prompt].unread) for prompt in prompts if prompt}
        return [known[prompt].row for prompt in prompts]

    def _attempted(self, prompts: list[str | None], size: Size, scale: float | None, work: Work) -> list[Row]:
        work.doing = "while it encoded the prompts"
        arrive(self)
        return [self._read(prompt, size, scale) for prompt in prompts]

    def _read(self, prompt: str | None, size: Size, scale: float | None) -> Row:
        """The denoiser's arguments for one prompt: a picture does not depend, to the last bit, on others beside it."""
        if not prompt or not self.family.reads:
            return self.family.record([prompt], size, scale)[0]
        with reading(self.pipe, prompt) as read:
            (row,) = self.family.record([read.text], size, scale)
        self.unread[prompt] = list(dict.fromkeys(read.unread))
        return row

    def rows(self, prompts: Sequence[str | None], size: Size, distilled: float | None = None) -> Rows:
        """The denoiser's arguments for a batch of prompts, a row each; put together once for all steps."""
        with alone_with(self.pipe):
            known = self.encode_prompts(prompts, size, distilled)
            return self._prompts.together([known[prompt] for prompt in prompts])

    def forget_prompts(self, least: int = 0) -> int:
        """Lets go of encoded prompts but those asked last, and gives how many bytes that were; none if less than least.

        Where they are asked again they are encoded anew.
        """
        return self._prompts.forget(least)

    def rows_at_once(self, size: Size, asked: int | None) -> int | None:
        """How many rows of a size go into one call: no more than are asked for, and than memory holds; None is all."""
        rows = self.memory.rows
        if size not in rows:
            rows[size] = 1 if self.memory.mode == "lowest" else self._rows_that_fit(size)
        return min((n for n in (asked, rows[size]) if n is not None), default=None)

    def pictures_at_once(self, size: Size, asked: int | None) -> int | None:
        """How many pictures of a size are decoded or encoded in one call; as `rows_at_once`."""
        pictures = self.memory.pictures
        if size not in pictures:
            pictures[size] = self._pictures_that_fit(size) if self.memory.mode == "auto" else 1
        return min((n for n in (asked, pictures[size]) if n is not None), default=None)

    def _rows_that_fit(self, size: Size) -> int | None:
        config = getattr(getattr(self.pipe, self.family.part, None), "config", None)
        shape = self.family.shape
        side = shape.multiple if config is not None and "block_out_channels" not in config else shape.scale
        return rows_that_fit(config, (size[0] // side) * (size[1] // side), self.device, self.dtype)

    def _pictures_that_fit(self, size: Size) -> int | None:
        config = getattr(getattr(self.pipe, "vae", None), "config", None)
        return rows_that_fit(config, size[0] * size[1], self.device, self.dtype)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b 3 H W) in -1..1 as latents (b c h w)."""
        return self._pictures(pixels, self.family.encode, _size(pixels), None, "encoded")

    def decode(self, latents: Tensor, max_rows: int | None = None) -> Tensor:
        """Latents (b c h w) as pixels (b 3 H W), about -1..1; at most `max_rows` pictures at a time, None is all."""
        return self._pictures(latents, self.family.decode, _size(latents, self.family.scale), max_rows, "decoded")

    def _pictures(
        self, x: Tensor, work: Callable[[Tensor], Tensor], size: Size, asked: int | None, done: str
    ) -> Tensor:
        def compute(part: slice) -> Tensor:
            with tiled(self):
                return work(x[part])

        job = Job(
            size, len(x), lambda: self.pictures_at_once(size, asked), compute,
            lambda n: f"while it {done} {n} picture{'' if n == 1 else 's'}",
        )  # fmt: skip
        with alone_with(self.pipe):
            return in_parts(self, PICTURES, job)


def _size(x: Tensor, scale: int = 1) -> Size:
    return x.shape[-1] * scale, x.shape[-2] * scale


def check_text(prompt: str | None) -> None:
    """Raises UsageError for a prompt with characters that no text has: Python's own, for bytes that are not UTF-8."""
    try:
        (prompt or "").encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"the prompt {prompt!r} is no text: it came as bytes that are not UTF-8") from None
