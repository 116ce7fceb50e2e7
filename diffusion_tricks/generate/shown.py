"""What a picture is to show, and through which views: its tricks say it, or whoever asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.pixels import to_images, to_tensor
from diffusion_tricks.recipes.recipe import Recipe, recipe_from
from diffusion_tricks.recipes.record import read_record
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.trick import Shown
from diffusion_tricks.registry.view import view_named

if TYPE_CHECKING:
    from PIL.Image import Image


def shown(recipe: Recipe, image: Image) -> list[Shown]:
    """What a finished picture of a recipe is to show: its tricks' own views, and the prompt where they say none.

    Views that do not say it themselves show the recipe's prompt; where others do, they are left out.

    Raises UsageError for a recipe of one picture that says neither, and for one with a list of prompts.
    """
    tricks = recipe.build()
    views = [Shown(*view) for t in tricks for view in guarded(t.label(), "views_of", t.views_of, image)]
    if views and not any(view.own for view in views):
        return [view._replace(prompt=_prompt_of(recipe)) for view in views]
    own = [view for view in views if view.own]
    if any(view.said for view in own) or (own and not isinstance(recipe.prompt, str)):
        return own
    return [Shown("identity", image, _prompt_of(recipe)), *own]


def _prompt_of(recipe: Recipe) -> str:
    """Its one prompt. Raises UsageError for none, and for a list."""
    if not isinstance(recipe.prompt, str):
        raise UsageError("nothing says what the picture should show: expected one prompt, or a trick that has its own")
    return recipe.prompt


def shown_through(views: Iterable[tuple[str, str]], image: Image) -> list[Shown]:
    """A picture through views, each named as for anagrams, with what it should show."""
    ways = ((name, partial(seen_through, name, image), prompt) for name, prompt in views)
    return [Shown(name, way(1.0), prompt, frame=way) for name, way, prompt in ways]


def shown_in(path: str | Path, said: Sequence[tuple[str, str]] = ()) -> tuple[Image, list[Shown]]:
    """A picture's pixels and what it should show: by `said`, views and texts, or else by the record inside it.

    Raises UsageError where nothing says it, and PictureError and RecipeError as reading them does.
    """
    image = read_picture(path).srgb
    if said:
        return image, shown_through(said, image)
    try:
        record = read_record(path)
    except PictureError as error:
        raise UsageError(f'{error}; or say what it should show, for example `views=[("flip", "a duck")]`') from None
    return image, shown(recipe_from(record["recipe"], str(path)), image)


def seen_through(name: str, image: Image, share: float = 1.0) -> Image:
    """A picture through a view, which is named as for anagrams; at a share of the way there below 1, see `Shown`."""
    return to_images(view_named(name).frame(to_tensor(image), share))[0]
