"""What the files of jobs are called, checked before anything is made: `out/{id}/{prompt:slug}-{seed}.png`.

{id}, {number} (of the job in its list), {seed}, {index} (of the picture in its job), and every field of a job, or of
its recipe; as it is, as a slug (`{prompt:slug}`), or in the format of a number (`{seed:04}`). No torch here.
"""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, MutableSet, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from diffusion_tricks.plugin import OutputError, UnknownName, UsageError, format_of
from diffusion_tricks_batch.lists.cells import RECIPE_KEYS
from diffusion_tricks_batch.lists.jobs import OWN, Job
from diffusion_tricks_batch.lists.places import BRACES, PLACE, filled, formed, places

OF_PICTURES = ("seed", "index")
NO_NAMES = {"version", "tricks", "folder"}  # of what recipes say
BY_ID = "{id}.png"
LONGEST = 255  # bytes of a part of a path, as the usual file systems have it
RECORD = ".json"  # behind the name of a picture whose format holds no record
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}
CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # categories of Unicode
PAGE = re.compile(r"\[\d+\]$")  # of a picture that is read
DRIVE = re.compile(r"[A-Za-z]:")


def whole(template: str) -> str:
    """The template itself; of a folder, that of a picture in it for each job: `out` or `out/` is `out/{id}.png`.

    Raises UsageError for an empty one, and for a brace alone.
    """
    if not template.strip():
        raise UsageError("expected names for the pictures, such as out/{id}.png, or a folder, got nothing")
    if found := BRACES.search(PLACE.sub("", template)):
        raise UsageError(f"{template}: a {found[0]} stands alone; expected names such as out/{{id}}.png, and for a"
                         f" brace itself {found[0] * 2}")  # fmt: skip
    last = os.path.basename(template)
    bare = not PLACE.search(template) and (os.path.isdir(template) or not Path(last).suffix)
    if not last or bare:
        return os.path.join(template, BY_ID)
    return template


def home_of(template: str) -> Path:
    """The folder in which all files of a template lie: what stands before its first placeholder."""
    return Path(_home(whole(template)))


@lru_cache(maxsize=16)
def _home(template: str) -> str:
    first = next((found.start() for found in PLACE.finditer(template) if found[1]), len(template))
    return filled(os.path.dirname(template[:first]), str)


def name_of(
    template: str, job: Job, seed: int | None, index: int, inside: MutableSet[Path] | None = None
) -> Path:  # fmt: skip
    """The file of one picture of a job.

    seed, index: of that picture; one that is only finished may have no seed. inside: folders that are known to lie in
    that of the template; those that are found to are added. Raises UnknownName for a placeholder that
    the job has nothing for, UsageError for a name that is none, or that leads out of the folder of the template, and
    OutputError for an ending that no picture is written with.
    """
    template = whole(template)
    said = {"seed": seed} if job.fields.get("index") is not None else {"seed": seed, "index": index}
    if seed is None and "seed" in places(template):
        raise UsageError(f"job {job.id!r} has no seed, as its picture is only finished; leave {{seed}} out of"
                         f" {template}")  # fmt: skip

    def piece(found: re.Match[str]) -> str:
        name = found[1]
        if not name:
            return found[0][0]
        return _piece(said[name] if name in said else value_of(job, name, index), found[2] or "", name, job)

    text = PLACE.sub(piece, template)
    home = _home(template)
    for part in re.split(r"[/\\]" if os.sep == "\\" else "/", text[len(home) :].lstrip("/" + os.sep)):
        if why := _wrong(part):
            raise UsageError(f"job {job.id!r} would be written to {text!r}, where {part!r} {why}; use {{...:slug}}, or"
                             " name it otherwise")  # fmt: skip
    format_of(text)
    path, inside = Path(text), set[Path]() if inside is None else inside
    if path.parent not in inside:
        _check_inside(path, Path(home), job)
        inside.add(path.parent)
    return path


def value_of(job: Job, name: str, index: int = 0) -> Any:
    """What a job says by a name. index: of the picture. Raises UnknownName where it says nothing."""
    if name == "number" and job.fields.get(name) is None:
        return job.number
    of_recipe = getattr(job.recipe, name, None) if name in RECIPE_KEYS else None
    found = of_recipe if name == "prompt" and of_recipe is not None else job.fields.get(name, of_recipe)
    if found is None:
        raise UnknownName(f"placeholder for job {job.id!r}:", f"{{{name}}}", map("{{{}}}".format, names_of([job])))
    if name == "prompt" and isinstance(found, list):
        return found[index]
    return "x".join(map(str, found)) if name == "size" and isinstance(found, list | tuple) else found


def names_of(jobs: Iterable[Job]) -> list[str]:
    """What may stand in braces in the names of these jobs."""
    said: dict[str, None] = dict.fromkeys((*OWN, *OF_PICTURES))
    for job in jobs:
        said |= dict.fromkeys(key for key, value in job.fields.items() if value is not None)
        said |= dict.fromkeys(job.recipe.data() if job.recipe else ())
    return [name for name in said if name not in NO_NAMES]


def check_names(
    jobs: Sequence[Job], template: str, inputs: Iterable[Path] = (), others: Iterable[Path] = ()
) -> dict[str, list[Path]]:  # fmt: skip
    """The files of every job that has no problem, by its id, one for each picture. Recipes have their seeds.

    inputs: files that are read beside those of the recipes, as the list itself. others: files that the run writes
    beside the pictures, and folders of its own. Raises UnknownName and UsageError as `name_of`; UsageError where two
    pictures would have one name, also where they differ but in case; OutputError for the name of an input.
    """
    template = whole(template)
    sound = [job for job in jobs if job.recipe is not None]
    _check_placeholders(template, sound)
    inside = set[Path]()
    found = {job.id: _names(template, job, inside) for job in sound}
    _check_apart(found, others, Path(_home(template)))
    _check_inputs(found, [*inputs, *(path for job in sound for path in job.traits.files)])
    return found


def _names(template: str, job: Job, inside: MutableSet[Path]) -> list[Path]:
    recipe = job.recipe
    assert recipe is not None
    finished = recipe.picture is not None and recipe.seed is None
    seeds: Sequence[int | None] = [None] * recipe.count if finished else recipe.seeds
    return [name_of(template, job, seed, index, inside) for index, seed in enumerate(seeds)]


def _check_placeholders(template: str, jobs: Sequence[Job]) -> None:
    """Raises UnknownName for one that no job has anything for."""
    asked = dict.fromkeys(places(template)).keys() - {*OWN, *OF_PICTURES, *RECIPE_KEYS}
    unknown = sorted(name for name in asked if not any(name in job.fields for job in jobs))
    if jobs and unknown:
        raise UnknownName("placeholder", f"{{{unknown[0]}}}", [f"{{{name}}}" for name in names_of(jobs)])


def _check_apart(found: Mapping[str, Sequence[Path]], others: Iterable[Path], home: Path) -> None:
    taken: dict[str, tuple[str, Path]] = {_key(path): ("", path) for path in others}
    for name, files in found.items():
        for path in files:
            if other := taken.get(key := _key(path)):
                raise UsageError(_clash(name, path, *other))
            taken[key] = (name, path)
    firsts = dict[Path, tuple[str, Path]]()  # of each folder
    for name, path in taken.values():
        firsts.setdefault(path.parent, (name, path))
    for name, path in firsts.values():
        above = () if path.parent == home else path.parents
        if other := next((taken[key] for key in map(_key, above) if key in taken), None):
            if not other[0]:
                raise UsageError(_clash(name, path, *other))
            raise UsageError(f"{other[1]} is the file of job {other[0]!r}, and job {name!r} needs a folder of that"
                             " name; name one of them otherwise")  # fmt: skip


def _clash(name: str, path: Path, other: str, its: Path) -> str:
    """What is wrong where two pictures have one name."""
    if not other:
        return f"job {name!r} would be written to {path}, where the run keeps what it notes itself; name it otherwise"
    if other == name:
        return f"the pictures of job {name!r} would all be written to {path}; put {{index}} or {{seed}} into the name"
    same = "" if path == its else f" and {its}, which are one file where case does not count"
    return f"jobs {other!r} and {name!r} would both be written to {path}{same}; put more into the name, as {{id}}"


def _key(path: Path) -> str:
    """What is alike for names of one file, on systems that mind neither case nor how accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", os.path.normpath(path)).casefold())


def _check_inputs(found: Mapping[str, Sequence[Path]], inputs: Iterable[Path]) -> None:
    read = {known: path for path in dict.fromkeys(inputs) if (known := _identity(path))}
    there = {folder for folder in {path.parent for files in found.values() for path in files} if folder.is_dir()}
    for name, files in found.items() if read else ():
        for path in (one for one in files if one.parent in there):
            for one in (path, path.with_name(path.name + RECORD)):
                if source := read.get(_identity(one) or (0, 0)):
                    raise OutputError(f"job {name!r} would be written to {one}, which is the input {source}, and an"
                                      " input is never overwritten; choose another output")  # fmt: skip


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from all others, None where there is none; of a page, its file's."""
    for name in dict.fromkeys((str(path), PAGE.sub("", str(path)))):
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(name)
            return found.st_dev, found.st_ino
    return None


def _piece(value: Any, form: str, name: str, job: Job) -> str:
    """What stands for a placeholder. Raises UsageError for what could lead out of the folder."""
    try:
        text = formed(value, form, name)
    except UsageError as error:
        raise UsageError(f"job {job.id!r}: {error}") from None
    if why := _leads_out(text):
        raise UsageError(f"job {job.id!r}: its {name}, {text[:80]!r}, {why}, and cannot be part of a name; use"
                         f" {{{name}:slug}}")  # fmt: skip
    return text


def _leads_out(text: str) -> str | None:
    """Why a value would not stay in its folder."""
    if any(unicodedata.category(one) in CONTROL for one in text):
        return "holds control characters"
    if "\\" in text:
        return "holds a backslash"
    if DRIVE.match(text):
        return "begins with a drive"
    if any(not part.strip(" .") for part in text.split("/")):
        return "leads out of its folder" if text else "is empty"
    return None


def _wrong(part: str) -> str | None:
    """Why a part of a path is none."""
    if not part.strip(" ."):
        return "is no name"
    if part.partition(".")[0].rstrip().casefold() in RESERVED:
        return "is the name of a device on some systems"
    record = "" if Path(part).suffix.lower() == ".png" else RECORD
    if len(os.fsencode(part + record)) > LONGEST:
        return f"is longer than the {LONGEST} bytes that a name may have"
    return None


def _check_inside(path: Path, home: Path, job: Job) -> None:
    """Raises UsageError for a file that would lie outside the folder, be it through a link in it."""
    if path.parent == home:
        return
    try:
        inside = path.parent.resolve().is_relative_to(home.resolve())
    except (OSError, RuntimeError):  # links in a circle
        inside = False
    if not inside:
        raise UsageError(f"job {job.id!r} would be written to {path}, which leads out of {home} by a link; take that"
                         " away, or choose another output")  # fmt: skip
