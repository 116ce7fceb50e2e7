"""Where the pictures of a recipe go: names, checks before any work, files with their records, lines on stdout."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.io.atomic import Before, check_place
from diffusion_tricks.io.encode import check_quality, fitted, format_of, is_lossy
from diffusion_tricks.io.named import file_of
from diffusion_tricks.io.pictures import check_output, open_picture, plain_raster
from diffusion_tricks.io.raster import Raster
from diffusion_tricks.recipes.inputs import hashes_of
from diffusion_tricks.recipes.paths import edited_picture, paths
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.record import check_save, sidecar_path
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.portable import SavedRecipe
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
        seeds: list[int | None] = [*recipe.seeds] if recipe.picture is None or recipe.seed is not None else [None]
        self.seeds = seeds
        self.to_stdout = settings.output == STDOUT
        self.form = Path(f"picture{form_of(recipe) if settings.output in {None, STDOUT} else '.png'}")
        by_itself = f"{label}{'' if None in seeds else '-{seed}'}{self.form.suffix}"
        self.pictures = named(settings.output or by_itself, seeds, first)
        self.films = named(settings.steps_out, seeds, first) if settings.steps_out else []
        if settings.bundle and not settings.save_recipe:
            raise UsageError("--bundle copies what a recipe reads beside it; name the recipe with --save-recipe")
        self.said: dict[str, set[str]] = defaultdict(set)  # notes that are alike, by their gist
        self.gist: Callable[[str], str] = str  # what of a note tells it from others
        self.before: Before | None = None
        self.inputs = [*(file_of(path) for path in paths(recipe)), *inputs]
        file = Path(settings.save_recipe) if settings.save_recipe else None
        self.saved_recipe = SavedRecipe(recipe, file, settings, self.inputs) if file else None

    def replace_files(self, force: bool) -> None:
        """Whether files that are there are replaced, from now on."""
        self.settings = replace(self.settings, force=force)
        if self.saved_recipe:
            self.saved_recipe.settings = self.settings

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Of the files that the recipe reads, as they are before its first picture is written."""
        return hashes_of(self.recipe)

    @property
    def _saved(self) -> list[Path]:
        """The recipe, if it is saved, and what is copied to it."""
        return [self.saved_recipe.file, *self.saved_recipe.copies.values()] if self.saved_recipe else []

    @property
    def files(self) -> list[Path]:
        """All that may be written, the pictures first."""
        records = [sidecar_path(path) for path in self.pictures]
        return [*self.pictures, *records, *self.films, *self._saved]

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
        if self.saved_recipe:
            self.saved_recipe.check()
        self._check_apart()

    def _check_apart(self) -> None:
        """Raises UsageError where two of the files that are written, or removed, have one name."""
        records = [sidecar_path(path) for path in self.pictures]  # of each: an old one would speak of the new picture
        seen: dict[str, bool] = {}
        for path in [*records, *self.pictures, *self.films, *self._saved]:
            whole = os.path.join(os.path.realpath(path.parent), path.name)
            if seen.get(whole):
                raise UsageError(f"{path} is where the record of a picture stands; give this output another name")
            if whole in seen:
                raise UsageError(f"{path} is to be written twice; give each output a name of its own")
            seen[whole] = len(seen) < len(records)

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
            facts = result.save(path, force=settings.force, inputs=self.inputs, before=self.before, **told)
            found = self._read_back(result, facts, path)
        return facts | found | {"recipe": result.recipe.data()}

    def unsaid(self, notes: Iterable[str]) -> list[str]:
        """Those of the notes that no earlier picture of the run had, as most hold for all of them."""
        new = []
        for note in notes:
            alike = self.said[self.gist(note)]
            new += [] if alike else [note]
            alike.add(note)
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
