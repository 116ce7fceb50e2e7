"""Recipes in files, whose paths start at their own folder and do not leave it, or one above it that they name.

A recipe may come from a stranger: nothing above the user's own folder is opened to it. Imports no torch.
"""

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
    """The recipe with its paths, and those of its models, made to start at `folder`, which they may not leave.

    With a `folder` of its own they may climb within that. Raises RecipeError for others, and for one that holds the
    user's own.
    """
    within = folder / (recipe.folder or "")
    if recipe.folder is not None and too_wide(within):
        raise RecipeError(f"{where}: its folder, {recipe.folder!r}, is your own or above it, which no recipe may read;"
                          " put the recipe and what it names into a folder of their own")  # fmt: skip

    def inside(path: str) -> str:
        return str(_inside(folder, path, where, within))

    moved = mapped(recipe, inside, beside=folder)
    moved = with_models(moved, lambda name: inside(name) if is_directory(name, folder) else name)
    return moved.model_copy(update={"folder": None})


def too_wide(folder: Path) -> bool:
    """Whether a folder is the user's own, or one above it."""
    try:
        return Path.home().resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # nobody's home
        return folder.resolve() == Path(folder.resolve().anchor)


def leads_out(folder: Path, path: str, within: Path | None = None) -> bool:
    """Whether a path, its ~ expanded, ends outside a folder, be it through a symbolic link, or cannot be followed.

    within: the folder that it may not leave, where that is another than it starts at.
    """
    try:
        path = os.path.expanduser(path)
        return os.path.isabs(path) or not (folder / path).resolve().is_relative_to((within or folder).resolve())
    except (OSError, RuntimeError, ValueError):  # a name too long, links in a circle, a NUL
        return True


def placed(folder: Path, path: str) -> Path:
    """The path as one that starts at a folder; a ~ that begins it is a name there, and nobody's home."""
    whole = folder / path
    return whole.absolute() if str(whole).startswith("~") else whole


def _inside(folder: Path, path: str, where: str, within: Path) -> Path:
    if leads_out(folder, path, within):
        raise RecipeError(
            f"{where}: the path {path!r} leads out of the recipe's folder; put the picture or model beside the recipe "
            "and name it relative to it"
        )
    return placed(folder, path)
