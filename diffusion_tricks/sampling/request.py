"""What is sampled and how, as a caller asks for it; checked as far as no model is needed for that."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from diffusion_tricks.errors import UsageError
from diffusion_tricks.types import Prompt, Size

SEEDS = range(-(2**63), 2**64)  # that torch's generators take
WHOLE = ("steps", "stride", "upscale_steps", "noise_level")  # numbers; the model says which of them may be
COUNTS = ("max_rows", "count")
NAMES = ("scheduler", "upscale_scheduler")
LENGTHS = ("steps", "timesteps", "stride")


@dataclass(frozen=True)
class Sampling:
    """What is sampled, and how; None leaves it to the model.

    prompt: one text, one per picture, or None, the unconditional. seed: of picture 0; picture i has seed + i. count:
    pictures, as many as there are prompts in a list unless said; or `seeds`, one each. steps: of the schedule; instead,
    `timesteps` sets them one by one, and `stride` every so many of the training's, down to 0. scheduler: a name of
    `SCHEDULERS`. size: (width, height) in pixels; one that is larger than a model makes by itself is made in stages
    (`Step.stage`), the later ones by upscalers, for which `upscale_steps` and `upscale_scheduler` are, and
    `noise_level`, a timestep: how noisy each sees the picture of the one before. distilled_guidance: the scale that a
    guidance-distilled model takes as an input, which is another thing than the trick. max_rows: rows in one call of the
    denoiser at the most.
    Whole numbers may be numpy's. Raises UsageError for what cannot be.
    """

    prompt: str | Sequence[str | None] | None = None
    seed: int = 0
    count: int | None = None
    seeds: Sequence[int] | None = None
    steps: int | None = None
    timesteps: Sequence[int] | None = None
    stride: int | None = None
    scheduler: str | None = None
    size: Size | None = None
    upscale_steps: int | None = None
    upscale_scheduler: str | None = None
    noise_level: int | None = None
    distilled_guidance: float | None = None
    max_rows: int | None = None

    def __post_init__(self) -> None:
        _check_prompt(self.prompt)
        for name in (*WHOLE, *COUNTS):
            self._set(name, _whole_number(name, getattr(self, name)))
        for name in NAMES:
            _check_name(name, getattr(self, name))
        self._set("size", _size(self.size))
        self._set("timesteps", _whole_numbers("timesteps", self.timesteps))
        self._set("seed", _seed(self.seed))
        self._set("seeds", _whole_numbers("seeds", self.seeds))
        _check_scale("distilled_guidance", self.distilled_guidance)
        lengths = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(lengths) > 1:
            raise UsageError(f"{' and '.join(lengths)} both say which steps are made; give one of them")
        self._check_count()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_count(self) -> None:
        seeds, prompts = self.every_seed, self.prompts
        if not seeds:
            raise UsageError("count must be at least 1, got 0")
        if self.seeds is not None and self.count not in (None, len(seeds)):
            raise UsageError(f"count is {self.count}, and there are {len(seeds)} seeds; leave count out")
        for seed in seeds:
            _seed(seed)
        if isinstance(prompts, tuple) and len(prompts) != len(seeds):
            raise UsageError(f"expected one prompt, or one for each of {len(seeds)} pictures, got {len(prompts)}")

    @property
    def prompts(self) -> Prompt:
        """The prompt of all pictures, or one each."""
        return self.prompt if self.prompt is None or isinstance(self.prompt, str) else tuple(self.prompt)

    @property
    def every_seed(self) -> list[int]:
        """One for each picture."""
        if self.seeds is not None:
            return list(self.seeds)
        count = len(self.prompts) if isinstance(self.prompts, tuple) and self.count is None else self.count
        return [self.seed + i for i in range(1 if count is None else count)]


def _whole(value: Any) -> int | None:
    """The value as an int, or None where it is no whole number; numpy's are, and yes and no are not."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _whole_number(name: str, value: Any) -> int | None:
    if value is None:
        return None
    whole = _whole(value)
    if whole is None:
        raise UsageError(f"{name} must be a whole number, got {value!r}")
    if whole < 1 and name in COUNTS:
        raise UsageError(f"{name} must be at least 1, got {whole}")
    return whole


def _whole_numbers(name: str, values: Any) -> list[int] | None:
    if values is None:
        return None
    found = [_whole(value) for value in values] if isinstance(values, Iterable) else [None]
    if any(value is None for value in found):
        raise UsageError(f"{name} must be a list of whole numbers, got {values!r}")
    return [value for value in found if value is not None]


def _seed(value: Any) -> int:
    whole = _whole(value)
    if whole is None or whole not in SEEDS:
        raise UsageError(f"a seed must be a whole number between -2**63 and 2**64 - 1, got {value!r}")
    return whole


def _size(size: Any) -> Size | None:
    if size is None:
        return None
    sides = [_whole(side) for side in size] if isinstance(size, Iterable) else []
    width, height = sides if len(sides) == 2 else (None, None)
    if width is None or height is None:
        raise UsageError(f"size must be (width, height) in pixels, as in (64, 64), got {size!r}")
    return width, height


def _check_prompt(prompt: Any) -> None:
    several = isinstance(prompt, Sequence) and not isinstance(prompt, str | bytes)
    for one in prompt if several else (prompt,):
        if one is not None and not isinstance(one, str):
            raise UsageError(f"prompt must be a text, or a list with one for each picture, got {prompt!r}")


def _check_name(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{name} must be a name, such as 'ddim', got {value!r}")


def _check_scale(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < 0:
        raise UsageError(f"{name} must be a number of at least 0, got {value!r}")
