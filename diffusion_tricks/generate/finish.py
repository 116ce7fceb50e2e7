"""What tricks do to the decoded picture, and which of them can do it to a picture that was not made here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import UsageError
from diffusion_tricks.registry.calls import Call, calls, guarded
from diffusion_tricks.sampling.tricks import run_manager

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.io.raster import Raster
    from diffusion_tricks.recipes.recipe import Recipe
    from diffusion_tricks.registry.trick import Trick
    from diffusion_tricks.sampling.run import Run

HEEDED = {"version", "picture", "tricks", "seed"}  # of a recipe that only finishes a picture; the seed names the file
ESTIMATING = {"prepare", "prompts", "start", "before_step", "estimate_noise", "after_step"}


def finish(
    run: Run | None, tricks: list[Trick[Any]], image: Image, index: int, icc: bytes | None = None,
    facts: dict[str, Any] | None = None,
) -> Image:  # fmt: skip
    """The picture after every trick's `finish_image`, in order; each gets what the last returned.

    icc: the profile of its colours, which each finds in the picture's `info`; None is sRGB.
    facts: what they note of a picture that no run made; of one that a run made it goes into `run.facts`.
    """
    manager = run.manager if run is not None else run_manager(tricks)
    noted = run.facts[index] if run is not None else {} if facts is None else facts
    for call in calls(manager.hook.finish_image):
        image = _tagged(image, icc)
        image = _checked(call, call(run=run, image=image, index=index, facts=noted), image)
    return image


def notes_of(tricks: Iterable[Trick[Any]]) -> list[str]:
    """What tricks say of all pictures. Raises PluginError where one fails."""
    return [note for trick in tricks for note in guarded(trick.label(), "notes", trick.notes)]


def _tagged(image: Image, icc: bytes | None) -> Image:
    if icc is not None and image.info.get("icc_profile") != icc:
        image = image.copy()
        image.info["icc_profile"] = icc
    return image


def finished_raster(run: Run, image: Image, index: int) -> Raster | None:
    """A finished picture in the mode and at the depth of its source; None where it has none."""
    if run.source is None:
        return None
    if (repainted := run.repainted.get(index)) is None:
        if run.source.picture.raster.alpha and not image.has_transparency_data:
            notes = run.facts[index].get("notes", ())
            run.facts[index]["notes"] = [*notes, f"{run.source.picture.path} is transparent, what is made of it is not"]
        return run.source.picture.raster.whole(image)
    run.repainted[index] = replace(repainted, raster=repainted.raster.drawn(image))
    return run.repainted[index].raster


def _checked(call: Call, made: object, before: Image) -> Image:
    """The picture that a trick gave; nothing stands for the one before. Raises PluginError for what is no picture."""
    if made is None:
        return before
    if not hasattr(made, "getbands"):
        raise call.broken(f"it must give a picture of Pillow's or None, and gave a {type(made).__name__}")
    image: Image = made  # type: ignore[assignment]
    try:
        image.load()
    except (ValueError, OSError) as error:
        raise call.broken(f"the picture it gave cannot be read: {error}") from error
    return image


def report(run: Run, image: Image, index: int) -> None:
    """Lets every trick measure the finished picture. Raises PluginError for facts that JSON cannot hold."""
    for call in calls(run.hook.report):
        call(run=run, image=image, index=index)
        try:
            json.dumps(dict(run.facts[index]))
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise call.broken(f"it left facts that are no plain data: {error}") from error


def check_settings(recipe: Recipe, tricks: list[Trick[Any]]) -> None:
    """Raises UsageError for settings of a recipe that nothing in it would heed."""
    idle = sorted(recipe.data().keys() - HEEDED) if recipe.picture is not None else []
    if idle:
        named = " and ".join(f"`{name}`" for name in idle)
        raise UsageError(f"a picture that is only finished has no use for {named}, as no model makes it; leave it out")
    sized = [trick.label() for trick in tricks if trick.keeps_size]
    if recipe.enlarge > 1 and sized:
        raise UsageError(
            f"{sized[0]} gives its picture back at the size it came in, so `enlarge={recipe.enlarge}` would do nothing;"
            " leave it out, or enlarge the picture first"
        )


def check_finishers(tricks: list[Trick[Any]]) -> None:
    """Raises UsageError for a trick that cannot work on an existing picture alone."""
    manager = run_manager(tricks)
    for name in ESTIMATING:
        for implementation in getattr(manager.hook, name).get_hookimpls():
            raise UsageError(
                f"trick {implementation.plugin_name!r} needs a model, but 'picture' asks to finish an existing one; "
                "give the picture to the trick instead"
            )
