"""A job as a row of another list, so that what failed can be run again from wherever that lies. No torch here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import mapped, paths
from diffusion_tricks_batch.lists.cells import RECIPE_KEYS
from diffusion_tricks_batch.lists.jobs import Job, entries_of, meant, options_of, places_in
from diffusion_tricks_batch.lists.places import escaped


def row_of(job: Job, folder: Path) -> dict[str, Any]:
    """The job as a row of a list in a folder: its recipe with variables filled in, and they for names.

    Of a job with a problem that is what was said, and what its list began with; its paths are as they were.
    """
    if job.recipe is None:
        return dict(job.said)
    recipe = _texts(_portable(job.recipe, folder), escaped)
    return {"id": job.id, **_variables(job), **recipe}


def _variables(job: Job) -> dict[str, Any]:
    """The fields that are neither in the recipe nor would be taken for what belongs there."""
    asked, tricks = set(places_in(job.said)), entries_of(job.said.get("tricks"))
    return {
        key: value
        for key, value in job.fields.items()
        if key not in RECIPE_KEYS | {"id"}
        and (key in asked or not options_of(key, value, tricks))
        and not meant(key, tricks)
    }


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    """Data with a change made to every text in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _texts(one, change) for key, one in value.items()}
    return [_texts(one, change) for one in value] if isinstance(value, list) else value


def _portable(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The data of a recipe whose paths start at a folder, which they leave only as far as it then says."""
    home = folder.resolve()
    models = [name for name in (recipe.model, *recipe.upscaler) if os.path.exists(name)]
    files = [path.resolve() for path in (*paths(recipe), *map(Path, models))]
    above = _from(home, Path(os.path.commonpath([home, *(file.parent for file in files)])))
    data = mapped(recipe, lambda path: _from(home, Path(path).resolve())).data()
    moved = {name: f"./{_from(home, Path(name).resolve())}" for name in models}
    for key in {"model", "upscaler"} & data.keys():
        data[key] = _texts(data[key], lambda name: moved.get(name, name))
    return data if above == "." else {**data, "folder": above}


def _from(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
