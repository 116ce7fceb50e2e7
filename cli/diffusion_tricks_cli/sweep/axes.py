"""The axes of a sweep: `strength=0.2:0.9:0.1`, `guidance=3,5,7`, `seed=1-8`, and what each value does to a recipe.

Values are numbers from:to:by, the last one included, or a list with commas; whole numbers may be first-last. In a list
with a | between its values, commas are of the values. No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.recipes.ranges import range_in
from diffusion_tricks.recipes.recipe import Recipe, recipe_from
from diffusion_tricks_cli.common import common_options
from diffusion_tricks_cli.from_options import parameters
from diffusion_tricks_cli.values import Seeds

NOT_SWEPT = {"count", "lora"}
ONE_OF_TWO = {"steps": "stride", "stride": "steps"}
MOST = 1000  # values of an axis


@dataclass(frozen=True)
class Target:
    """What a name stands for: an option of a trick of the recipe, by its place there, or a value of the recipe."""

    param: click.Parameter
    trick: int | None = None


@dataclass(frozen=True)
class Axis:
    """An option and its values, each as it was said and as a recipe holds it."""

    name: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]
    target: Target

    @property
    def word(self) -> str:
        """What stands for a value in the name of a file."""
        return re.sub(r"\W", "_", self.name)

    def put(self, recipe: Recipe, value: Any) -> Recipe:
        """The recipe with a value. Raises UsageError for one that does not fit."""
        option, place = str(self.target.param.name), self.target.trick
        if place is None:
            data = recipe.data()
            data.pop(ONE_OF_TWO.get(option, ""), None)
            return recipe_from(data | {option: value}, f"sweep of {self.name}")
        tricks = list(recipe.tricks)
        tricks[place] = tricks[place].model_copy(update={option: value})
        return recipe.model_copy(update={"tricks": tricks})


def axis_of(said: str, recipe: Recipe) -> Axis:
    """The axis of `NAME=VALUES`. Raises UsageError for what is none, and UnknownName for a name that nothing has."""
    name, equals, values = said.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not values.strip():
        raise UsageError(f"`sweeps` are such as strength=0.2:0.9:0.1 or guidance=3,5,7, got {said!r}")
    target = _target(name, recipe)
    texts = tuple(_texts(said, values.strip(), target.param))
    if twice := next((text for i, text in enumerate(texts) if text in texts[:i]), None):
        raise UsageError(f"the sweep {said!r} names {twice} twice; name each value once")
    return Axis(name, texts, tuple(_value(name, text, target.param) for text in texts), target)


def axes_of(sweeps: Sequence[str], recipe: Recipe) -> list[Axis]:
    """The axes in their order. Raises UsageError as `axis_of`, and for two of one option."""
    axes = [axis_of(said, recipe) for said in sweeps]
    for i, one in enumerate(axes):
        other = next((other for other in axes[:i] if _same(one.target, other.target)), None)
        if other:
            raise UsageError(f"{one.name} is swept twice; put all of its values into one list")
    return axes


def _same(one: Target, other: Target) -> bool:
    return (one.param.name, one.trick) == (other.param.name, other.trick)


def _target(name: str, recipe: Recipe) -> Target:
    """Of the recipe's own values, else of the first trick that has it; `trick.option` says of which."""
    own = {str(one.name): one for one in common_options() if one.name in Recipe.model_fields.keys() - NOT_SWEPT}
    if name in own:
        return Target(own[name])
    known: dict[str, list[Target]] = {}
    for place, entry in enumerate(recipe.tricks):
        for option in parameters(host().trick(entry.trick).Options):
            for called in (str(option.name), f"{entry.trick}.{option.name}".replace("-", "_")):
                known.setdefault(called, []).append(Target(option, place))
    if name not in known:
        raise UnknownName("option to sweep", name, [*own, *known])
    first, *others = known[name]
    if others:
        tricks = [recipe.tricks[one.trick or 0].trick for one in (first, *others)]
        alike = len(set(tricks)) == 1
        advice = "sweep an option that one of them has" if alike else f"say {tricks[0]}.{name} or {tricks[1]}.{name}"
        raise UsageError(f"{name} is an option of {' and of '.join(tricks)}; {advice}")
    return first


def _texts(said: str, values: str, param: click.Parameter) -> Iterator[str]:
    """The values as texts."""
    parts = values.split("|") if "|" in values else values.split(",")
    whole = isinstance(param.type, click.types.IntParamType | Seeds)
    for part in map(str.strip, parts):
        if (numbers := range_in(part, f"the sweep {said!r}", MOST, whole=whole)) is not None:
            yield from numbers
        elif part:
            yield part
        else:
            raise UsageError(f"the sweep {said!r} holds an empty value; expected such as 3,5,7")


def _value(name: str, text: str, param: click.Parameter) -> Any:
    """A text as the option reads it. Raises UsageError where it cannot."""
    if param.nargs != 1 or isinstance(param, click.Argument):
        raise UsageError(f"{name} takes several words, or is a picture, and cannot be swept")
    try:
        value = param.type(text, param, None)
    except click.UsageError as error:
        raise UsageError(f"the sweep of {name}: {error.message}") from None
    several = param.multiple and param.name != "prompt"
    return [value] if several else list(value) if isinstance(value, tuple) else value
