"""From a recipe to pictures: builds the tricks, runs the loop, decodes, finishes, and notes what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from diffusion_tricks.devices.peak import forget_peak, peak_memory_mb
from diffusion_tricks.diffusion.prompt_grammar import plain
from diffusion_tricks.errors import ModelError, UsageError
from diffusion_tricks.families.base import parts_of
from diffusion_tricks.generate.best import check_candidates, scored
from diffusion_tricks.generate.defaults import (
    check_prompts,
    schedule_of,
    second_guidance,
    settings,
    settled_tricks,
    with_frame,
    with_guidance,
    with_stride,
)
from diffusion_tricks.generate.facts import computed
from diffusion_tricks.generate.finish import check_finishers, check_settings, finish, finished_raster, notes_of, report
from diffusion_tricks.generate.rehearsal import check_before
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.generate.strip import labels, strip, versions
from diffusion_tricks.io.colour import from_srgb, to_srgb
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.pixels import enlarge, to_images
from diffusion_tricks.loading.load import load_model
from diffusion_tricks.loading.location import pinned, upscaler_label
from diffusion_tricks.loading.outlines import Said
from diffusion_tricks.model.model import Model, Second
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.function import registered_name
from diffusion_tricks.registry.trick import Trick, spanned
from diffusion_tricks.sampling.begin import begin, check_model
from diffusion_tricks.sampling.blame import blamed
from diffusion_tricks.sampling.loop import denoise
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.step import Step

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 8  # pictures that go through the loop together; the rest wait, so memory does not grow with `count`


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
    recipe, given = _asked(recipe, asked), _checked(model, watch, scorer)
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


def _checked(model: Any, watch: Any, scorer: Any) -> Model | None:
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
        yield from _finished(recipe, tricks)
        return
    if model is None:
        check_before(recipe)
    model = _fitting(model, recipe) or load_model(
        recipe.model, loras=recipe.lora, upscaler=recipe.upscaler or None, whole=False, **loading
    )
    recipe, tricks = with_frame(recipe, tricks, model)
    second = second_guidance(recipe, model, spanned(tricks))
    recipe, tricks = with_guidance(recipe, tricks, model.defaults.guidance, second)
    check_prompts(recipe, tricks, Said(type(model.pipe).__name__, parts_of(model.pipe)))
    recipe = with_stride(recipe, tricks, model)
    sums = {name for trick in tricks for name in trick.sums}
    named = labels(tricks)
    for first in range(0, recipe.count, BATCH):
        indices = range(first, min(first + BATCH, recipe.count))
        batches = [_batch(recipe, model, version, indices, max_rows, watch) for version in versions(tricks)]
        for versions_of_one in zip(*batches, strict=True):
            yield strip(versions_of_one, sums, named)


def _fitting(model: Model | None, recipe: Recipe) -> Model | None:
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


def _batch(
    recipe: Recipe,
    model: Model,
    tricks: list[Trick[Any]],
    indices: range,
    max_rows: int | None,
    watch: Callable[[Step], None] | None,
) -> Iterator[Result]:
    began = time.perf_counter()
    forget_peak(model.device)
    prompt = [recipe.prompt[i] for i in indices] if isinstance(recipe.prompt, list) else recipe.prompt
    seeds = [recipe.seeds[i] for i in indices]
    sampling = Sampling(prompt=prompt, seeds=seeds, max_rows=max_rows, **schedule_of(recipe))
    run = begin(model, sampling, tricks)
    most, evaluations = 0, [0 for _ in run.stages]
    for step in denoise(run):
        most = max(most, step.rows)
        evaluations[step.stage - 1] += 1
        if watch is not None:
            watch(step)
    last = run.stages[-1]
    images = _decoded(run)
    facts: dict[str, Any] = {
        "model": model.name,
        **({"revision": model.revision} if model.revision else {}),
        **({"lora": [lora.name for lora in model.loras]} if model.loras else {}),
        **computed(run, max_rows),
        "steps": sum(evaluations),
        "rows_per_step": most // run.count,
        "rows_total": sum(stage.rows for stage in run.stages) // run.count,
        "seconds": round((time.perf_counter() - began) / run.count, 3),
        "peak_memory_mb": peak_memory_mb(model.device),
    }
    if run.following is not None:
        facts["stages"] = [
            {"model": stage.model.name, "size": list(stage.size), "steps": steps, "rows_total": stage.rows // run.count}
            | ({"revision": stage.model.revision} if stage.model.revision else {})
            for stage, steps in zip(run.stages, evaluations, strict=True)
        ]
    settled = {"model": pinned(recipe.model, model.name, model.revision), "size": last.size, **settings(recipe, run)}
    settled["tricks"] = settled_tricks(recipe, tricks, run)
    for i, index in enumerate(indices):
        unfinished = enlarge(images[i], recipe.enlarge)
        icc = run.source.picture.icc if run.source else None
        image = finish(last, tricks, from_srgb(unfinished, icc) if icc else unfinished, i, icc)
        if i in last.repainted:  # the whole picture, which nothing is written on yet
            unfinished = to_srgb(last.repainted[i].raster.shown(), icc)
        raster, repainted = finished_raster(last, image, i), last.repainted.get(i)
        kept = repainted.kept if repainted and repainted.kept.any() else None
        report(last, image, i)
        single = recipe.single(index).model_copy(update=settled)
        kind: Literal["generated", "edited"] = "generated" if run.source is None else "edited"
        size = {"width": image.width, "height": image.height}
        told = size | facts | noted(run, i)
        yield Result(
            image, recipe.seeds[index], index, single, kind, told, icc, unfinished=unfinished, raster=raster,
            source=run.source.picture if run.source else None, kept=kept,
        )  # fmt: skip


def _decoded(run: Run) -> list[Image]:
    """The pictures that a run and its stages made. Raises what tells whose values are no numbers, where some are."""
    pixels = run.stages[-1].pixels()
    try:
        return to_images(pixels)
    except ModelError as error:
        raise blamed(run) from error


def noted(run: Run, index: int) -> dict[str, Any]:
    """What the tricks noted of picture `index` in all stages, each note once, and the words unknown to its model."""
    facts, notes = untaught(run, index), [*notes_of(run.tricks), *_unregistered(run.tricks)]
    for stage in run.stages:
        facts |= stage.facts[index]
        notes += stage.facts[index].get("notes", [])
    return facts | ({"notes": list(dict.fromkeys(notes))} if notes else {})


def _unregistered(tricks: Iterable[Trick[Any]]) -> list[str]:
    """What there is to say of tricks that a record cannot name."""
    names = dict.fromkeys(trick.label() for trick in tricks if registered_name(trick) is None)
    return [f"no plugin has registered the trick {name!r}: the record cannot make this picture again" for name in names]


def untaught(run: Run, index: int) -> dict[str, Any]:
    """The words asked of one picture that its model was not taught, as facts, where the model says what it was."""
    if run.model.vocabulary is None:
        return {}
    others = set(run.prompt) - {run.prompt[index]} if isinstance(run.prompt, tuple) else set()
    words = run.model.vocabulary.unknown(plain(prompt or "") for prompt in run.prompts() if prompt not in others)
    return {"unknown_words": words} if words else {}


def _finished(recipe: Recipe, tricks: list[Trick[Any]]) -> Iterator[Result]:
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
