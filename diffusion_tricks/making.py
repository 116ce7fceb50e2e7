"""From a recipe to pictures: builds the tricks, runs the loop, decodes, finishes, and notes what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch

from diffusion_tricks.calling import calls
from diffusion_tricks.cascade import needs_upscaling, nothing_upscaled
from diffusion_tricks.denoiser import Size
from diffusion_tricks.errors import UsageError
from diffusion_tricks.images import enlarge, read_picture, to_images
from diffusion_tricks.machine import computed, forget_peak, peak_memory_mb
from diffusion_tricks.manager import host
from diffusion_tricks.model import Model
from diffusion_tricks.models import load_model, pinned
from diffusion_tricks.nesting import run_manager
from diffusion_tricks.recipe import Recipe, TrickEntry
from diffusion_tricks.sampler import Run, Step, begin, denoise
from diffusion_tricks.scoring import Scorer, scored
from diffusion_tricks.trick import Trick
from diffusion_tricks.variants import strip, versions

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.scoring import Score

T = TypeVar("T")
BATCH = 8  # pictures that go through the loop together; the rest wait, so memory does not grow with `count`
ESTIMATING = {"prepare", "prompts", "start", "before_step", "estimate_noise", "after_step"}


@dataclass
class Result:
    """One picture made: the image, its seed, the recipe that remakes it alone, and the facts of the run.

    score: where scores were asked for.
    """

    image: Image
    seed: int
    index: int
    recipe: Recipe
    provenance: Literal["generated", "edited"] | None
    facts: dict[str, Any] = field(default_factory=dict)
    icc: bytes | None = None
    score: Score | None = None


def make(recipe: Recipe, model: Model | None = None, **options: Any) -> list[Result]:
    """Every picture of a recipe, at once. See `making`.

    pictures = make(Recipe(prompt="a rabbit", seed=0), model=load_model("emoji"))
    pictures[0].image.save("rabbit.png")
    """
    return list(making(recipe, model, **options))


def making(
    recipe: Recipe,
    model: Model | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    memory: str = "auto",
    quantize: str | None = None,
    compile: bool = False,
    max_rows: int | None = None,
    watch: Callable[[Step], None] | None = None,
    scorer: Scorer | None = None,
) -> Iterator[Result]:
    """The pictures of a recipe as they are made.

    model: the one to use; None loads the recipe's, with `device`, `dtype`, `memory`, `quantize` and `compile` as for
    `load_model`. watch: called with every step, for previews and progress.
    scorer: what scores the pictures, and decides for a recipe with `best_of`; None is the one inside, only for those.
    A recipe with `picture` and tricks that only finish pictures is made without any model.
    """
    recipe = recipe.resolved()
    loading = {"device": device, "dtype": dtype, "memory": memory, "quantize": quantize, "compile": compile}
    if recipe.best_of == 1 and scorer is None:
        yield from _making(recipe, model, loading, max_rows, watch)
        return
    check_candidates(recipe)
    results = _making(recipe.candidates(), model, loading, max_rows, watch)
    yield from scored(results, scorer or Scorer(), recipe.best_of)


def check_candidates(recipe: Recipe) -> None:
    """Raises UsageError for a recipe of which there are no candidates to choose from."""
    if recipe.best_of > 1 and recipe.picture is not None:
        raise UsageError(
            f"a picture that is only finished has no candidates, got best_of {recipe.best_of}; leave it out"
        )
    if recipe.best_of > 1 and len(versions(recipe.build())) > 1:
        raise UsageError(f"a strip of variants has no best one, got best_of {recipe.best_of}; leave one of them out")


def _making(
    recipe: Recipe,
    model: Model | None,
    loading: dict[str, Any],
    max_rows: int | None,
    watch: Callable[[Step], None] | None,
) -> Iterator[Result]:
    tricks = recipe.build()
    if recipe.picture is not None:
        yield from _finished(recipe, tricks)
        return
    if model is None:
        _check_size(recipe)
    model = _with_loras(model, recipe) or load_model(recipe.model, loras=recipe.lora, **loading)
    recipe, tricks = with_guidance(recipe, tricks, model.defaults.guidance, second_guidance(recipe, model))
    check_prompts(recipe, tricks)
    for first in range(0, recipe.count, BATCH):
        indices = range(first, min(first + BATCH, recipe.count))
        batches = [_batch(recipe, model, version, indices, max_rows, watch) for version in versions(tricks)]
        yield from map(strip, zip(*batches, strict=True))


def _check_size(recipe: Recipe) -> None:
    """Raises UsageError for a size that a model cannot make, before its weights are loaded."""
    from diffusion_tricks.planning import check_size_before  # which plans what is made here

    check_size_before(recipe)


def _with_loras(model: Model | None, recipe: Recipe) -> Model | None:
    """The model that was given, if any. Raises UsageError where a recipe asks for LoRA weights that it lacks."""
    if model is not None and recipe.lora and recipe.lora != list(map(str, model.loras)):
        raise UsageError(f"the recipe asks for the LoRA {', '.join(recipe.lora)}, and the model given lacks it; "
                         "give it to load_model, as loras")  # fmt: skip
    return model


def second_guidance(recipe: Recipe, model: Model) -> float | None:
    """The scale of the later stages, or None where there are none, or where each has its own."""
    if not needs_upscaling(model, recipe.size) or model.second is None:
        if recipe.upscale_guidance is not None:
            raise nothing_upscaled(recipe.size or model.family.size)
        return None
    if recipe.upscale_guidance is not None or model.second.second is not None:
        return recipe.upscale_guidance
    return model.second.defaults.guidance


def with_guidance(
    recipe: Recipe, tricks: list[Trick[Any]], scale: float, upscale_scale: float | None = None
) -> tuple[Recipe, list[Trick[Any]]]:
    """The recipe with guidance at `scale`, and at `upscale_scale` in later stages, unless its tricks hold one.

    The trick that is added is the one registered with `automatic="guidance"`; the core knows it by that alone.
    """
    if any(trick.place == "guidance" for trick in tricks):
        if (recipe.guidance, recipe.negative, recipe.upscale_guidance) != (None, None, None):
            raise UsageError("guidance is given twice: as a trick and as guidance/negative; set it in one place")
        return recipe, tricks
    automatic = [e for e in host().entries("trick").values() if e.notes.get("automatic") == "guidance"]
    if not automatic:
        return recipe, tricks
    options: dict[str, Any] = {"scale": scale if recipe.guidance is None else recipe.guidance}
    if recipe.negative is not None:
        options["negative"] = recipe.negative
    if upscale_scale is not None:
        options["upscale_scale"] = upscale_scale
    entry = TrickEntry(trick=automatic[0].name, **options)
    plain = {"guidance": None, "negative": None, "upscale_guidance": None, "tricks": [*recipe.tricks, entry]}
    return recipe.model_copy(update=plain), [*tricks, entry.build()]


def check_prompts(recipe: Recipe, tricks: list[Trick[Any]]) -> None:
    """Raises UsageError when nothing says what to make: no prompt, and no trick that brings its own."""
    if isinstance(recipe.prompt, list) and len(recipe.prompt) != recipe.count:
        raise UsageError(f"expected one prompt, or one for each of {recipe.count} pictures, got {len(recipe.prompt)}")
    if recipe.prompt is None and not any(trick.brings_prompts for trick in tricks):
        raise UsageError(
            'a prompt is missing; say what to make, for example -p "a rabbit" (-p "" for a model that takes none)'
        )


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
    run = begin(
        model, prompt=prompt, tricks=tricks, seeds=[recipe.seeds[i] for i in indices], max_rows=max_rows,
        **schedule_of(recipe),
    )  # fmt: skip
    most, evaluations = 0, [0 for _ in run.stages]
    for step in denoise(run):
        most = max(most, step.rows)
        evaluations[step.stage - 1] += 1
        if watch is not None:
            watch(step)
    last = run.stages[-1]
    images = [enlarge(image, recipe.enlarge) for image in to_images(last.pixels())]
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
    for i, index in enumerate(indices):
        image = finish(last, tricks, images[i], i)
        for call in calls(last.hook.report):
            call(run=last, image=image, index=i)
        single = recipe.single(index).model_copy(update=settled)
        kind: Literal["generated", "edited"] = "generated" if run.source is None else "edited"
        icc = run.source.picture.icc if run.source else None  # its pixels' values are in that space
        size = {"width": image.width, "height": image.height}
        yield Result(image, recipe.seeds[index], index, single, kind, size | facts | noted(run, i), icc)


def schedule_of(recipe: Recipe) -> dict[str, Any]:
    """What `begin` is to be told of the sizes and steps of a recipe."""
    names = ("steps", "stride", "scheduler", "size", "upscale_steps", "upscale_scheduler", "noise_level",
             "distilled_guidance")  # fmt: skip
    return {name: getattr(recipe, name) for name in names}


def settings(recipe: Recipe, run: Run) -> dict[str, Any]:
    """The settings of a run that the recipe left to its models, for the recipe that makes the same again."""
    defaults = run.model.defaults
    settled: dict[str, Any] = {"scheduler": recipe.scheduler or defaults.scheduler}
    settled["lora"] = list(map(str, run.model.loras)) or recipe.lora
    if recipe.stride is None:
        settled["steps"] = recipe.steps or defaults.steps
    if run.model.family.shape.distilled:
        own = defaults.distilled_guidance
        settled["distilled_guidance"] = own if recipe.distilled_guidance is None else recipe.distilled_guidance
    later = [stage.model.defaults for stage in run.stages[1:]]
    if later:
        settled["upscale_steps"] = recipe.upscale_steps or _agreed(own.steps for own in later)
        settled["upscale_scheduler"] = recipe.upscale_scheduler or _agreed(own.scheduler for own in later)
        level = _agreed(own.noise_level for own in later)
        settled["noise_level"] = level if recipe.noise_level is None else recipe.noise_level
    return settled


def _agreed(values: Iterable[T]) -> T | None:
    """What all of them are; None where they differ, and a recipe leaves it to each stage's model."""
    first, *others = values
    return first if all(value == first for value in others) else None


def noted(run: Run, index: int) -> dict[str, Any]:
    """What the tricks noted of picture `index` in all stages, each note once, and the words unknown to its model."""
    facts = untaught(run, index)
    notes: list[str] = []
    for stage in run.stages:
        facts |= stage.facts[index]
        notes += stage.facts[index].get("notes", [])
    return facts | ({"notes": list(dict.fromkeys(notes))} if notes else {})


def untaught(run: Run, index: int) -> dict[str, Any]:
    """The words asked of one picture that its model was not taught, as facts, where the model says what it was."""
    if run.model.vocabulary is None:
        return {}
    others = set(run.prompt) - {run.prompt[index]} if isinstance(run.prompt, tuple) else set()
    words = run.model.vocabulary.unknown(prompt for prompt in run.prompts() if prompt not in others)
    return {"unknown_words": words} if words else {}


def finish(run: Run | None, tricks: list[Trick[Any]], image: Image, index: int) -> Image:
    """The picture after every trick's `finish_image`, in order; each gets what the last returned."""
    manager = run.manager if run is not None else run_manager(tricks)
    for call in calls(manager.hook.finish_image):
        image = call(run=run, image=image, index=index) or image
    return image


def check_finishers(tricks: list[Trick[Any]]) -> None:
    """Raises UsageError for a trick that cannot work on an existing picture alone."""
    manager = run_manager(tricks)
    for name in ESTIMATING:
        for implementation in getattr(manager.hook, name).get_hookimpls():
            raise UsageError(
                f"trick {implementation.plugin_name!r} needs a model, but 'picture' asks to finish an existing one; "
                "give the picture to the trick instead"
            )


def _finished(recipe: Recipe, tricks: list[Trick[Any]]) -> Iterator[Result]:
    """An existing picture, finished without a model."""
    check_finishers(tricks)
    began = time.perf_counter()
    picture = read_picture(Path(str(recipe.picture)))
    image = finish(None, tricks, picture.image, 0)
    facts = {
        "width": image.width, "height": image.height, "model": None, "device": "cpu", "steps": 0, "rows_per_step": 0,
        "rows_total": 0, "seconds": round(time.perf_counter() - began, 3),
        "peak_memory_mb": peak_memory_mb(torch.device("cpu")),
    }  # fmt: skip
    kind: Literal["edited"] | None = "edited" if picture.provenance else None
    yield Result(image, recipe.seeds[0], 0, recipe, kind, facts, picture.icc)


__all__ = ["Result", "Size", "check_finishers", "check_prompts", "finish", "make", "making", "with_guidance"]
