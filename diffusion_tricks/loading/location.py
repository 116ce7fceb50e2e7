"""What the name of a model stands for: a short name, a directory, a single file, or a name at the hub. No torch here.

sdxl                    one of `known_models`
./my-pipeline           a directory that a diffusers pipeline was saved in
./dream.safetensors     a checkpoint in one file
owner/name              the hub's, its default branch
owner/name@v1.1         the hub's, a branch, a tag or a commit; a short name takes one as well
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.errors import ModelError, UnknownName, UsageError
from diffusion_tricks.loading.files import PICKLES
from diffusion_tricks.loading.known import UPSCALER_NAMES, UPSCALERS, known_models

if TYPE_CHECKING:
    from diffusion_tricks.families.defaults import Defaults

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
REVISION = re.compile(r"[\w.][\w./-]*")
CHECKPOINTS = {".safetensors", ".gguf", *PICKLES}


@dataclass(frozen=True)
class HubName:
    """A model at the hub; revision: a branch, a tag or a commit, None for the default branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository + (f"@{self.revision}" if self.revision else "")


def hub_name(text: str) -> HubName | None:
    """The hub's model that `owner/name[@revision]` stands for; None for any other text."""
    repository, at, revision = text.partition("@")
    if not REPOSITORY.fullmatch(repository) or (at and not REVISION.fullmatch(revision)) or ".." in text:
        return None
    return HubName(repository, revision or None)


def without_revision(name: str) -> str:
    """The name of a model as it is called in results: a directory's as it is, any other up to its `@revision`."""
    return name if Path(name).exists() else name.partition("@")[0]


def pinned(name: str, model: str, revision: str | None) -> str:
    """The name by which the same commit is loaded again, where `name` is of `model` and that is the hub's."""
    base = without_revision(name)
    return f"{base}@{revision}" if revision and base == model else name


def location_of(name: str) -> Path:
    """The directory or file to load, or a path that spells the hub name, with its revision if any.

    Raises UnknownName for what is none of these, UsageError for a path where nothing is and for a revision that
    cannot be, and ModelError for a checkpoint that is not safetensors.
    """
    known = known_models()
    if name in known:
        return Path(known[name].target)
    path = Path(name)
    if path.suffix.lower() in CHECKPOINTS and not path.is_dir():
        return _checkpoint(path)
    short, at, revision = name.partition("@")
    if path.is_dir() or hub_name(name):
        return path
    if at and short in known:
        return Path(str(_revised(short, known[short].target, revision)))
    if at and REPOSITORY.fullmatch(short):
        raise UsageError(f"expected a branch, a tag or a commit behind the @, as in {short}@main, got {revision!r}")
    if path.is_absolute() or path.parts[:1] == ("..",) or name.startswith(("./", ".\\")):
        raise UsageError(f"there is no directory {name}; expected a known name, the directory of a diffusers pipeline "
                         "or a hub name (owner/name)")  # fmt: skip
    raise UnknownName("model", name, known)


def _checkpoint(file: Path) -> Path:
    """A single file of weights. Raises UsageError for one that is not there, ModelError for one of another kind."""
    if not file.is_file():
        raise UsageError(f"there is no file {file}; expected a model's name, a directory or a .safetensors file")
    if file.suffix.lower() == ".safetensors":
        return file
    if file.suffix.lower() not in PICKLES:
        raise ModelError(f"{file} is of a kind that is not read; expected a directory or a .safetensors file")
    how = f'StableDiffusionPipeline.from_single_file("{file.name}").save_pretrained("{file.stem}")'
    raise ModelError(
        f"{file} is a pickle, which may run code when it is read; convert it once, with diffusers and where that can "
        f"do no harm: {how}, and give the directory"
    )


def _revised(short: str, target: str, revision: str) -> HubName:
    """A known model in another revision than its own."""
    own = None if Path(target).is_absolute() else hub_name(target)
    if own is None:
        raise UsageError(f"model {short!r} is not from the hub and has no revisions; leave @{revision} out")
    revised = hub_name(f"{own.repository}@{revision}")
    if revised is None:
        raise UsageError(f"expected a branch, a tag or a commit behind the @, as in {short}@main, got {revision!r}")
    return revised


def label_of(name: str, location: Path) -> str:
    """What a model is called in results: its known or hub name, or that of its directory or file."""
    return location.resolve().name if name not in known_models() and location.exists() else without_revision(name)


def upscaler_of(name: str, location: Path, defaults: Defaults) -> str | None:
    """What the upscaler of a model goes by, a directory or a hub name: as its defaults say, or as it is registered."""
    if defaults.upscaler is not None:
        beside = location / defaults.upscaler
        return defaults.upscaler if "/" in defaults.upscaler and not beside.is_dir() else str(beside.resolve())
    name = without_revision(name)
    entry = next((entry for entry in known_models().values() if name in (entry.name, entry.target)), None)
    return entry.notes.get("upscaler", UPSCALERS.get(entry.name)) if entry else UPSCALERS.get(name)


def upscaler_named(name: str) -> str:
    """The directory, as an absolute path, or the hub name that is meant by `name` where an upscaler is asked for.

    name: x4 or if-ii, or given as a model is. Raises UnknownName for what is none of these, else as `location_of` does.
    """
    short, at, revision = name.partition("@")
    try:
        location = location_of(f"{UPSCALER_NAMES.get(short, short)}{at}{revision}")
    except UnknownName:
        raise UnknownName("upscaler", name, UPSCALER_NAMES) from None
    return str(location.absolute() if location.exists() else location)


def upscaler_label(name: str) -> str:
    """What the upscaler that `name` means is called in results."""
    place = upscaler_named(name)
    return label_of(place, Path(place))


def place_of(upscaler: str) -> Path:
    """The directory of an upscaler, or a path that is its hub name. Raises ModelError for a directory that is gone."""
    location = Path(upscaler)
    if location.is_absolute() and not location.is_dir():
        raise ModelError(f"the upscaler {location} is not there; expected a directory, or a hub name (owner/name)")
    return location
