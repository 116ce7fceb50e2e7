"""A loaded model: a pipeline, what it is called, where it runs, and its answers to asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from diffusion_tricks.ask import Ask, Estimate, Level
from diffusion_tricks.calling import memory_is_full
from diffusion_tricks.denoiser import Family, Pipeline, Size, family_of
from diffusion_tricks.errors import OutOfMemory
from diffusion_tricks.schedulers import SCHEDULERS
from diffusion_tricks.vocabulary import Vocabulary

REMEMBERED_PROMPTS = 512


@dataclass(frozen=True)
class Defaults:
    """What a model is run with when nothing else is asked: steps, guidance scale, scheduler by name, or its own.

    upscaler: the model that makes larger pictures of its own, a path beside it or a hub name. noise_level: of an
    upscaler, a timestep: how much noise is put on the picture it enlarges.
    """

    steps: int = 50
    guidance: float = 7.0
    scheduler: str | None = None
    upscaler: str | None = None
    noise_level: int = 50

    def __post_init__(self) -> None:
        """Raises ValueError for values that no run could use."""
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a whole number, 1 or more, got {self.steps!r}")
        if not isinstance(self.guidance, int | float) or self.guidance < 0:
            raise ValueError(f"guidance must be a number, 0 or more, got {self.guidance!r}")
        if self.scheduler is not None and self.scheduler not in SCHEDULERS:
            raise ValueError(f"scheduler must be one of {', '.join(SCHEDULERS)}, got {self.scheduler!r}")
        if self.upscaler is not None and not isinstance(self.upscaler, str):
            raise ValueError(f"upscaler must be a path or a hub name, got {self.upscaler!r}")
        if not isinstance(self.noise_level, int) or self.noise_level < 0:
            raise ValueError(f"noise_level must be a whole number, 0 or more, got {self.noise_level!r}")


class Second(Protocol):
    """A model's second stage, not yet loaded."""

    @property
    def name(self) -> str:
        """What it is called in results."""

    @property
    def defaults(self) -> Defaults:
        """What it is run with when nothing else is asked."""

    def behind(self, base: Model, noise_level: int | None = None) -> Model:
        """The model of the second stage; noise_level: on the pictures it enlarges, None is its default."""


@dataclass
class Model:
    """A diffusers pipeline opened up. Made by `load_model`.

    name: what it was asked for by. device, dtype: where and in what the denoiser runs. opened: the family that serves
    the pipeline, where it is known; else it is looked for. second: the upscaler that makes its pictures larger.
    vocabulary: what it was taught, where it says so.
    """

    pipe: Pipeline
    name: str
    device: torch.device
    dtype: torch.dtype
    defaults: Defaults = Defaults()
    revision: str | None = None
    second: Second | None = None
    vocabulary: Vocabulary | None = None
    _rows: dict[tuple[str | None, Size], dict[str, Any]] = field(default_factory=dict, repr=False)
    opened: InitVar[Family | None] = None

    def __post_init__(self, opened: Family | None) -> None:
        self.family: Family = opened or family_of(self.pipe)

    def encode_prompts(self, prompts: Sequence[str | None], size: Size) -> dict[str | None, dict[str, Any]]:
        """The denoiser's arguments for each prompt; each is computed once and remembered."""
        missing = [p for p in dict.fromkeys(prompts) if (p, size) not in self._rows]
        if missing:
            with memory_explained(self.device, "while it encoded the prompts"):
                self._place_text_encoders(self.device)
                recorded = self.family.record(missing, size)
            self._rows.update({(p, size): row for p, row in zip(missing, recorded, strict=True)})
            self._place_text_encoders(torch.device("cpu"))
        rows = {p: self._rows[p, size] for p in prompts}
        for old in list(self._rows)[:-REMEMBERED_PROMPTS]:
            del self._rows[old]
        return rows

    def _place_text_encoders(self, device: torch.device) -> None:
        """On an accelerator the text encoders are there only while they work; offloading hooks are left alone."""
        if self.device.type == "cpu" or getattr(self.pipe, "_all_hooks", None):
            return
        for name, module in self.pipe.components.items():
            if name.startswith("text_encoder") and module is not None and not hasattr(module, "_hf_hook"):
                module.to(device)

    def answer(
        self, asks: Sequence[Ask], t: Tensor, level: Level, size: Size, scale_input: Any, max_rows: int | None
    ) -> tuple[list[Estimate], int]:
        """Estimates for `asks`, all rows of a shape in one call of the denoiser, and how many rows that were.

        max_rows: rows in one call at the most; None is all.
        """
        answers: dict[int, Estimate] = {}
        groups: dict[tuple[torch.Size, bool], list[int]] = {}
        for i, ask in enumerate(asks):
            groups.setdefault((ask.x.shape[1:], ask.condition is None), []).append(i)
        total = 0
        for members in groups.values():
            x = _input([asks[i] for i in members], t, scale_input)
            prompts = [p for i in members for p in asks[i].rows]
            output = self._in_chunks(x, t, prompts, size, max_rows or len(x))
            total += len(x)
            for i, part in zip(members, torch.split(output, [len(asks[i].x) for i in members]), strict=True):
                answers[i] = estimate_from(part, asks[i].x, level)
        return [answers[i] for i in range(len(asks))], total

    def _in_chunks(self, x: Tensor, t: Tensor, prompts: list[str | None], size: Size, rows: int) -> Tensor:
        known = self.encode_prompts(prompts, size)
        arguments = [known[p] for p in prompts]
        with memory_explained(self.device, f"on {min(rows, len(x))} rows of {size[0]}x{size[1]}"):
            parts = [self.family.predict(x[i : i + rows], t, arguments[i : i + rows]) for i in range(0, len(x), rows)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b 3 H W) in -1..1 as latents (b c h w)."""
        with memory_explained(self.device, "while it encoded a picture"):
            return self.family.encode(pixels)

    def decode(self, latents: Tensor, max_rows: int | None = None) -> Tensor:
        """Latents (b c h w) as pixels (b 3 H W), about -1..1; `max_rows` pictures at a time, None is all."""
        with memory_explained(self.device, f"while it decoded {min(max_rows or len(latents), len(latents))} pictures"):
            return torch.cat([self.family.decode(part) for part in torch.split(latents, max_rows or len(latents))])


@contextlib.contextmanager
def memory_explained(device: torch.device, doing: str) -> Iterator[None]:
    """Turns a full memory inside into OutOfMemory, which says what to try."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory_is_full(error):
            raise
        raise OutOfMemory(
            f"{device} ran out of memory {doing}; try a smaller --max-rows (1 is least), a smaller --size, --count 1, "
            "or --dtype float16"
        ) from error


def _input(asks: Sequence[Ask], t: Tensor, scale_input: Any) -> Tensor:
    """What the denoiser sees of `asks` of one shape (n c h w): scaled latents, and their conditions behind them."""
    x: Tensor = scale_input(torch.cat([ask.x for ask in asks]), t)
    conditions = [ask.condition for ask in asks if ask.condition is not None]
    return torch.cat([x, torch.cat(conditions)], dim=1) if conditions else x


def estimate_from(output: Tensor, x: Tensor, level: Level) -> Estimate:
    """The raw output as an estimate: twice as many channels as the latents are prediction and variance."""
    channels = x.shape[1]
    variance = output[:, channels:].float() if output.shape[1] == 2 * channels else None
    return Estimate(output[:, :channels].float(), x, level, variance)
