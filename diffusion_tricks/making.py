"""From a recipe to pictures: builds the tricks, runs the loop, decodes, finishes, and notes what happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from diffusion_tricks.calling import calls
from diffusion_tricks.denoiser import Size
from diffusion_tricks.errors import UsageError
from diffusion_tricks.images import enlarge, read_picture, to_images
from diffusion_tricks.manager import host
from diffusion_tricks.model import Model
from diffusion_tricks.models import load_model
from diffusion_tricks.nesting import run_manager
from diffusion_tricks.recipe import Recipe, TrickEntry
from diffusion_tricks.sampler import Run, Step, begin, denoise
from diffusion_tricks.trick import Trick
from diffusion_tricks.variants import strip, versions

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 8  # pictures that go through the loop together; the rest wait, so memory does not grow with `count`
ESTIMATING = {"prepare", "prompts", "start", "before_step", "estimate_noise", "after_step"}


@dataclass
class Result:
    """One picture made: the image, its seed, the recipe that remakes it alone, and the facts of the run."""

    image: Image
    seed: int
    index: int
    recipe: Recipe
    provenance: Literal["generated", "edited"] | None
    facts: dict[str, Any] = field(default_factory=dict)
    icc: bytes | None = None


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
    max_rows: int | None = None,
    watch: Callable[[Step], None] | None = None,
) -> Iterator[Result]:
    """The pictures of a recipe as they are made.

    model: the one to use; None loads the recipe's. watch: called with every step, for previews and progress.
    A recipe with `picture` and tricks that only finish pictures is made without any model.
    """
    recipe = recipe.resolved()
    tricks = recipe.build()
    if recipe.picture is not None:
        yield from _finished(recipe, tricks)
        return
    model = model or load_model(recipe.model, device=device, dtype=dtype)
    recipe, tricks = with_guidance(recipe, tricks, model.defaults.guidance)
    check_prompts(recipe, tricks)
    for first in range(0, recipe.count, BATCH):
        indices = range(first, min(first + BATCH, recipe.count))
        batches = [_batch(recipe, model, version, indices, max_rows, watch) for version in versions(tricks)]
        yield from map(strip, zip(*batches, strict=True))


def with_guidance(recipe: Recipe, tricks: list[Trick[Any]], scale: float) -> tuple[Recipe, list[Trick[Any]]]:
    """The recipe with guidance at `scale`, unless its tricks hold one already.

    The trick that is added is the one registered with `automatic="guidance"`; the core knows it by that alone.
    """
    if any(trick.place == "guidance" for trick in tricks):
        if recipe.guidance is not None or recipe.negative is not None:
            raise UsageError("guidance is given twice: as a trick and as guidance/negative; set it in one place")
        return recipe, tricks
    automatic = [e for e in host().entries("trick").values() if e.notes.get("automatic") == "guidance"]
    if not automatic:
        return recipe, tricks
    options: dict[str, Any] = {"scale": scale if recipe.guidance is None else recipe.guidance}
    if recipe.negative is not None:
        options["negative"] = recipe.negative
    entry = TrickEntry(trick=automatic[0].name, **options)
    plain = {"guidance": None, "negative": None, "tricks": [*recipe.tricks, entry]}
    return recipe.model_copy(update=plain), [*tricks, entry.build()]


def check_prompts(recipe: Recipe, tricks: list[Trick[Any]]) -> None:
    """Raises UsageError when nothing says what to make: no prompt, and no trick that brings its own."""
    if isinstance(recipe.prompt, list) and len(recipe.prompt) != recipe.count:
        raise UsageError(f"expected one prompt, or one for each of {recipe.count} pictures, got {len(recipe.prompt)}")
    if recipe.prompt is None and not any(trick.brings_prompts for trick in tricks):
        raise UsageError('a prompt is missing; say what to make, for example -p "a rabbit"')


def _batch(
    recipe: Recipe,
    model: Model,
    tricks: list[Trick[Any]],
    indices: range,
    max_rows: int | None,
    watch: Callable[[Step], None] | None,
) -> Iterator[Result]:
    began = time.perf_counter()
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    prompt = [recipe.prompt[i] for i in indices] if isinstance(recipe.prompt, list) else recipe.prompt
    run = begin(
        model, prompt=prompt, tricks=tricks, seeds=[recipe.seeds[i] for i in indices], steps=recipe.steps,
        stride=recipe.stride, scheduler=recipe.scheduler, size=recipe.size, max_rows=max_rows,
    )  # fmt: skip
    most, evaluations = 0, 0
    for step in denoise(run):
        most, evaluations = max(most, step.rows), evaluations + 1
        if watch is not None:
            watch(step)
    images = [enlarge(image, recipe.enlarge) for image in to_images(run.pixels())]
    facts = {
        "model": model.name,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_rows": max_rows,
        "steps": evaluations,
        "rows_per_step": most // run.count,
        "rows_total": run.rows // run.count,
        "seconds": round((time.perf_counter() - began) / run.count, 3),
        "peak_memory_mb": peak_memory_mb(model.device),
    }
    settled: dict[str, Any] = {"size": run.size, "scheduler": recipe.scheduler or model.defaults.scheduler}
    if recipe.stride is None:
        settled["steps"] = recipe.steps or model.defaults.steps
    for i, index in enumerate(indices):
        image = finish(run, tricks, images[i], i)
        for call in calls(run.hook.report):
            call(run=run, image=image, index=i)
        single = recipe.single(index).model_copy(update=settled)
        kind: Literal["generated", "edited"] = "generated" if run.source is None else "edited"
        icc = run.source.picture.icc if run.source else None  # its pixels' values are in that space
        size = {"width": image.width, "height": image.height}
        yield Result(image, recipe.seeds[index], index, single, kind, size | facts | run.facts[i], icc)


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


def peak_memory_mb(device: torch.device) -> float:
    """The most memory used: of the device where it is CUDA, else of this process, in MB."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


__all__ = ["Result", "Size", "check_finishers", "check_prompts", "finish", "make", "making", "with_guidance"]
