"""A recipe in a file, so that it runs from wherever it lies: its paths start at its own folder, or are copied to it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.atomic import Before, atomic_write, check_place
from diffusion_tricks.io.named import file_of
from diffusion_tricks.loading.known import known_models
from diffusion_tricks.recipes.paths import mapped, paths, with_models
from diffusion_tricks.recipes.reading import too_wide
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.schema import SCHEMA_FILE
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.wording import in_flags

RECIPES = {".toml", ".json"}


@dataclass
class SavedRecipe:
    """The file of a recipe that is to be written, and copies of what it reads where `--bundle` asks for them.

    inputs: files that it may not overwrite.
    """

    recipe: Recipe
    file: Path
    settings: Settings
    inputs: list[Path]
    copies: dict[Path, Path] = field(init=False, default_factory=dict)  # from where to where

    def __post_init__(self) -> None:
        if self.settings.bundle:
            self.copies = copies_of(paths(self.recipe), self.file)

    def check(self) -> None:
        """Raises UsageError for what may not be written, and for paths that a recipe there could not name."""
        if self.file.suffix.lower() not in RECIPES:
            raise UsageError(f"--save-recipe {self.file}: expected a name that ends in .toml or .json")
        check_place(self.file, force=self.settings.force, inputs=self.inputs)
        for copy in self.copies.values():
            if copy.parent.is_dir():
                check_place(copy, force=self.settings.force, inputs=self.inputs)
        self._text()

    def save(self, failed: int, before: Before | None = None) -> None:
        """Writes it; of a recipe whose pictures could not all be written it says so.

        before: is given each file before it takes its place.
        """
        for source, copy in self.copies.items():
            copy.parent.mkdir(exist_ok=True)
            self._put(copy, source.read_bytes(), before)
        saved = self._portable()
        self._put(self.file, self._text().encode(), before)
        self._note_what_lies_elsewhere(saved)
        if failed:
            said = f"is the whole recipe, though {failed} of its {saved.count} pictures could not be written"
            again = f"diffusion-tricks run {shlex.quote(str(self.file))}"
            self._remark(f"Note: {self.file} {said}; make them anew with: {again}")

    def _put(self, path: Path, data: bytes, before: Before | None) -> None:
        if before:
            before({path: data})
        atomic_write(path, data, force=self.settings.force, inputs=self.inputs)

    def _text(self) -> str:
        recipe = self._portable()
        return (recipe.to_json if self.file.suffix.lower() == ".json" else recipe.to_toml)(SCHEMA_FILE)

    def _portable(self) -> Recipe:
        """The recipe with paths that start at its own folder; models that lie elsewhere keep their names alone."""
        named = {path: self._moved(path) for path in paths(self.recipe)}
        within = common_folder(self.file, list(named.values()))
        portable = mapped(self.recipe, lambda path: _from(self.file.parent, named[Path(path)]))
        if within != self.file.parent.resolve():
            portable = portable.model_copy(update={"folder": _from(self.file.parent, within)})
        return with_models(portable, lambda model: _portable_model(model, self.file))

    def _moved(self, path: Path) -> Path:
        """Where what a path names lies: there, or where it is copied to; with its page, if it has one."""
        file = file_of(path)
        return Path(f"{self.copies.get(file, file)}{str(path)[len(str(file)) :]}")

    def _note_what_lies_elsewhere(self, saved: Recipe) -> None:
        named = [("model", "-m", saved.model, self.recipe.model)]
        named += [("upscaler", "--upscaler", *pair) for pair in zip(saved.upscaler, self.recipe.upscaler, strict=True)]
        for kind, flag, kept, was in named:
            lies = _directory(was)
            if lies and lies != (self.file.parent / kept).resolve():
                note = f"keeps of the {kind} its name alone, {kept!r}, as it lies elsewhere; give it with {flag}"
                self._remark(f"Note: {self.file} {note}")

    def _remark(self, text: str) -> None:
        if not self.settings.quiet:
            echo(in_flags(text), err=True)


def copies_of(files: Iterable[Path], recipe: Path) -> dict[Path, Path]:
    """Where each file goes: into a folder beside the recipe, called as it is; equal names are told apart."""
    folder, copies, taken = recipe.with_name(f"{recipe.stem}-files"), dict[Path, Path](), set[str]()
    for file in dict.fromkeys(map(file_of, files)):
        if not file.is_file():
            continue
        name, number = file.name, 2
        while name.lower() in taken:
            name, number = f"{file.stem}-{number}{file.suffix}", number + 1
        taken.add(name.lower())
        copies[file] = folder / name
    return copies


def common_folder(recipe: Path, named: Iterable[Path]) -> Path:
    """The innermost folder that holds a recipe and all files it names.

    Raises UsageError where that is the user's home, or what lies above it: `run` would not look so far.
    """
    folder = common = recipe.parent.resolve()
    for path in named:
        try:
            common = Path(os.path.commonpath([common, Path(path).resolve().parent]))
            wide = common != folder and too_wide(common)
        except ValueError:  # on another drive
            wide = True
        if wide:
            beside = Path(os.path.relpath(path.resolve().parent)) / recipe.name
            raise UsageError(
                f"--save-recipe {recipe}: {path} lies outside the recipe's folder, and no folder below your own holds"
                f" both; save the recipe beside the picture, as {beside}, or copy what it reads with `bundle=True`"
            )
    return common


def _from(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _directory(model: str) -> Path | None:
    """Where a model lies that is named by its path; a known name is none, whatever lies here under it."""
    return Path(model).resolve() if model not in known_models() and Path(model).exists() else None


def _portable_model(model: str, file: Path) -> str:
    directory = _directory(model)
    if directory is None:
        return model
    folder = file.parent.resolve()
    return f"./{directory.relative_to(folder).as_posix()}" if directory.is_relative_to(folder) else directory.name
