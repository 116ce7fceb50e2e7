"""What a picture shows, through which views: by the record inside it, or as it is said."""

from __future__ import annotations

import re
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
from diffusion_tricks_show.address import png_url

FAR, NEAR, ALONE = "go far away, or squint", "come near", "look at this part alone"
BEYOND = {  # what a person does, for no view
    "far": FAR, "mid": "step back", "near": NEAR, "from afar": FAR, "blurred": FAR, "sharp": NEAR,
    "moving": "shake it", "still": "hold it still", "gray": "dim the light", "lightness": "dim the light",
    "colour": "look at it in bright light", "inside": "look at the inner part alone",
    "outside": "look at the outer part alone", "saliency": ALONE,
}  # fmt: skip
COUNTED = (  # patterns of names, and what a person does
    (r"band 1", FAR),
    (r"band 2", "come nearer, for finer shapes"),
    (r"band \d+", "come nearer still, for finer shapes"),
    (r"share \d+", "look at it as it is"),
    (r"(part \d+ of \d+)", r"look at \1"),
)
MASK = re.compile(r"[:/]|\.\w+$")  # is in a name that is the text of a mask
BOX = re.compile(r"(?:box|ellipse):" + ",".join([r"(\d*\.?\d+)(%?)"] * 4))
OFF_MIDDLE = 0.1  # in sides of the picture: what is centred farther off is its left, right, upper or lower part


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

    @cached_property
    def address(self) -> str:
        """The picture itself, as an address that needs no network."""
        return png_url(self.image)

    def is_home(self, view: Shown) -> bool:
        """Whether a view shows the picture as it is."""
        return same(view.picture, self.image)


def subject_of(
    path: str | Path, said: Sequence[tuple[str, str]] = (), record: dict[str, Any] | None = None
) -> Subject:  # fmt: skip
    """The picture in a file and its views: those that are said, each a name and a text, else those of its record.

    record: where it was read already. Raises PictureError for no picture, UsageError where nothing says what it shows,
    and as `view_named` does.
    """
    path = Path(path)
    image = flatten(read_picture(path).srgb)
    record = _record(path, needed=not said) if record is None else record
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
    return ", then ".join(_instruction(part, view.picture.size) for part in parts)


def _instruction(name: str, size: tuple[int, int]) -> str:
    try:
        return view_named(name).instruction()
    except (UnknownName, UsageError):
        return BEYOND.get(name) or _counted(name) or _placed(name, size)


def _counted(name: str) -> str | None:
    found = ((re.fullmatch(pattern, name), words) for pattern, words in COUNTED)
    return next((match.expand(words) for match, words in found if match), None)


def _placed(name: str, size: tuple[int, int]) -> str:
    """Of a part that goes by its mask; what else a trick calls its looks stays as it is."""
    if not (box := BOX.fullmatch(name)):
        return ALONE if MASK.search(name) else name
    sides = [float(n) / (100 if percent else size[i % 2]) for i, (n, percent) in enumerate(_pairs(box.groups()))]
    right, down = ((sides[i] + sides[i + 2]) / 2 - 0.5 for i in (0, 1))
    words = [_off(down, "upper", "lower"), _off(right, "left", "right")]
    return f"look at the {' '.join(filter(None, words)) or 'middle'} part alone"


def _pairs(values: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(values[::2], values[1::2], strict=True))


def _off(by: float, before: str, after: str) -> str:
    return "" if abs(by) <= OFF_MIDDLE else before if by < 0 else after
