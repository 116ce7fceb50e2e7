"""What a picture shows, through which views: by the record inside it, or as it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import (
    PictureError,
    Shown,
    UnknownName,
    UsageError,
    flatten,
    read_picture,
    read_record,
    recipe_from,
    shown,
    shown_through,
    view_named,
)

BEYOND = {"far": "go far away, or squint", "mid": "step back", "near": "come near"}  # what a person does, for no view


@dataclass(frozen=True)
class Subject:
    """A picture (RGB) and its views, those that show it as it is first; the record inside it, if there is one."""

    path: Path
    image: Image.Image
    views: tuple[Shown, ...]
    record: dict[str, Any] | None = None

    @cached_property
    def recipe(self) -> Recipe | None:
        """What it was made by."""
        return None if self.record is None else recipe_from(self.record["recipe"], str(self.path))

    def is_home(self, view: Shown) -> bool:
        """Whether a view shows the picture as it is."""
        return same(view.picture, self.image)


def subject_of(path: str | Path, said: Sequence[tuple[str, str]] = ()) -> Subject:
    """The picture in a file and its views: those that are said, each a name and a text, else those of its record.

    Raises PictureError for no picture, UsageError where nothing says what it shows, and as `view_named` does.
    """
    path = Path(path)
    image = flatten(read_picture(path).srgb)
    record = _record(path, needed=not said)
    views = shown_through(said, image) if said else shown(recipe_from((record or {})["recipe"], str(path)), image)
    views = sorted(views, key=lambda view: not same(view.picture, image))
    return Subject(path, image, tuple(views), record)


def _record(path: Path, *, needed: bool) -> dict[str, Any] | None:
    try:
        return read_record(path)
    except PictureError as error:
        if not needed:
            return None
        raise UsageError(f'{error}; or say what it shows, for example `views=[("flip", "a duck")]`') from None


def same(one: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures (RGB) are equal to the pixel."""
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


def instruction(view: Shown) -> str:
    """What a person does to see it."""
    parts = [part.strip() for part in view.name.split(" > ")]
    return ", then ".join(_instruction(part) for part in parts)


def _instruction(name: str) -> str:
    try:
        return view_named(name).instruction()
    except (UnknownName, UsageError):
        return BEYOND.get(name, name)
