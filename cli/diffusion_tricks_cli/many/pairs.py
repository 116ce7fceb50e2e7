"""Which mask belongs to which picture: the one of its name, in the same folder below that of the masks. No torch here.

For `in/sea/a.jpg` that is `masks/sea/a.jpg`, or `a.jpg.png`; else what is called `a`, if nothing else is, in either
place. What could be meant in two ways is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffusion_tricks.errors import UsageError
from diffusion_tricks_cli.many.inputs import Input, pictures_of

Place = tuple[Path, str]  # a folder, and a name or a stem in it


@dataclass(frozen=True)
class Pairs:
    """found: the partner of each picture, by its path. unused: partners of none."""

    found: dict[str, Path]
    unused: tuple[Path, ...]


def paired(pictures: Sequence[Input], folder: str) -> Pairs:
    """The partners, of those in `folder`, of all pictures that have one.

    Raises UsageError where one picture has two, or two pictures one, and names both.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"{folder} is not a folder; expected one that holds a file for each picture, of its name")
    others = pictures_of(folder).pictures
    found = _by_name(pictures, others)
    taken = set(found.values())
    stems: dict[Place, list[Input]] = defaultdict(list)
    for picture in pictures:
        if picture.path not in found:
            stems[picture.folder, picture.file.stem].append(picture)
    for place, alike in stems.items():
        partners = [one for one in others if (one.folder, one.file.stem) == place and one.file not in taken]
        if len(partners) > 1:
            raise UsageError(_ambiguous(alike[0].path, partners[0].path, partners[1].path, "both fit"))
        if partners and len(alike) > 1:
            raise UsageError(_ambiguous(partners[0].path, alike[0].path, alike[1].path, "fits both"))
        if partners:
            found[alike[0].path] = partners[0].file
    used = set(found.values())
    return Pairs(found, tuple(one.file for one in others if one.file not in used))


def _by_name(pictures: Sequence[Input], others: Sequence[Input]) -> dict[str, Path]:
    """Of those with a partner of their whole name, or of that and an ending, the partner."""
    whole: dict[Place, list[Input]] = defaultdict(list)
    for other in others:
        whole[other.folder, other.file.name].append(other)
        whole[other.folder, other.file.stem].append(other)
    found = {}
    for picture in pictures:
        partners = whole[picture.folder, picture.file.name]
        if len(partners) > 1:
            raise UsageError(_ambiguous(picture.path, partners[0].path, partners[1].path, "both fit"))
        if partners:
            found[picture.path] = partners[0].file
    return found


def _ambiguous(one: str, first: str, second: str, how: str) -> str:
    pair = f"{first} and {second} both fit {one}" if how == "both fit" else f"{one} fits both {first} and {second}"
    return f"{pair}; give each the whole name of its picture, as a.jpg.png for a.jpg"
