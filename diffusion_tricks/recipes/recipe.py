"""A recipe: what to make, as data. JSON and TOML in and out. Imports no torch."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any, ClassVar

import tomli_w
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from diffusion_tricks.errors import RecipeError, UsageError
from diffusion_tricks.io.foreign import NO_TEXT
from diffusion_tricks.model.lora import lora_from
from diffusion_tricks.registry.checked import Checked, explain
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks.registry.function import entry_from
from diffusion_tricks.registry.options import check_texts
from diffusion_tricks.registry.trick import Trick

VERSION = 1
NAMES = ("picture", "model", "lora", "upscaler", "tricks")  # of files, or with some within
MAX_SIDE = 65536  # pixels
SCHEMA_KEY = "$schema"  # what editors read, and nothing else
SEEDS = 2**63  # of a recipe, from 0 up
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Size = int | tuple[Side, Side] | None


def _listed(said: Any) -> Any:
    """One text may stand for a list of one."""
    return [said] if isinstance(said, str) else said


def _square(said: Any) -> Any:
    """One number may stand for both sides."""
    return (said, said) if isinstance(said, int) else said


class Recipe(Checked):
    """What to make. Raises RecipeError for keys that there are not, and for values that do not fit.

    version: of this schema. model: a known name, a directory, a .safetensors file, or a hub name, which may have an
    `@revision`. lora: files of LoRA weights for it, each FILE or FILE:WEIGHT. upscaler: what makes larger pictures of
    its own, where the size asks for it: x4, if-ii, a directory or a hub name, or several, each behind the last; a
    single one may be a text; none is the model's own. prompt: one text, or one per picture. negative, guidance: for the
    guidance that is added when the tricks hold none; None is the model's default. picture: an existing picture to
    finish instead of making one. size: (width, height) in pixels, or one number for both. steps: of the schedule.
    stride: instead of steps, every so many of the training's. scheduler: by name. upscale_steps, upscale_guidance,
    upscale_scheduler, noise_level: of every later stage, where the size takes any; None is its model's default.
    distilled_guidance: the scale that a guidance-distilled model takes as an input, which costs no second row. seed: of
    the first picture, None draws one; or a list of all seeds that are tried. count: pictures, seeds counting up; unless
    said, as many as there are prompts in a list, or as the listed seeds are for. best_of: candidates for each picture,
    of which the one that scores best is kept; 1 makes just the picture.
    enlarge: integer factor by which small pictures are enlarged. tricks: outermost first, each an entry; or, in a
    script, its name, its object, or a function `function(ask, step)`. folder: of a recipe in a file, the one that its
    paths do not leave, as "..", from its own; unless said, its own.
    """

    _refusal: ClassVar[type[UsageError]] = RecipeError
    _called: ClassVar[str] = "recipe"
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(VERSION, ge=1, le=VERSION)
    model: str = "emoji"
    lora: list[Annotated[str, AfterValidator(lambda text: str(lora_from(text)))]] = Field([])
    upscaler: Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = Field([])
    prompt: str | list[str] | None = None
    negative: str | None = None
    guidance: float | None = Field(None, ge=0)
    picture: str | None = None
    size: Annotated[tuple[Side, Side] | None, BeforeValidator(_square, json_schema_input_type=_Size)] = None
    steps: int | None = Field(None, ge=1)
    stride: int | None = Field(None, ge=1)
    scheduler: str | None = None
    upscale_steps: int | None = Field(None, ge=1)
    upscale_guidance: float | None = Field(None, ge=0)
    upscale_scheduler: str | None = None
    noise_level: int | None = Field(None, ge=0)
    distilled_guidance: float | None = Field(None, ge=0)
    seed: Seed | list[Seed] | None = None
    count: int = Field(1, ge=1, le=100_000)
    best_of: int = Field(1, ge=1, le=1000)
    enlarge: int = Field(1, ge=1, le=64)
    tricks: list[TrickEntry] = Field([])
    folder: str | None = Field(None, pattern=r"^\.\.(/\.\.)*$")

    @field_validator(
        "version", "size", "steps", "stride", "upscale_steps", "noise_level", "seed", "count", "best_of", "enlarge",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _yes_is_no_number(cls, value: Any) -> Any:
        if any(isinstance(one, bool) for one in (value if isinstance(value, list | tuple) else (value,))):
            raise ValueError(f"must be a whole number, got {value}")
        return value

    @field_validator("tricks", mode="before")
    @classmethod
    def _in_short(cls, said: Any) -> Any:
        return list(map(entry_from, said)) if isinstance(said, list | tuple) else said

    @field_validator("seed", mode="before")
    @classmethod
    def _each_is_a_seed(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple | range):
            return None if value is None else _seed(value)
        seeds = [_seed(one) for one in value]
        if len(set(seeds)) < len(seeds) or not seeds:
            raise ValueError("expected seeds that differ, and at least one, got " + ", ".join(map(str, seeds[:20])))
        return seeds if len(seeds) > 1 else seeds[0]

    @model_validator(mode="before")
    @classmethod
    def _not_newer(cls, data: Any) -> Any:
        version = data.get("version", VERSION) if isinstance(data, dict) else VERSION
        if isinstance(version, int) and version > VERSION:
            raise ValueError(
                f"the recipe has version {version}, this program reads up to {VERSION}; update the program"
            )
        if isinstance(data, dict):
            check_texts(data, names=NAMES)
            return {key: value for key, value in data.items() if key != SCHEMA_KEY}
        return data

    @model_validator(mode="before")
    @classmethod
    def _one_picture_per_prompt(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "count" in data:
            return data
        prompts, seeds, best_of = data.get("prompt"), data.get("seed"), data.get("best_of", 1)
        if prompts and isinstance(prompts, list | tuple):
            return data | {"count": len(prompts)}
        if isinstance(seeds, list | tuple | range) and isinstance(best_of, int) and len(seeds) > 1 and best_of > 0:
            return data | {"count": -(-len(seeds) // best_of)}
        return data

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if self.steps is not None and self.stride is not None:
            raise ValueError(f"`steps={self.steps}` and `stride={self.stride}` both say which steps are made; give one")
        return self

    @model_validator(mode="after")
    def _seeds_suffice(self) -> Recipe:
        if why := self.beyond_seeds():
            raise ValueError(why)
        return self

    def beyond_seeds(self) -> str | None:
        """Why its pictures and candidates would need seeds that there are not, or None."""
        if isinstance(self.seed, list):
            needed = self.count * self.best_of
            each = f", each the best of {self.best_of}," if self.best_of > 1 else ""
            said = f"`seed` lists {len(self.seed)} seeds, and {self.count} pictures{each} take {needed}"
            return None if len(self.seed) == needed else f"{said}; list as many, or leave `count` out"
        if self.seed is None or self.seed + self.count * self.best_of <= SEEDS:
            return None
        return (
            f"seed {self.seed} with count {self.count} and best_of {self.best_of} goes on beyond {SEEDS - 1}, the "
            "largest seed; give a smaller one"
        )

    @property
    def seeds(self) -> list[int]:
        """One seed per picture, that of its first candidate. Raises RecipeError while its seed is not drawn."""
        if isinstance(self.seed, list):
            return self.seed[:: self.best_of]
        if self.seed is None:
            raise RecipeError("the recipe's seed is not drawn yet; set one, or use `resolved`")
        return [self.seed + i * self.best_of for i in range(self.count)]

    def resolved(self) -> Recipe:
        """The same recipe with a seed, drawn if none was given and a model is to make a picture.

        Raises RecipeError where its seeds do not suffice.
        """
        if why := self.beyond_seeds():
            raise RecipeError(f"recipe: {why}")
        if self.seed is not None or self.picture is not None:
            return self
        return self.model_copy(update={"seed": int.from_bytes(os.urandom(4), "big")})

    def single(self, index: int) -> Recipe:
        """The recipe of picture `index` alone."""
        prompt = self.prompt[index] if isinstance(self.prompt, list) else self.prompt
        return self.model_copy(update={"seed": self.seeds[index], "count": 1, "prompt": prompt})

    def candidates(self) -> Recipe:
        """The recipe of all candidates, `best_of` for each picture, one after the other; seeds count up."""
        prompt = [p for p in self.prompt for _ in range(self.best_of)] if isinstance(self.prompt, list) else self.prompt
        return self.model_copy(update={"best_of": 1, "count": self.count * self.best_of, "prompt": prompt})

    def build(self) -> list[Trick[Any]]:
        """The tricks, in order."""
        return [entry.build() for entry in self.tricks]

    def data(self) -> dict[str, Any]:
        """As plain data, without what was not said."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"version": self.version}

    def to_json(self, schema: str | None = None) -> str:
        """As JSON text. Raises RecipeError for a file's name that is no text.

        schema: where an editor finds the schema of recipes, see `recipe_schema`.
        """
        data = _told(schema) | self.data()
        return _writable(json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    def to_toml(self, schema: str | None = None) -> str:
        """As TOML text, see `to_json`. Raises RecipeError also for what TOML cannot say."""
        try:
            return _writable(tomli_w.dumps(_told(schema) | self.data()))
        except TypeError as error:
            raise RecipeError(f"the recipe cannot be written as TOML: {error}") from None


def _told(schema: str | None) -> dict[str, str]:
    return {SCHEMA_KEY: schema} if schema else {}


def _seed(value: Any) -> int:
    """A seed, from a whole number in any form. Raises ValueError."""
    try:
        seed = int(value)
        whole = not isinstance(value, bool) and (isinstance(value, str) or seed == value)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(f"expected a whole number, got {value!r}")
    if not 0 <= seed < SEEDS:
        raise ValueError(f"expected {'at least 0' if seed < 0 else f'a number below {SEEDS}'}, got {value!r}")
    return seed


def _writable(text: str) -> str:
    if odd := next((line for line in text.splitlines() if NO_TEXT.search(line)), None):
        raise RecipeError(f"a recipe is text in UTF-8 and cannot hold {odd.strip()!a}; rename the file")
    return text


def recipe_from(data: Any, where: str = "recipe") -> Recipe:
    """A recipe from plain data. Raises RecipeError that says which key is wrong and why."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error, Recipe.model_fields)}") from None
