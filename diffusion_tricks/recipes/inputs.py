"""The files that a picture was made from, told apart by SHA-256: a name says little of what is in a file."""

from __future__ import annotations

from collections.abc import MutableMapping

from diffusion_tricks.io.hashes import sha256
from diffusion_tricks.io.named import file_of
from diffusion_tricks.recipes.paths import paths
from diffusion_tricks.recipes.recipe import Recipe


def hashes_of(recipe: Recipe, known: MutableMapping[str, str] | None = None) -> dict[str, str]:
    """SHA-256 of every file that a recipe reads, by its path; a directory, as of a model, has none. Raises OSError.

    known: of files that need not be read again, likewise; what is read is added to it.
    """
    known = {} if known is None else known
    read = {str(path): path for path in paths(recipe)}
    new = {name: file_of(path) for name, path in read.items() if name not in known}
    known.update({name: sha256(file) for name, file in new.items() if file.is_file()})
    return {name: known[name] for name in read if name in known}
