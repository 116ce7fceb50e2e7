"""How all pictures of a run are made and written, as plain data. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import mapped

WRITTEN = ("dtype", "quantize", "scores", "scorer", "quality", "metadata", "provenance", "keep_gps")


@dataclass(frozen=True)
class How:
    """The settings of a run that no job says.

    device, dtype, memory, quantize, compile, max_rows: as for `load_model` and `making`. scores, scorer: whether and by
    what pictures are scored. quality, metadata, provenance, keep_gps: as for `Result.save`. retry: how often what
    failed for a passing reason is tried again, and a batch that its worker has died of, see `most_deaths`.
    """

    device: str = "auto"
    dtype: str = "auto"
    memory: str = "auto"
    quantize: str | None = None
    compile: bool = False
    max_rows: int | None = None
    scores: bool = True
    scorer: str | None = None
    quality: int | None = None
    metadata: bool = True
    provenance: bool = True
    keep_gps: bool = False
    retry: int = 1

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def how_from(data: Mapping[str, Any]) -> How:
    """The settings from plain data."""
    return How(**data)


def asked_of(recipe: Recipe, how: How, models: Mapping[str, str] | None = None) -> str:
    """SHA-256 of what a job is asked: its recipe, whatever its files are called, and what decides what is written.

    models: fingerprints of those that are files, by name.
    """
    settings = {name: getattr(how, name) for name in WRITTEN}
    said = mapped(recipe, lambda path: "").model_copy(update={"folder": None, "model": "", "upscaler": []})
    known = models or {}
    named = [known.get(name, name) for name in (recipe.model, *recipe.upscaler)]
    data = [said.data(), named, settings]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
