"""The jobs of a command line with many pictures: a recipe each, and what its files are called. No torch here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import OutputError, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.io.named import file_of
from diffusion_tricks.recipes.paths import edited_picture, mapped
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.many.inputs import Input
from diffusion_tricks_cli.many.names import check_places, filled, is_folder, mirrored, with_values
from diffusion_tricks_cli.many.pairs import paired
from diffusion_tricks_cli.output import Output, form_of

NAMED = ("output", "steps_out", "save_recipe")  # settings that are names of files
MASK = "mask"  # the option of a trick that takes one


@dataclass(frozen=True)
class Job:
    """One recipe of many. about: what sets it apart, as `file`. problem: why it cannot be made."""

    recipe: Recipe
    settings: Settings
    label: str
    about: Mapping[str, str] = field(default_factory=dict)
    first: int = 0
    problem: UsageError | None = None

    @cached_property
    def output(self) -> Output:
        """Its files."""
        return Output(self.recipe, self.settings, self.label, first=self.first)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.about.get("file") or str(self.output.pictures[0])


def job(
    recipe: Recipe, settings: Settings, label: str, picture: Input | None, values: Mapping[str, str], number: int,
    problem: UsageError | None = None,
) -> Job:  # fmt: skip
    """The job of one recipe, whose files are called as the settings say. values: of its own, for their names."""
    one = picture or Input(label)
    named: dict[str, Any] = {
        name: filled(_template(str(said), recipe, values), one, values)
        for name in NAMED
        if (said := getattr(settings, name)) is not None
    }
    first = number * recipe.count if "{index}" in named.get("output", "") else 0
    about = ({"file": picture.path} if picture else {}) | dict(values)
    return Job(recipe, replace(settings, **named), label, about, first, problem)


def _template(said: str, recipe: Recipe, words: Iterable[str]) -> str:
    if is_folder(said):
        said = os.path.join(said, f"{{stem}}{form_of(recipe)}")
    return mirrored(with_values(said, words))


def of_pictures(recipe: Recipe, pictures: Sequence[Input], masks: str | None) -> tuple[list[Each], list[str]]:
    """The recipe for each picture, with its mask where there are some, and what is to be said of masks of none.

    Raises UsageError for masks where no trick takes any.
    """
    said = edited_picture(recipe)
    pairs = paired(pictures, masks) if masks is not None else None
    each = []
    for picture in pictures:
        one, problem = with_picture(recipe, said, picture.path), None
        if pairs is not None:
            mask = pairs.found.get(picture.path)
            problem = UsageError(_no_mask(picture, str(masks))) if mask is None else None
            one = with_mask(one, str(mask or picture.path))
        each.append(Each(picture, one, problem))
    unused = pairs.unused if pairs else ()
    named = ", ".join(map(str, unused[:3])) + (", ..." if len(unused) > 3 else "")
    return each, [f"{len(unused)} masks in {masks} fit no picture: {named}"] if unused else []


@dataclass(frozen=True)
class Each:
    """A picture, the recipe for it, and why it cannot be made."""

    picture: Input
    recipe: Recipe
    problem: UsageError | None = None


def _no_mask(picture: Input, masks: str) -> str:
    place = Path(masks, picture.folder)
    return f"{picture.path} has no mask: there is no {picture.file.stem}.png, nor of another ending, in {place}"


def with_picture(recipe: Recipe, said: str | None, path: str) -> Recipe:
    """The recipe with another picture in the place of the one it said."""
    return mapped(recipe, lambda one: path if one == said else one, of=["argument"])


def with_mask(recipe: Recipe, path: str) -> Recipe:
    """The recipe with a mask more for the trick that takes any. Raises UsageError where none does."""
    takers = [i for i, entry in enumerate(recipe.tricks) if MASK in host().trick(entry.trick).Options.model_fields]
    editing = [i for i in takers if host().trick(recipe.tricks[i].trick).edits] or takers
    if not editing:
        raise UsageError("`masks` are for what makes a part of a picture anew, as inpaint, and nothing here does; "
                         "leave them out")  # fmt: skip
    entry = recipe.tricks[editing[0]]
    masks = entry.options.get(MASK) or []
    changed = entry.model_copy(update={MASK: [*([masks] if isinstance(masks, str) else masks), path]})
    tricks = [changed if i == editing[0] else one for i, one in enumerate(recipe.tricks)]
    return recipe.model_copy(update={"tricks": tricks})


def check_names(settings: Settings, values: Sequence[str] = ()) -> None:
    """Raises UsageError for what cannot be the names of many files."""
    if settings.output == "-":
        raise UsageError("-o - writes one picture to standard output, and these are many; name files")
    for name in NAMED:
        check_places(str(getattr(settings, name) or ""), dict.fromkeys(values, ""))


def check_apart(jobs: Sequence[Job]) -> None:
    """Raises UsageError where two jobs would write one file, and OutputError where one would write what is read."""
    taken: dict[str, Job] = {}
    read = {_identity(path): path for one in jobs for path in one.output.inputs if os.path.exists(path)}
    for one in jobs:
        for path in one.output.files:
            whole = os.path.join(os.path.realpath(path.parent), path.name)
            if other := taken.get(whole):
                advice = "put more into the name, as {stem}, {ext}, {index} or {seed}"
                raise UsageError(f"{other.name} and {one.name} would both be written to {path}; {advice}")
            if os.path.exists(path) and (source := read.get(_identity(path))):
                raise OutputError(
                    f"{path} is the input {source}, and an input is never overwritten; choose another output"
                )
        taken |= {os.path.join(os.path.realpath(path.parent), path.name): one for path in one.output.files}


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(file_of(path))
    return found.st_dev, found.st_ino


def folders_of(jobs: Sequence[Job]) -> Iterator[Path]:
    """The folders that the files lie in."""
    yield from dict.fromkeys(path.parent for one in jobs for path in one.output.files)
