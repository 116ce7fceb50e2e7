"""The commands that work from what is written down: `run` a recipe, `rerun` and `show` a picture. No torch here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from diffusion_tricks.devices.choice import has_device
from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.io.hashes import sha256
from diffusion_tricks.loading.known import UPSCALER_NAMES
from diffusion_tricks.loading.location import hub_name, location_of, upscaler_named
from diffusion_tricks.recipes.needs import check_needs, needs_in
from diffusion_tricks.recipes.paths import is_directory, mapped
from diffusion_tricks.recipes.reading import leads_out, placed, read_recipe
from diffusion_tricks.recipes.recipe import Recipe, recipe_from
from diffusion_tricks.recipes.record import read_record, run_of
from diffusion_tricks.registry.options import hint
from diffusion_tricks_cli.common import Once, Sectioned, common_options, example, settings_of, with_common
from diffusion_tricks_cli.from_options import Positional, given
from diffusion_tricks_cli.making import carry_out
from diffusion_tricks_cli.output import remark
from diffusion_tricks_cli.printable import echo

TRUST = "pass --trust-paths if you trust who made the picture"


def run_command() -> click.Command:
    """`run FILE`."""
    return Sectioned(
        "run", params=[Positional("file", "a recipe, .toml or .json", type=click.Path(), required=True)],
        common=common_options(), callback=_run, epilog=example("run recipe.toml --count 4 -o {index}.png"),
        help="Make what a recipe says. Pictures it names are looked for beside it; options here take precedence.",
    )  # fmt: skip


def rerun_command() -> click.Command:
    """`rerun PICTURE`."""
    return Sectioned(
        "rerun", params=[
            Positional("made", "made before", metavar="PICTURE", type=click.Path(), required=True),
            click.Option(["--trust-paths"], is_flag=True, help="Read what the record names wherever it lies."),
            click.Option(["--changed-input"], is_flag=True, help="Also from files that are no longer the same."),
        ],
        common=common_options(), callback=_rerun, epilog=example("rerun out.png -o again.png"),
        help="Make a picture again from the record inside it, on the same device and in the same precision: the same "
        "pixels, of one of a batch (--count) but for rounding. Files it was made from are looked for beside it, then "
        "in the current folder, and refused if they have changed since. Options here take precedence.",
    )  # fmt: skip


@click.command(cls=Once, epilog=example("show out.png"))
@click.argument("picture", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
def show(picture: str, as_json: bool) -> None:
    """Print how a picture was made: the record inside it, or in the .json beside it."""
    record = read_record(picture)
    if as_json:
        echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    seed = record.get("seed")
    echo(f"model:    {record.get('model') or 'none'}" + ("" if seed is None else f"\nseed:     {seed}"))
    for kind in ("run", "plugins", "versions", *(["inputs"] if record.get("inputs") else [])):
        pairs = record.get(kind) or {}
        echo(f"{kind + ':':<10}" + ", ".join(f"{name} {version}" for name, version in pairs.items()))
    for need in needs_in(record):
        echo(f"{'needs:':<10}{need.kind} {need.name!r} of {need}")
    echo(f"\n{recipe_from(record['recipe'], picture).to_toml()}".rstrip())


def _values() -> dict[str, Any]:
    ctx = click.get_current_context()
    command: Sectioned = ctx.command  # type: ignore[assignment]
    return given(ctx, command.common)


def _run(file: str, **_: Any) -> None:
    values, path = _values(), Path(file)
    carry_out(with_common(read_recipe(path), values), settings_of(values), path.stem, inputs=[path])


def _rerun(made: str, trust_paths: bool, changed_input: bool, **_: Any) -> None:
    values, path = _values(), Path(made)
    record = read_record(path)
    for note in check_needs(needs_in(record), path):
        remark(f"Note: {note}", settings_of(values))
    recipe = recipe_from(record["recipe"], made)
    if recipe.picture is None:
        _check_models(recipe, values, path, trust_paths)
    recipe, found = _with_files(recipe, path, trust_paths)
    if not changed_input:
        _check_unchanged(found, record.get("inputs") or {}, path)
    ran = _as_before(run_of(record), values, path) if recipe.picture is None else {}
    settings = settings_of(ran | values)
    carry_out(with_common(recipe, values), settings, f"{path.stem}-again", inputs=[path])


def _with_files(recipe: Recipe, picture: Path, trusted: bool) -> tuple[Recipe, list[tuple[str, Path]]]:
    """The recipe with its files as they are found here, and each file's name in the record with where it is."""
    found: list[tuple[str, Path]] = []

    def looked_for(name: str) -> str:
        found.append((name, _found(name, picture, trusted)))
        return str(found[-1][1])

    return mapped(recipe, looked_for, beside=picture.parent), found


def _check_unchanged(found: list[tuple[str, Path]], known: dict[str, str], picture: Path) -> None:
    """Raises PictureError for a file other than the one a picture was made from, where its record says which."""
    for name, path in found:
        if path.is_file() and name in known and (now := sha256(path)) != known[name]:
            raise PictureError(
                f"{picture} was made from another {name}: {path} has SHA-256 {now[:12]}..., expected"
                f" {str(known[name])[:12]}...; put the old file there, or pass --changed-input"
            )


def _as_before(ran: dict[str, Any], values: dict[str, Any], picture: Path) -> dict[str, Any]:
    """Where and how the picture was computed, but for a device or a compiler that is not here."""
    device, here, lacking = ran.get("device", "cpu"), dict(ran), None
    if not ("device" in values or device == "cpu" or has_device(device)):
        lacking, here = f"on {device}, which is not here", here | {"device": "auto", "quantize": None, "compile": False}
    elif here.get("compile") and (why := _no_compiler(values.get("device", device))):
        lacking, here = f"with --compile, and {why}", here | {"compile": False}
    if lacking:
        remark(f"Note: {picture} was made {lacking}; pixels may differ a little", settings_of(values))
    return here


def _no_compiler(device: str) -> str | None:
    from diffusion_tricks.devices.choice import device_of
    from diffusion_tricks.devices.compile import no_compiler

    return no_compiler(device_of(device).type)


def _check_models(recipe: Recipe, values: dict[str, Any], picture: Path, trusted: bool) -> None:
    """A record keeps of the directories and files of models their names alone; those of `values` are given anew."""
    if "model" not in values:
        _check_model("-m", recipe.model, location_of, picture, trusted)
    for name in () if "upscaler" in values else recipe.upscaler:
        _check_model("--upscaler", name, upscaler_named, picture, trusted)
    for name in _networks(recipe):
        _found(name, picture, trusted)


def _check_model(flag: str, name: str, look: Callable[[str], object], picture: Path, trusted: bool) -> None:
    made = f"{picture} was made with the {'model' if flag == '-m' else 'upscaler'} {name!r}, which"
    if not trusted and name not in UPSCALER_NAMES and is_directory(name, Path()) and leads_out(Path(), name):
        raise UsageError(f"{made} lies outside the current folder; give it with {flag}, or {TRUST}")
    try:
        look(name)
    except UsageError:
        raise UsageError(f"{made} is no known name, and no directory or file here; give it with {flag}") from None


def _networks(recipe: Recipe) -> Iterator[str]:
    """The directories of weights that tricks name; of a name at the hub there is nothing to look for."""
    for entry in recipe.tricks:
        fields = entry.kind.Options.model_fields
        named = [name for name in entry.options if name in fields and hint(fields[name], "path") == "model"]
        said = [str(entry.options[name]) for name in named]
        yield from (name for name in said if hub_name(name) is None)


def _found(name: str, picture: Path, trusted: bool) -> Path:
    """A file or directory that a picture was made from: beside it, or in the current folder. Raises PictureError.

    trusted: wherever it is, through links, too.
    """
    whole = Path(os.path.expanduser(name))
    if trusted and whole.is_absolute() and whole.exists():
        return whole
    kept = Path(name) if trusted or not (whole.is_absolute() or ".." in whole.parts) else Path(whole.name)
    places = [placed(folder, part) for folder in (picture.parent, Path()) for part in (str(kept), kept.name)]
    found = next((place for place in places if place.exists()), None)
    made = f"{picture} was made from {name!r}, which"
    if found is None:
        raise PictureError(f"{made} is neither beside it nor in the current folder; put it there")
    homes = [folder.resolve() for folder in (picture.parent, Path())]
    if not trusted and not any(found.resolve().is_relative_to(home) for home in homes):
        raise PictureError(f"{made} is a link to what lies elsewhere; put the file itself there, or {TRUST}")
    return found
