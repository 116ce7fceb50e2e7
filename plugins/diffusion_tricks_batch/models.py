"""Models on this machine's disk, told apart by what is in them, so that another one of the same name is noticed.

Of a large file its size and parts of it count. No torch here.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import sampled

OF_MODELS = {".json", ".safetensors", ".gguf", ".txt", ".model"}  # settings, weights, vocabularies


def fingerprint(path: Path) -> str:
    """SHA-256 of a model in a file, or in a folder with the names of its files. Raises OSError."""
    within = sorted(file for file in path.rglob("*") if file.suffix in OF_MODELS and file.is_file())
    told = [f"{file.relative_to(path)} {sampled(file)}" for file in ([path] if path.is_file() else within)]
    return hashlib.sha256("\n".join(told).encode(errors="surrogateescape")).hexdigest()


class Models:
    """Fingerprints of the models that recipes name, each read once. One of the hub is its name, with its revision."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, recipe: Recipe) -> dict[str, str]:
        """Of the model of a recipe and its upscalers, as far as they are files here, by name."""
        names = () if recipe.picture is not None else (recipe.model, *recipe.upscaler)
        return {name: self._of(name) for name in names if os.path.exists(name)}

    def _of(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = fingerprint(Path(name))
        return self._known[name]
