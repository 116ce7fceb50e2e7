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
from PIL import Image

from diffusion_tricks.errors import OutputFailed, PictureError, UsageError
from diffusion_tricks.io.atomic import atomic_write, check_place
from diffusion_tricks.io.pictures import check_output, open_picture
from diffusion_tricks.recipes.inputs import hashes_of
from diffusion_tricks.recipes.paths import mapped, paths, with_models
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.record import LOSSY, check_save, sidecar_path
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.printable import echo, printable
from diffusion_tricks_cli.wording import in_flags

if TYPE_CHECKING:
    from diffusion_tricks.generate.result import Result

STRIP = 256  # rows
RECIPES = {".toml", ".json"}


def named(template: str, seeds: Sequence[int | None]) -> list[Path]:
    """One path per picture: `{seed}` and `{index}` (from 0) filled in; of several pictures the index is added.

    A picture that is only finished may have no seed. Raises UsageError for `{seed}` in its name then.

    named("out.png", [5, 6]) == [Path("out-0.png"), Path("out-1.png")]
    """
    if None in seeds and "{seed}" in template:
        raise UsageError(f"{template}: a picture that is only finished has no seed; leave {{seed}} out of its name")
    if len(seeds) > 1 and "{seed}" not in template and "{index}" not in template:
        path = Path(template)
        template = str(path.with_name(f"{path.stem}-{{index}}{path.suffix}"))
    return [Path(template.replace("{seed}", str(s)).replace("{index}", str(i))) for i, s in enumerate(seeds)]


class Output:
    """The files of one run of the command line."""

    def __init__(self, recipe: Recipe, settings: Settings, label: str, inputs: Iterable[Path] = ()):
        self.recipe, self.settings = recipe, settings
        for flag, name in (("-o", settings.output), ("--steps-out", settings.steps_out),
                           ("--save-recipe", settings.save_recipe)):  # fmt: skip
            if name == "":
                raise UsageError(f"{flag} expects the name of a file, got an empty one; name one, or leave {flag} out")
        seeds = [None] if recipe.picture is not None and recipe.seed is None else recipe.seeds
        self.pictures = named(settings.output or f"{label}{'' if None in seeds else '-{seed}'}.png", seeds)
        self.films = named(settings.steps_out, seeds) if settings.steps_out else []
        self.recipe_file = Path(settings.save_recipe) if settings.save_recipe else None
        self.inputs = [*paths(recipe), *inputs]

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """Of the files that the recipe reads, as they are before its first picture is written."""
        return hashes_of(self.recipe)

    def check(self) -> None:
        """Raises UsageError for any file that may not be written; to be called before a model is loaded."""
        force, metadata = self.settings.force, not self.settings.no_metadata
        for path in self.pictures:
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
        return recipe.to_json() if file.suffix.lower() == ".json" else recipe.to_toml()

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
        facts = result.save(
            path, force=settings.force, inputs=self.inputs, metadata=not settings.no_metadata,
            provenance=not settings.no_provenance, hashes=self._hashes,
        )  # fmt: skip
        return _verified(path, result.image, facts) | {"recipe": result.recipe.data()}


def _verified(path: Path, image: Image.Image, facts: dict[str, Any]) -> dict[str, Any]:
    """The facts, true of the file as it lies on the disk. Raises OutputFailed if its pixels are not the picture's."""
    lossy = path.suffix.lower() in LOSSY
    try:
        with open_picture(path, max_pixels=image.width * image.height) as written:
            written.load()
            same = written.size == image.size and (lossy or _same_pixels(written, image))
    except PictureError as error:
        raise OutputFailed(f"{path} was written, but cannot be read back: {error}; the disk may be failing") from error
    if not same:
        raise OutputFailed(f"{path} was written, but reads back with other pixels; the disk may be failing")
    return facts | ({"changed_outside": None} if lossy and "changed_outside" in facts else {})


def _same_pixels(written: Image.Image, image: Image.Image) -> bool:
    """Whether two pictures of one size have the same pixels; strip by strip, as they may be large."""
    boxes = [(0, top, image.width, min(top + STRIP, image.height)) for top in range(0, image.height, STRIP)]
    return all(written.crop(box).convert(image.mode).tobytes() == image.crop(box).tobytes() for box in boxes)


def lossy_note(paths: Iterable[Path]) -> str | None:
    """A remark for outputs that cannot keep pixels as they are."""
    lossy = next((path for path in paths if path.suffix.lower() in LOSSY), None)
    return f"{lossy}: JPEG changes pixels everywhere, also outside the mask; write .png to keep them" if lossy else None


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
    """One line on stdout: the path, or all facts as JSON."""
    if "notes" in facts:
        facts = facts | {"notes": [in_flags(note) for note in facts["notes"]]}
    click.echo(printable(json.dumps(facts, ensure_ascii=False, default=str)) if as_json else facts["path"])


def remark(text: str, settings: Settings) -> None:
    """A line on stderr, unless silence was asked for."""
    if not settings.quiet:
        echo(in_flags(text), err=True)
