"""The paths in a recipe: which of its values are some, and how they are changed. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path, PureWindowsPath
from typing import Any

from diffusion_tricks.hosting.host import host
from diffusion_tricks.io.named import STDIN
from diffusion_tricks.loading.known import UPSCALER_NAMES
from diffusion_tricks.model.lora import lora_from
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.branch import options_in_full, within
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks.registry.options import hint

KINDS = ("argument", "option")
Mark = bool | str | Collection[str] | Callable[[str, Callable[[str], str]], str]


def with_models(recipe: Recipe, change: Callable[[str], str]) -> Recipe:
    """The recipe with `change` applied to its model and its upscalers, but for those that go by a known name.

    A directory that is called as a known model is keeps a ./ before its name.
    """
    known = set(host().entries("model"))

    def changed(name: str, names: Collection[str]) -> str:
        new = name if name in names else change(name)
        return f"./{new}" if new != name and new in names else new

    upscalers = [changed(name, {*known, *UPSCALER_NAMES}) for name in recipe.upscaler]
    return recipe.model_copy(update={"model": changed(recipe.model, known), "upscaler": upscalers})


def mapped(
    recipe: Recipe, change: Callable[[str], str], of: Collection[str] = KINDS, beside: Path = Path()
) -> Recipe:  # fmt: skip
    """The recipe with `change` applied to every path in it: `picture`, `lora`, and what tricks mark with `path`.

    of: which paths: those of an "argument" of a trick, which is a picture, or of an "option". beside: the folder in
    which a directory of weights is looked for, to tell it from a hub name. Standard input, `-`, is no path.
    """
    change = _but_of_stdin(change)
    tricks = [entry.but(_changed(entry, change, of, beside)) for entry in recipe.tricks]
    picture = change(recipe.picture) if recipe.picture else None
    loras = [lora_from(text).mapped(change) for text in recipe.lora] if "option" in of else recipe.lora
    return recipe.model_copy(update={"tricks": tricks, "picture": picture, "lora": list(map(str, loras))})


def _but_of_stdin(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda path: path if path == STDIN else change(path)


def edited_picture(recipe: Recipe) -> str | None:
    """The picture that a recipe finishes or edits, None where it makes one."""
    if recipe.picture is not None:
        return recipe.picture
    edits = (entry.options.get("image") for entry in recipe.tricks if entry.kind.edits)
    return next((image for image in edits if isinstance(image, str)), None)


def paths(recipe: Recipe, of: Collection[str] = KINDS) -> list[Path]:
    """Every file the recipe reads; see `mapped`."""
    found: list[Path] = []

    def noted(path: str) -> str:
        found.append(Path(path))
        return path

    mapped(recipe, noted, of)
    return found


def _changed(
    entry: TrickEntry, change: Callable[[str], str], of: Collection[str], beside: Path
) -> dict[str, Any]:  # fmt: skip
    fields = entry.kind.Options.model_fields
    marks = {name: hint(field, "path") for name, field in fields.items() if hint(field, "cli") in of}

    def inside(one: TrickEntry) -> TrickEntry:
        return one.but(_changed(one, change, of, beside))

    changed = {
        name: _each(value, change, marks.get(name, False), beside) for name, value in options_in_full(entry).items()
    }
    return {name: within(value, inside) for name, value in changed.items()}


def _each(value: Any, change: Callable[[str], str], mark: Mark, beside: Path) -> Any:
    if isinstance(value, list | tuple):
        return [_first(one, change, mark, beside) for one in value] if mark else value
    if not isinstance(value, str):
        return value
    if callable(mark):
        return mark(value, change)
    return change(value) if _is_path(value, mark, beside) else value


def _first(value: Any, change: Callable[[str], str], mark: Mark, beside: Path) -> Any:
    """Of a value with several parts the first, which the mark is of: a mask, and what is shown there."""
    if isinstance(value, list | tuple):
        return [_each(value[0], change, mark, beside), *value[1:]]
    return _each(value, change, mark, beside)


def _is_path(value: str, mark: bool | str | Collection[str], beside: Path) -> bool:
    """Whether the value of an option is a path, by what the option's mark says: see `option`."""
    if mark == "model":
        return is_directory(value, beside)
    if isinstance(mark, bool):
        return mark
    return PureWindowsPath(value).suffix.lower() in mark or "/" in value or os.sep in value


def is_directory(model: str, folder: Path) -> bool:
    """Whether a recipe's model is a directory, and not a known name or one of the hub (`owner/name`)."""
    if model in host().entries("model"):
        return False
    path = Path(model.partition("@")[0])  # a revision may hold slashes
    spelt = path.is_absolute() or model.startswith(".") or ".." in path.parts or len(path.parts) > 2
    return spelt or (folder / model).exists()
