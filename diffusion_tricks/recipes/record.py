"""The record kept inside each picture: how it was made, so that it can be made again.

A PNG carries it as JSON in an iTXt chunk; formats without text have a side-car, `photo.jpg.json`, beside them.
No absolute path of a file goes into a record.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from diffusion_tricks.errors import OutputError, PictureError, RecipeError
from diffusion_tricks.io.atomic import Before, atomic_write_all, check_place
from diffusion_tricks.io.encode import Encoded, Said, encode, is_lossy
from diffusion_tricks.io.foreign import object_in, read_object
from diffusion_tricks.io.metadata import Metadata
from diffusion_tricks.io.pictures import check_output, open_picture, plain_raster
from diffusion_tricks.io.provenance import Provenance
from diffusion_tricks.io.raster import Raster
from diffusion_tricks.recipes.paths import mapped, with_models
from diffusion_tricks.recipes.recipe import Recipe, recipe_from
from diffusion_tricks.registry.checked import explain

PNG_KEY = "diffusion-tricks"
PARAMETERS_KEY = "parameters"
SOURCE_PARAMETERS_KEY = "source-parameters"  # of the picture that one was made from
SCHEMA = 1
NO_LIMIT = 2**64  # of pixels that are not decoded
OBJECTS = ("run", "plugins", "versions", "inputs")
MEASURED = ("score", "candidates", "changed_outside", "seam", "kept_sha256")
OF_PIXELS = {"changed_outside", "seam", "kept_sha256"}
LIBRARIES = ("diffusion-tricks", "diffusers", "torch", "transformers", "pillow", "pluggy", "pydantic", "numpy")


class Ran(BaseModel):
    """Where and in what precision a picture was computed."""

    device: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    max_rows: int | None = Field(None, ge=1)
    quantize: Literal["int8", "nf4"] | None = None
    compile: bool | None = None


def of_file(path: str | Path, facts: Mapping[str, Any], quality: int | None = None) -> dict[str, Any]:
    """The facts without those of pixels that a lossy file, of that quality, does not keep."""
    lossy = is_lossy(path, quality)
    return {name: value for name, value in facts.items() if not (lossy and name in OF_PIXELS)}


def build_record(recipe: Recipe | Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one picture: its recipe, and of the facts `seed`, `model`, `revision` (the commit of a model of the
    hub), `plugins` {distribution: version}, `needs` (see `needs_of`), `inputs` {file: SHA-256}.

    Its `run` holds the facts that `Ran` names; what `MEASURED` names is kept where there is any.
    The recipe's absolute paths are cut down to file names, its words are kept as they are; every other text of the
    facts that is an absolute path is cut.
    """
    said = {
        **({"seed": facts["seed"]} if facts.get("seed") is not None else {}),
        "model": facts.get("model"),
        "versions": versions(),
        "plugins": facts.get("plugins") or {},
        **{key: facts[key] for key in ("revision", "needs", "inputs") if facts.get(key)},
        "run": {key: facts[key] for key in Ran.model_fields if facts.get(key) is not None},
    }
    measured = {key: facts[key] for key in MEASURED if key in facts}
    return {"record": SCHEMA, "recipe": _portable(recipe), **without_absolute_paths(said), **measured}


def _portable(said: Recipe | Mapping[str, Any]) -> dict[str, Any]:
    recipe = said if isinstance(said, Recipe) else recipe_from(said)
    return with_models(mapped(recipe, _file_name), _file_name).data()


def run_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Where and in what precision a picture was computed: of what `Ran` names, what the record says.

    Raises RecipeError for a record that is damaged there.
    """
    try:
        return Ran.model_validate(record.get("run", {})).model_dump(exclude_none=True)
    except ValidationError as error:
        raise RecipeError(f"the diffusion-tricks record is damaged: run: {explain(error)}") from None


def versions() -> dict[str, str]:
    """The versions of Python and of the installed libraries that decide about pixels; none of them is imported."""
    installed = {name: version for name in LIBRARIES if (version := _installed(name))}
    return {"python": platform.python_version(), **installed}


@cache
def _installed(name: str) -> str | None:
    """The version of a library, read once: it is in files, and is asked for with every picture."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def without_absolute_paths(value: Any) -> Any:
    """The same JSON value with every text, or key, that is an absolute path (POSIX, Windows, file URL) cut to its name.

    For what holds no words of the user's: a prompt may well begin with "/".
    """
    if isinstance(value, Mapping):
        return {without_absolute_paths(key): without_absolute_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_absolute_paths(each) for each in value]
    if isinstance(value, PurePath):
        return value.name if value.is_absolute() else value.as_posix()
    return _file_name(value) if isinstance(value, str) else value


def _file_name(text: str) -> str:
    path = text.removeprefix("file://")
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if posix.is_absolute():
        return posix.name or text
    return windows.name or text if windows.is_absolute() else text


def sidecar_path(path: str | Path) -> Path:
    """Where the record of a picture without text stands: `photo.jpg.json` for `photo.jpg`."""
    path = Path(path)
    return path.with_name(path.name + ".json")


def check_save(
    path: str | Path, *, force: bool, inputs: Iterable[str | Path] = (), metadata: bool = True
) -> None:  # fmt: skip
    """Raise `OutputError` unless `save` may write the picture at `path`, and write or remove the side-car beside it."""
    inputs = list(inputs)
    check_output(path, force=force, inputs=inputs)
    sidecar = sidecar_path(path)
    if metadata and not _carries_text(Path(path)):
        check_place(sidecar, force=force, inputs=inputs)
    elif not force and _is_stale(sidecar, inputs):
        raise OutputError(
            f"{sidecar} holds the record of an earlier picture, which would speak of {path}; pass `force=True` to "
            "remove it, or choose another name"
        )


def save(
    image: Image.Image | Raster, path: str | Path, record: Mapping[str, Any] | None, *, parameters: str = "",
    provenance: Provenance | None = None, icc: bytes | None = None, force: bool = False,
    inputs: Iterable[str | Path] = (), metadata: Metadata | None = None, keep_gps: bool = False,
    quality: int | None = None, before: Before | None = None,
) -> Encoded:  # fmt: skip
    """Write a picture with its record, in one piece or not at all, marked as made by a model if `provenance` says how.

    image: Pillow's, in the space of `icc`, or one at the depth of its source.  metadata: of the source, which is
    kept, its position if `keep_gps`.  quality: 1..100, of lossy formats.  before: is given all files that are written,
    before they take their places.  What it gives says what could not be kept.

    A PNG carries the record and the `parameters` text itself; other formats get a side-car, which takes its place
    before the picture does, and JPEG and WebP the `parameters` as EXIF UserComment too, where common programs look for
    them. `record=None` writes none of it. Raises as `write_picture` does.
    """
    path, inputs = Path(path), list(inputs)
    check_save(path, force=force, inputs=inputs, metadata=record is not None)
    encoded = encoded_with_record(
        image, path, record, parameters=parameters, provenance=provenance, icc=icc, metadata=metadata,
        keep_gps=keep_gps, quality=quality,
    )  # fmt: skip
    beside = record is not None and not _carries_text(path)
    files = {sidecar_path(path): _sidecar(record or {}, _readable(parameters))} if beside else {}
    files[path] = encoded.data
    if before:
        before(files)
    atomic_write_all(files, force=force, inputs=inputs)
    if not beside and force and _is_stale(sidecar_path(path), inputs):
        sidecar_path(path).unlink(missing_ok=True)
    return encoded


def _sidecar(record: Mapping[str, Any], parameters: str) -> bytes:
    data = {**record, **({PARAMETERS_KEY: parameters} if parameters else {})}
    return f"{_dump(data, indent=2)}\n".encode("utf-8", "replace")


def encoded_with_record(
    image: Image.Image | Raster, path: str | Path, record: Mapping[str, Any] | None, *, parameters: str = "",
    provenance: Provenance | None = None, icc: bytes | None = None, metadata: Metadata | None = None,
    keep_gps: bool = False, quality: int | None = None,
) -> Encoded:  # fmt: skip
    """The file that `save` writes, in the format that `path` ends in, with as much of the record as that can hold."""
    raster = plain_raster(image, icc) if isinstance(image, Image.Image) else image
    said = _said(Path(path), record, _readable(parameters), metadata or Metadata())
    return encode(raster, path, replace(said, mark=provenance, keep_gps=keep_gps, quality=quality))


def _readable(parameters: str) -> str:
    """The text as every reader takes it."""
    return parameters.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _said(path: Path, record: Mapping[str, Any] | None, parameters: str, metadata: Metadata) -> Said:
    """What the file of a picture says; the record of the picture it was made from is not its own."""
    texts = {key: text for key, text in metadata.texts.items() if key != PNG_KEY}
    if record is None:
        return Said(replace(metadata, texts=texts))
    if before := texts.pop(PARAMETERS_KEY, None):
        texts[SOURCE_PARAMETERS_KEY] = before
    ours = {PNG_KEY: _dump(record)} | ({PARAMETERS_KEY: parameters} if parameters else {})
    return Said(replace(metadata, texts=texts), texts=ours, comment="" if _carries_text(path) else parameters)


def _carries_text(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _dump(record: Mapping[str, Any], indent: int | None = None) -> str:
    return json.dumps(record, ensure_ascii=False, indent=indent)


def _is_stale(sidecar: Path, inputs: list[str | Path]) -> bool:
    """Whether there is the record of a picture that stood here before: it would describe the new one wrongly."""
    if not os.path.isfile(sidecar) or any(os.path.exists(each) and sidecar.samefile(each) for each in inputs):
        return False
    try:
        return bool(_read_sidecar(sidecar))
    except RecipeError:  # not a record: somebody else's file
        return False


def read_record(path: str | Path) -> dict[str, Any]:
    """The record of a picture, from the PNG itself or from the side-car beside the picture.

    Raises `PictureError` for a file that is no picture or carries no record, and `RecipeError` for a record that is
    damaged or was written by a newer diffusion-tricks.
    """
    path = Path(path)
    with open_picture(path, max_pixels=NO_LIMIT) as image:
        text = image.info.get(PNG_KEY)
    if isinstance(text, str):
        return _checked(object_in(text, f"{path}: the diffusion-tricks record", RecipeError), path)
    sidecar = sidecar_path(path)
    if os.path.isfile(sidecar):
        return _read_sidecar(sidecar)
    raise PictureError(
        f"{path} carries no diffusion-tricks record, and there is no {sidecar.name} beside it;"
        " expected a picture that diffusion-tricks saved with its metadata"
    )


def _read_sidecar(sidecar: Path) -> dict[str, Any]:
    return _checked(read_object(sidecar, RecipeError, called="the record", form="JSON"), sidecar)


def _checked(record: dict[str, Any], path: Path) -> dict[str, Any]:
    schema = record.get("record")
    if type(schema) is not int or schema < 1 or not isinstance(record.get("recipe"), dict):
        raise RecipeError(f"{path}: the diffusion-tricks record is damaged, expected an object with a recipe")
    if odd := next((key for key in OBJECTS if not isinstance(record.get(key) or {}, dict)), None):
        raise RecipeError(f"{path}: the diffusion-tricks record is damaged, expected an object as its {odd!r}")
    if schema > SCHEMA:
        raise RecipeError(
            f"{path}: the record has version {schema}, expected {SCHEMA}; it was written by a newer diffusion-tricks:"
            " update this one"
        )
    return record
