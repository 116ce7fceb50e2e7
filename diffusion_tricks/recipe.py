"""A recipe: what to make, as data. JSON and TOML in and out. Imports no torch."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from diffusion_tricks.errors import RecipeError
from diffusion_tricks.manager import host
from diffusion_tricks.options import hint
from diffusion_tricks.trick import Trick, explain

VERSION = 1
Side = Annotated[int, Field(ge=1, le=65536)]


class TrickEntry(BaseModel):
    """One trick of a recipe: its name, and its options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    trick: str

    @property
    def options(self) -> dict[str, Any]:
        """The options as given, not yet checked."""
        return dict(self.model_extra or {})

    def build(self) -> Trick[Any]:
        """The trick itself. Raises UnknownName for an unknown trick, UsageError for options it does not take."""
        return host().trick(self.trick)(**self.options)


class Recipe(BaseModel):
    """What to make. Unknown keys are errors.

    version: of this schema. model: an embedded or known name, a directory or a hub name. prompt: one text, or one per
    picture. negative, guidance: for the guidance that is added when the tricks hold none; None is the model's default.
    picture: an existing picture to finish instead of making one. size: (width, height) in pixels. steps: of the
    schedule. scheduler: by name. seed: of the first picture, None draws one. count: pictures, seeds counting up.
    enlarge: integer factor by which small pictures are enlarged. tricks: outermost first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(VERSION, ge=1, le=VERSION)
    model: str = "emoji"
    prompt: str | list[str] | None = None
    negative: str | None = None
    guidance: float | None = Field(None, ge=0)
    picture: str | None = None
    size: tuple[Side, Side] | None = None
    steps: int | None = Field(None, ge=1)
    scheduler: str | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    count: int = Field(1, ge=1, le=100_000)
    enlarge: int = Field(1, ge=1, le=64)
    tricks: list[TrickEntry] = []

    @model_validator(mode="before")
    @classmethod
    def _not_newer(cls, data: Any) -> Any:
        version = data.get("version", VERSION) if isinstance(data, dict) else VERSION
        if isinstance(version, int) and version > VERSION:
            raise ValueError(
                f"the recipe has version {version}, this program reads up to {VERSION}; update the program"
            )
        return data

    @property
    def seeds(self) -> list[int]:
        """One seed per picture. Only for a recipe whose seed is set."""
        if self.seed is None:
            raise RecipeError("the recipe's seed is not drawn yet; set one, or use `resolved`")
        return [self.seed + i for i in range(self.count)]

    def resolved(self) -> Recipe:
        """The same recipe with a seed, drawn if none was given."""
        if self.seed is not None:
            return self
        return self.model_copy(update={"seed": int.from_bytes(os.urandom(4), "big")})

    def single(self, index: int) -> Recipe:
        """The recipe of picture `index` alone."""
        prompt = self.prompt[index] if isinstance(self.prompt, list) else self.prompt
        return self.model_copy(update={"seed": self.seeds[index], "count": 1, "prompt": prompt})

    def build(self) -> list[Trick[Any]]:
        """The tricks, in order."""
        return [entry.build() for entry in self.tricks]

    def data(self) -> dict[str, Any]:
        """As plain data, without what was not said."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"version": self.version}

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(self.data(), indent=2, ensure_ascii=False) + "\n"

    def to_toml(self) -> str:
        """As TOML text."""
        return tomli_w.dumps(self.data())


def recipe_from(data: Any, where: str = "recipe") -> Recipe:
    """A recipe from plain data. Raises RecipeError that says which key is wrong and why."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error)}") from None


def read_recipe(file: Path) -> Recipe:
    """The recipe in a .toml or .json file; the pictures it names are looked for beside it.

    Raises RecipeError for a file that is not one, and for a path that leads out of the recipe's folder.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: cannot be read as a recipe: {error}; expected a .toml or .json file") from None
    form, read = ("JSON", json.loads) if file.suffix.lower() == ".json" else ("TOML", tomllib.loads)
    try:
        data = read(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{file}: is not valid {form}: {error}") from None
    return anchored(recipe_from(data, str(file)), file.parent, str(file))


def anchored(recipe: Recipe, folder: Path, where: str) -> Recipe:
    """The recipe with its relative paths made to start at `folder`, which they may not leave."""
    return mapped(recipe, lambda path: str(_inside(folder, path, where)))


def mapped(recipe: Recipe, change: Callable[[str], str]) -> Recipe:
    """The recipe with `change` applied to every path in it (options marked `path=True`, and `picture`)."""
    tricks = [TrickEntry(trick=e.trick, **_changed(e, change)) for e in recipe.tricks]
    picture = change(recipe.picture) if recipe.picture else None
    return recipe.model_copy(update={"tricks": tricks, "picture": picture})


def paths(recipe: Recipe) -> list[Path]:
    """Every file the recipe reads."""
    found: list[Path] = []

    def noted(path: str) -> str:
        found.append(Path(path))
        return path

    mapped(recipe, noted)
    return found


def _changed(entry: TrickEntry, change: Callable[[str], str]) -> dict[str, Any]:
    fields = host().trick(entry.trick).Options.model_fields
    return {
        name: change(value) if name in fields and hint(fields[name], "path") and _is_path(value) else value
        for name, value in entry.options.items()
    }


def _is_path(value: Any) -> bool:
    """A mask may be a file or a form such as `box:0,0,10,10` or `alpha`; only the file is a path."""
    return isinstance(value, str) and not value.startswith(("box:", "ellipse:")) and value != "alpha"


def _inside(folder: Path, path: str, where: str) -> Path:
    whole = (folder / path).resolve()
    if Path(path).is_absolute() or not whole.is_relative_to(folder.resolve()):
        raise RecipeError(
            f"{where}: the path {path!r} leads out of the recipe's folder; put the picture beside the recipe and name "
            "it relative to it"
        )
    return folder / path
