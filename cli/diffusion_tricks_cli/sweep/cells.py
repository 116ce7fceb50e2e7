"""The jobs of a sweep: one for each combination of values, and of each picture if there are many. No torch here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from diffusion_tricks.errors import UsageError
from diffusion_tricks.recipes.paths import edited_picture
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.many.carry import without_outputs
from diffusion_tricks_cli.many.inputs import Input, pictures_of
from diffusion_tricks_cli.many.jobs import Each, Job, job, of_pictures
from diffusion_tricks_cli.output import remark
from diffusion_tricks_cli.sweep.axes import Axis

SLUG = re.compile(r"[^\w.+-]+")
LONGEST = 40  # of a value in the name of a file


def cells(recipe: Recipe, settings: Settings, label: str, axes: Sequence[Axis]) -> list[Job]:
    """All jobs, the last axis fastest; settings: name files in a way that `check_names` takes.

    Raises UsageError for values that do not fit.
    """
    found: list[Job] = []
    for each in _pictures(recipe, settings):
        picture = each.picture if each.picture.path else None
        for one, values in combined(each.recipe, axes):
            texts = {axis.word: text for axis, text in zip(axes, values, strict=True)}
            slugs = {word: SLUG.sub("-", text)[:LONGEST] for word, text in texts.items()}
            made = job(one, settings, label, picture, slugs, len(found), each.problem)
            found.append(replace(made, about=({"file": picture.path} if picture else {}) | texts))
    return found


def combined(recipe: Recipe, axes: Sequence[Axis]) -> Iterator[tuple[Recipe, tuple[str, ...]]]:
    """The recipe with each combination of values, and these as texts."""
    for places in itertools.product(*(range(len(axis.texts)) for axis in axes)):
        one = recipe
        for axis, place in zip(axes, places, strict=True):
            one = axis.put(one, axis.values[place])
        for entry in one.tricks:
            entry.build()
        yield one, tuple(axis.texts[place] for axis, place in zip(axes, places, strict=True))


def _pictures(recipe: Recipe, settings: Settings) -> list[Each]:
    said = edited_picture(recipe)
    if said is None:
        if settings.masks is not None:
            raise UsageError("`masks` are of pictures that are edited, and this makes one; leave them out")
        return [Each(Input(""), recipe)]
    found = without_outputs(pictures_of(said), settings)
    each, notes = of_pictures(recipe, found.pictures, settings.masks)
    for note in (*found.notes, *notes):
        remark(f"Note: {note}", settings)
    return each
