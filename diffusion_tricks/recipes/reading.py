"""Recipes in files, whose paths start at their own folder and do not leave it. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from diffusion_tricks.errors import RecipeError
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.recipes.paths import is_directory, mapped, with_models
from diffusion_tricks.recipes.recipe import Recipe, recipe_from


def read_recipe(file: Path) -> Recipe:
    """The recipe in a .toml or .json file; the pictures it names are looked for beside it.

    Raises RecipeError for a file that is not one, and for a path that leads out of the recipe's folder.
    """
    form = "JSON" if file.suffix.lower() == ".json" else "TOML"
    data = read_object(file, RecipeError, called="the recipe", form=form)
    return anchored(recipe_from(data, str(file)), file.parent, str(file))


def anchored(recipe: Recipe, folder: Path, where: str) -> Recipe:
    """The recipe with its paths, and those of its models, made to start at `folder`, which they may not leave."""
    moved = mapped(recipe, lambda path: str(_inside(folder, path, where)), beside=folder)
    return with_models(
        moved, lambda name: str(_inside(folder, name, where)) if is_directory(name, folder) else name
    )  # fmt: skip


def leads_out(folder: Path, path: str) -> bool:
    """Whether a path, its ~ expanded, ends outside a folder, be it through a symbolic link, or cannot be followed."""
    try:
        path = os.path.expanduser(path)
        return os.path.isabs(path) or not (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a name too long, links in a circle, a NUL
        return True


def placed(folder: Path, path: str) -> Path:
    """The path as one that starts at a folder; a ~ that begins it is a name there, and nobody's home."""
    whole = folder / path
    return whole.absolute() if str(whole).startswith("~") else whole


def _inside(folder: Path, path: str, where: str) -> Path:
    if leads_out(folder, path):
        raise RecipeError(
            f"{where}: the path {path!r} leads out of the recipe's folder; put the picture or model beside the recipe "
            "and name it relative to it"
        )
    return placed(folder, path)
