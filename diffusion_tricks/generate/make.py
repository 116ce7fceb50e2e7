"""From a recipe to pictures: its tricks are built, and its batches go through the loop one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from diffusion_tricks.devices.peak import peak_memory_mb
from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.base import parts_of
from diffusion_tricks.generate.batch import Batch, batches, joined
from diffusion_tricks.generate.best import check_candidates, scored
from diffusion_tricks.generate.defaults import settled
from diffusion_tricks.generate.finish import check_finishers, check_settings, finish, notes_of
from diffusion_tricks.generate.rehearsal import check_before
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.generate.strip import versions
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.loading.load import load_model
from diffusion_tricks.loading.location import upscaler_label
from diffusion_tricks.loading.outlines import Said
from diffusion_tricks.model.model import Model, Second
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.sampling.begin import check_model
from diffusion_tricks.sampling.loop import denoise
from diffusion_tricks.sampling.step import Step


def make(recipe: Recipe | str | None = None, model: Model | str | None = None, **options: Any) -> list[Result]:
    """Every picture of a recipe, at once. See `making`, also for what it raises.

    make("a rabbit")[0].image.save("rabbit.png")
    pictures = make(prompt="a rabbit", seed=0, tricks=[Guidance(scale=9)], model=load_model("emoji"))
    pictures = make(Recipe(prompt="a rabbit", seed=0))
    """
    return list(making(recipe, model, **options))


def making(
    recipe: Recipe | str | None = None,
    model: Model | str | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    memory: str = "auto",
    quantize: str | None = None,
    compile: bool = False,
    max_rows: int | None = None,
    watch: Callable[[Step], None] | None = None,
    scorer: Scorer | None = None,
    **asked: Any,
) -> Iterator[Result]:
    """The pictures of a recipe as they are made.

    recipe: it, or its prompt; what else a recipe holds may then be given by name, as `prompt`, `seed` and `tricks`.
    model: the one to use, or the name of the recipe's; None loads the recipe's, with `device`, `dtype`, `memory`,
    `quantize` and `compile` as for `load_model`. watch: called with every step, for previews and progress.
    scorer: what scores the pictures, and decides for a recipe with `best_of`; None is the one inside, only for those.
    A recipe with `picture` and tricks that only finish pictures is made without any model.
    Raises, with the first picture that is asked for, UsageError for what cannot be as the recipe asks for it: an
    UnknownName for a trick, scheduler or model that there is not, a RecipeError for seeds that do not suffice, a
    PictureError for a picture that cannot be used; and ModelError, PluginError and OutOfMemory where the model, a trick
    or the memory fails.
    """
    if not isinstance(recipe, Recipe) and isinstance(model, str):
        asked, model = asked | {"model": model}, None
    recipe, given = _asked(recipe, asked), checked(model, watch, scorer)
    recipe = recipe.resolved()
    loading = {"device": device, "dtype": dtype, "memory": memory, "quantize": quantize, "compile": compile}
    if recipe.best_of == 1 and scorer is None:
        yield from _making(recipe, given, loading, max_rows, watch)
        return
    check_candidates(recipe)
    results = _making(recipe.candidates(), given, loading, max_rows, watch)
    yield from scored(results, scorer or Scorer(), recipe.best_of)


def _asked(said: Any, more: dict[str, Any]) -> Recipe:
    """The recipe that is meant. Raises UsageError for one with more beside it."""
    if isinstance(said, Recipe):
        if more:
            beside = " and ".join(f"`{name}`" for name in more)
            raise UsageError(f"a Recipe says all that is made, and here is {beside} beside it; put it into the recipe")
        return said
    if said is not None and not isinstance(said, str):
        came = f"a {type(said).__name__}"
        raise UsageError(f'expected a Recipe, got {came}; make one, as in Recipe(prompt="a rabbit"), or give a prompt')
    if said is not None and "prompt" in more:
        raise UsageError(f"here are two prompts, {said!r} and {more['prompt']!r}; give one")
    return Recipe(**more, **({} if said is None else {"prompt": said}))


def checked(model: Any, watch: Any, scorer: Any) -> Model | None:
    """The model. Raises UsageError for arguments of other kinds than are expected."""
    if model is not None:
        check_model(model)
    if watch is not None and not callable(watch):
        raise UsageError(f"watch must be a function of a step, got a {type(watch).__name__}")
    if scorer is not None and not hasattr(scorer, "score"):
        raise UsageError(f"scorer must be a Scorer, got a {type(scorer).__name__}")
    checked: Model | None = model
    return checked


def _making(
    recipe: Recipe,
    model: Model | None,
    loading: dict[str, Any],
    max_rows: int | None,
    watch: Callable[[Step], None] | None,
) -> Iterator[Result]:
    check_settings(recipe, tricks := recipe.build())
    if recipe.picture is not None:
        yield from finished_picture(recipe, tricks)
        return
    if model is None:
        check_before(recipe)
    model = fitting(model, recipe) or load_model(
        recipe.model, loras=recipe.lora, upscaler=recipe.upscaler or None, whole=False, **loading
    )
    recipe, tricks = settled(recipe, tricks, model, said_by(model))
    for indices in batches(recipe.count):
        made = [_denoised(Batch.begun(recipe, model, each, indices, max_rows), watch) for each in versions(tricks)]
        yield from joined(made, tricks)


def said_by(model: Model) -> Said:
    """What a model that is loaded says of itself."""
    return Said(type(model.pipe).__name__, parts_of(model.pipe))


def _denoised(batch: Batch, watch: Callable[[Step], None] | None) -> Batch:
    """A batch that has gone through the loop."""
    began = time.perf_counter()
    for step in denoise(batch.run):
        batch.saw(step)
        if watch is not None:
            watch(step)
    batch.seconds += time.perf_counter() - began
    return batch


def fitting(model: Model | None, recipe: Recipe) -> Model | None:
    """The model that was given, if any. Raises UsageError where a recipe asks for LoRA or an upscaler that it lacks."""
    if model is not None and recipe.lora and recipe.lora != list(map(str, model.loras)):
        raise UsageError(f"the recipe asks for the LoRA {', '.join(recipe.lora)}, and the model given lacks it; "
                         "give it to load_model, as loras")  # fmt: skip
    behind: Model | Second | None = model
    for name in recipe.upscaler if model is not None else ():
        behind = behind.second if behind else None
        if behind is None or behind.name != upscaler_label(name):
            raise UsageError(f"the recipe asks for the upscaler {name}, and the model given lacks it; give it to "
                             "load_model, as upscaler")  # fmt: skip
    return model


def finished_picture(recipe: Recipe, tricks: list[Trick[Any]]) -> Iterator[Result]:
    """An existing picture, finished without a model."""
    check_finishers(tricks)
    began = time.perf_counter()
    picture = read_picture(Path(str(recipe.picture)))
    found: dict[str, Any] = {}
    image = finish(None, tricks, picture.image, 0, picture.icc, found)
    facts: dict[str, Any] = {
        "width": image.width, "height": image.height, "model": None, "device": "cpu", "steps": 0, "rows_per_step": 0,
        "rows_total": 0, "seconds": round(time.perf_counter() - began, 3),
        "peak_memory_mb": peak_memory_mb(torch.device("cpu")),
    }  # fmt: skip
    facts |= found
    if notes := list(dict.fromkeys([*notes_of(tricks), *found.get("notes", ())])):
        facts["notes"] = notes
    kind: Literal["edited"] | None = "edited" if picture.provenance else None
    raster = picture.raster.drawn(image)
    seed = recipe.seed if isinstance(recipe.seed, int) else None
    yield Result(image, seed, 0, recipe, kind, facts, picture.icc, raster=raster, source=picture)
