"""The files that a picture was made from, told apart by SHA-256: a name says little of what is in a file."""

from __future__ import annotations

from diffusion_tricks.io.hashes import sha256
from diffusion_tricks.io.named import file_of
from diffusion_tricks.recipes.paths import paths
from diffusion_tricks.recipes.recipe import Recipe


def hashes_of(recipe: Recipe) -> dict[str, str]:
    """SHA-256 of every file that a recipe reads, by its path; a directory, as of a model, has none."""
    return {str(path): sha256(file_of(path)) for path in paths(recipe) if file_of(path).is_file()}
