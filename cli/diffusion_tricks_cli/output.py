"""Where the pictures of a recipe go: names, checks before any work, files with their records, lines on stdout."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.io.atomic import atomic_write, check_place
from diffusion_tricks.io.encode import check_quality, fitted, format_of, is_lossy
from diffusion_tricks.io.pictures import check_output, file_of, open_picture, plain_raster
from diffusion_tricks.io.raster import Raster
from diffusion_tricks.recipes.inputs import hashes_of
from diffusion_tricks.recipes.paths import edited_picture, mapped, paths, with_models
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.record import check_save, sidecar_path
from diffusion_tricks.recipes.schema import SCHEMA_FILE
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.printable import echo, printable
from diffusion_tricks_cli.readback import loss, loss_note, outside, read_back
from diffusion_tricks_cli.streams import check_stdout, written_to_stdout
from diffusion_tricks_cli.wording import in_flags

if TYPE_CHECKING:
    from diffusion_tricks.generate.result import Result

STDOUT = "-"  # the name of a picture that goes to standard output
ENDINGS = {
    "PNG": ".png",
    "TIFF": ".tif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "AVIF": ".avif",
}
RECIPES = {".toml", ".json"}


def named(template: str, seeds: Sequence[int | None], first: int = 0) -> list[Path]:
    """One path per picture: `{seed}` and `{index}` (from `first`) filled in; of several pictures the index is added.

    A picture that is only finished may have no seed. Raises UsageError for `{seed}` in its name then.

    named("out.png", [5, 6]) == [Path("out-0.png"), Path("out-1.png")]
    """
    if None in seeds and "{seed}" in template:
        raise UsageError(f"{template}: a picture that is only finished has no seed; leave {{seed}} out of its name")
    if len(seeds) > 1 and "{seed}" not in template and "{index}" not in template:
        path = Path(template)
        template, first = str(path.with_name(f"{path.stem}-{{index}}{path.suffix}")), 0
    return [Path(template.replace("{seed}", str(s)).replace("{index}", str(i))) for i, s in enumerate(seeds, first)]


class Output:
    """The files of one run of the command line. first: the number of its first picture, where it is one of many."""

    def __init__(self, recipe: Recipe, settings: Settings, label: str, inputs: Iterable[Path] = (), first: int = 0):
        self.recipe, self.settings = recipe, settings
        for flag, name in (("-o", settings.output), ("--steps-out", settings.steps_out),
                           ("--save-recipe", settings.save_recipe)):  # fmt: skip
            if name == "":
                raise UsageError(f"{flag} expects the name of a file, got an empty one; name one, or leave {flag} out")
        seeds = [None] if recipe.picture is not None and recipe.seed is None else recipe.seeds
        self.to_stdout = settings.output == STDOUT
        self.form = Path(f"picture{form_of(recipe) if settings.output in {None, STDOUT} else '.png'}")
        by_itself = f"{label}{'' if None in seeds else '-{seed}'}{self.form.suffix}"
        self.pictures = named(settings.output or by_itself, seeds, first)
        self.films = named(settings.steps_out, seeds, first) if settings.steps_out else []
        self.recipe_file = Path(settings.save_recipe) if settings.save_recipe else None
        self.said: set[str] = set()
        self.inputs = [*(file_of(path) for path in paths(recipe)), *inputs]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Of the files that the recipe reads, as they are before its first picture is written."""
        return hashes_of(self.recipe)

    @property
    def files(self) -> list[Path]:
        """All that may be written, the pictures first."""
        records = [sidecar_path(path) for path in self.pictures]
        return [*self.pictures, *records, *self.films, *filter(None, [self.recipe_file])]

    def check(self) -> None:
        """Raises UsageError for any file that may not be written; to be called before a model is loaded."""
        force, metadata = self.settings.force, not self.settings.no_metadata
        if self.to_stdout:
            check_stdout(len(self.pictures))
        for path in self.pictures:
            check_quality(self.form if self.to_stdout else path, self.settings.quality)
            if not self.to_stdout:
                check_save(path, force=force, inputs=self.inputs, metadata=metadata)
        if self.films and self.recipe.picture is not None:
            raise UsageError("--steps-out shows the denoising, and a picture that is only finished has none")
        for path in self.films:
            check = check_place if path.suffix.lower() == ".gif" else check_output
            check(path, force=force, inputs=self.inputs)
        if self.recipe_file:
            self._check_recipe(self.recipe_file)
        self._check_apart()

    def _check_apart(self) -> None:
        """Raises UsageError where two of the files that are written, or removed, have one name."""
        records = [sidecar_path(path) for path in self.pictures]  # of each: an old one would speak of the new picture
        seen: dict[str, bool] = {}
        for path in [*records, *self.pictures, *self.films, *filter(None, [self.recipe_file])]:
            whole = os.path.join(os.path.realpath(path.parent), path.name)
            if seen.get(whole):
                raise UsageError(f"{path} is where the record of a picture stands; give this output another name")
            if whole in seen:
                raise UsageError(f"{path} is to be written twice; give each output a name of its own")
            seen[whole] = len(seen) < len(records)

    def _check_recipe(self, file: Path) -> None:
        if file.suffix.lower() not in RECIPES:
            raise UsageError(f"--save-recipe {file}: expected a name that ends in .toml or .json")
        check_place(file, force=self.settings.force, inputs=self.inputs)
        self._text(file)

    def _text(self, file: Path) -> str:
        recipe = self._portable(file)
        return (recipe.to_json if file.suffix.lower() == ".json" else recipe.to_toml)(SCHEMA_FILE)

    def _portable(self, file: Path) -> Recipe:
        """The recipe with paths that start at its own folder; models that lie elsewhere keep their names alone."""
        portable = mapped(self.recipe, lambda path: _relative(path, file))
        return with_models(portable, lambda model: _portable_model(model, file))

    def save_recipe(self, failed: int) -> None:
        """Writes the recipe, if that was asked for; of one whose pictures could not all be written it says so."""
        if self.recipe_file:
            recipe = self._portable(self.recipe_file)
            text = self._text(self.recipe_file).encode()
            atomic_write(self.recipe_file, text, force=self.settings.force, inputs=self.inputs)
            self._note_what_lies_elsewhere(recipe, self.recipe_file)
            if failed:
                said = f"is the whole recipe, though {failed} of its {recipe.count} pictures could not be written"
                again = f"diffusion-tricks run {shlex.quote(str(self.recipe_file))}"
                remark(f"Note: {self.recipe_file} {said}; make them anew with: {again}", self.settings)

    def _note_what_lies_elsewhere(self, saved: Recipe, file: Path) -> None:
        named = [("model", "-m", saved.model, self.recipe.model)]
        named += [("upscaler", "--upscaler", *pair) for pair in zip(saved.upscaler, self.recipe.upscaler, strict=True)]
        for kind, flag, kept, was in named:
            if kept != was and Path(was).resolve() != (file.parent / kept).resolve():
                note = f"keeps of the {kind} its name alone, {kept!r}, as it lies elsewhere; give it with {flag}"
                remark(f"Note: {file} {note}", self.settings)

    def save(self, result: Result) -> dict[str, Any]:
        """Writes a picture, reads it back, and gives what is to be said of it. Raises OutputFailed, OutputError."""
        path, settings = self.pictures[result.index], self.settings
        told: dict[str, Any] = {
            "metadata": not settings.no_metadata, "provenance": not settings.no_provenance, "hashes": self.hashes,
            "keep_gps": settings.keep_gps, "quality": settings.quality,
        }  # fmt: skip
        if self.to_stdout:
            encoded, facts = result.encoded(self.form, **told)
            written_to_stdout(encoded.data)
            facts["path"] = STDOUT
            found = self._read_back(result, facts, self.form, encoded.data)
        else:
            facts = result.save(path, force=settings.force, inputs=self.inputs, **told)
            found = self._read_back(result, facts, path)
        return facts | found | {"recipe": result.recipe.data()}

    def unsaid(self, notes: Iterable[str]) -> list[str]:
        """Those of the notes that no earlier picture of the run had, as most hold for all of them."""
        new = [note for note in notes if note not in self.said]
        self.said |= set(new)
        return new

    def _read_back(
        self, result: Result, facts: dict[str, Any], path: Path, data: bytes | None = None
    ) -> dict[str, Any]:  # fmt: skip
        """The facts that only the file shows; `data` is what went to standard output instead."""
        lossy, image = is_lossy(path, self.settings.quality), result.whole
        whole = image if isinstance(image, Raster) else plain_raster(image, result.icc)
        made, _ = fitted(whole, format_of(path))
        written = read_back(path, made, lossy, data)
        if result.source is None:
            return {}
        found = loss(made, written, result.kept) if lossy else {}
        if result.kept is not None and not lossy:
            found = outside(result.source.raster, written, result.kept)
        notes = [*facts.get("notes", ())]
        if self.to_stdout and path.suffix != ".png" and not self.settings.no_metadata:
            notes.append(f"the picture holds no record, as {format_of(path)} has it in a file beside it")
        notes += [loss_note(path, found["loss"], result.kept is not None)] if lossy else []
        return found | ({"notes": notes} if notes else {})


def form_of(recipe: Recipe) -> str:
    """The ending of the files of a recipe that is given no name: as the picture that it edits, or .png.

    That is so for a format that loses nothing, or where nothing was promised to stay as it is.
    """
    edited, exact = edited_picture(recipe), any(trick.exact for trick in recipe.build())
    if edited is None:
        return ".png"
    try:
        with open_picture(edited) as image:
            form = ENDINGS.get(image.format or "", ".png")
    except PictureError:  # said where it is read
        return ".png"
    return ".png" if exact and is_lossy(f"picture{form}") else form


def _relative(path: str, file: Path) -> str:
    folder = file.parent.resolve()
    whole = Path(path).resolve()
    if not whole.is_relative_to(folder):
        raise UsageError(
            f"--save-recipe {file}: {path} lies outside the recipe's folder, where `run` will not look for it; "
            f"save the recipe beside the picture, as {Path(os.path.relpath(whole.parent)) / file.name}"
        )
    return whole.relative_to(folder).as_posix()


def _portable_model(model: str, file: Path) -> str:
    directory = Path(model).resolve()
    if not directory.exists():
        return model
    folder = file.parent.resolve()
    return f"./{directory.relative_to(folder).as_posix()}" if directory.is_relative_to(folder) else directory.name


def say(facts: dict[str, Any], as_json: bool) -> None:
    """One line on stdout: the path, or all facts as JSON; on stderr, where stdout carries the picture itself."""
    if "notes" in facts:
        facts = facts | {"notes": [in_flags(note) for note in facts["notes"]]}
    to_stdout = facts["path"] == STDOUT
    if as_json or not to_stdout:
        line = printable(json.dumps(facts, ensure_ascii=False, default=str)) if as_json else facts["path"]
        click.echo(line, err=to_stdout)


def remark(text: str, settings: Settings) -> None:
    """A line on stderr, unless silence was asked for."""
    if not settings.quiet:
        echo(in_flags(text), err=True)
