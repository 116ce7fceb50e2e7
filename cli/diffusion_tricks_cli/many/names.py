"""What the files of many pictures are called: `out/{dir}/{stem}.png`. No torch here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks_cli.many.inputs import Input

KNOWN = ("stem", "name", "dir", "parent", "ext", "index", "seed")
OF_FOLDERS = ("dir", "parent")
PLACE = re.compile(r"\{(\w+)\}")
NO_FOLDER = re.compile(r"\{dir\}[/\\]")  # what to leave out where there is none


def check_places(template: str, more: Mapping[str, str] | None = None) -> None:
    """Raises UnknownName for a `{word}` that stands for nothing."""
    for word in PLACE.findall(template):
        if word not in {*KNOWN, *(more or {})}:
            raise UnknownName("placeholder", f"{{{word}}}", [f"{{{name}}}" for name in (*KNOWN, *(more or {}))])


def is_folder(template: str) -> bool:
    """Whether a name is that of a folder for files that are called as their pictures."""
    return template.endswith(("/", os.sep)) or os.path.isdir(template)


def mirrored(template: str) -> str:
    """A template that keeps pictures of two folders apart: it has their folder before the last part, unless it says
    where."""
    if any(f"{{{word}}}" in template for word in OF_FOLDERS) or ("{stem}" not in template and "{name}" not in template):
        return template
    folder, name = os.path.split(template)
    return os.path.join(folder, "{dir}", name)


def with_values(template: str, words: Iterable[str]) -> str:
    """A template with the values of a sweep, each behind its word, as far as it does not have them."""
    path = Path(template)
    lacking = "".join(f"-{word}-{{{word}}}" for word in words if f"{{{word}}}" not in template)
    return str(path.with_name(f"{path.stem}{lacking}{path.suffix}")) if lacking else template


def filled(template: str, picture: Input, values: Mapping[str, str] | None = None) -> str:
    """The name for one picture. {seed} and {index} stay, for each picture that is made of it.

    {stem}: of its file. {name}: with its ending. {ext}: that, without the dot. {dir}: its folder, below that of all.
    {parent}: the last part of its folder.
    """
    file = picture.file
    known = {
        "stem": file.stem, "name": file.name, "ext": file.suffix.lstrip("."),
        "dir": "" if picture.folder == Path() else picture.folder.as_posix(),
        "parent": Path(os.path.abspath(file)).parent.name, **(values or {}),
    }  # fmt: skip
    said = template if known["dir"] else NO_FOLDER.sub("", template)
    text = PLACE.sub(lambda place: known.get(place[1], place[0]), said)
    if ".." in Path(text).parts and ".." not in Path(template).parts:
        raise UsageError(f"{template} would write {text} for {picture.path}, outside its own folder; name it otherwise")
    return text


def home_of(template: str) -> Path:
    """The folder in which all files of a template lie."""
    fixed = PLACE.split(template)[0]
    return Path(fixed if is_folder(template) and fixed == template else os.path.dirname(fixed) or ".")
