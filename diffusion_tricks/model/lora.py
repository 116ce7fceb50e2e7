"""A file of LoRA weights, as a recipe names it. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from diffusion_tricks.errors import UsageError

EXPECTED = "expected FILE or FILE:WEIGHT, as in style.safetensors:0.8"


@dataclass(frozen=True)
class Lora:
    """A file of LoRA weights, and how strongly they count: 1 as they were trained, 0 not at all, any number."""

    file: str
    weight: float = 1.0

    def mapped(self, change: Callable[[str], str]) -> Lora:
        """With `change` applied to the file's path."""
        return replace(self, file=change(self.file))

    @property
    def name(self) -> str:
        """For results: the file without its folder and suffix, and the weight."""
        return str(replace(self, file=Path(self.file).stem))

    def __str__(self) -> str:
        return self.file if self.weight == 1 else f"{self.file}:{self.weight!r}"


def lora_from(text: str) -> Lora:
    """What `FILE` or `FILE:WEIGHT` says. Raises UsageError for a weight that is no finite number."""
    file, _, weight = text.rpartition(":")
    try:
        lora = Lora(file, float(weight)) if file else Lora(text)
    except ValueError:  # the colon is part of a path
        lora = Lora(text)
    if not math.isfinite(lora.weight) or not lora.file:
        raise UsageError(f"lora {text!r}: {EXPECTED}")
    return lora
