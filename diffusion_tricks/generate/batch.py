"""Pictures of a recipe that go through the loop as one run: begun, and then decoded, finished and told about."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from diffusion_tricks.devices.peak import forget_peak, peak_memory_mb
from diffusion_tricks.diffusion.prompt_grammar import plain
from diffusion_tricks.errors import ModelError
from diffusion_tricks.generate.defaults import schedule_of, settings, settled_tricks
from diffusion_tricks.generate.facts import NOTHING, GivenUp, computed
from diffusion_tricks.generate.finish import finish, finished_raster, notes_of, report
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.strip import labels, strip
from diffusion_tricks.io.colour import from_srgb, to_srgb
from diffusion_tricks.io.pixels import enlarge, to_images
from diffusion_tricks.loading.location import pinned
from diffusion_tricks.registry.function import registered_name
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.blame import blamed
from diffusion_tricks.sampling.request import Sampling

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.model.model import Model
    from diffusion_tricks.recipes.recipe import Recipe
    from diffusion_tricks.registry.trick import Trick
    from diffusion_tricks.sampling.run import Run
    from diffusion_tricks.sampling.step import Step

PICTURES = 8  # that go through the loop together; the rest are begun later: what runs need does not grow with `count`


@dataclass
class Batch:
    """Pictures of one recipe that go through the loop as one run, and what was noted of it.

    recipe, tricks: with nothing left open. indices: which of the recipe's pictures. seconds: that they took so far.
    most: rows of one step, at the most. evaluations: steps, by stage. given_up: for memory, where that is known.
    """

    recipe: Recipe
    tricks: list[Trick[Any]]
    indices: range
    max_rows: int | None
    run: Run
    seconds: float = 0.0
    most: int = 0
    evaluations: list[int] = field(default_factory=list)
    given_up: GivenUp = NOTHING

    @classmethod
    def begun(
        cls, recipe: Recipe, model: Model, tricks: list[Trick[Any]], indices: range, max_rows: int | None
    ) -> Self:
        """Pictures of a recipe whose run is ready to go."""
        began = time.perf_counter()
        forget_peak(model.device)
        prompt = [recipe.prompt[i] for i in indices] if isinstance(recipe.prompt, list) else recipe.prompt
        seeds = [recipe.seeds[i] for i in indices]
        run = begin(model, Sampling(prompt=prompt, seeds=seeds, max_rows=max_rows, **schedule_of(recipe)), tricks)
        seconds = time.perf_counter() - began
        return cls(recipe, tricks, indices, max_rows, run, seconds, evaluations=[0 for _ in run.stages])

    @property
    def rows(self) -> int:
        """That the models of all stages have computed."""
        return sum(stage.rows for stage in self.run.stages)

    def saw(self, step: Step) -> None:
        """Notes a step of the run."""
        self.most = max(self.most, step.rows)
        self.evaluations[step.stage - 1] += 1

    def finished(self) -> Iterator[Result]:
        """The pictures, once the run has ended: each is finished when it is asked for."""
        recipe, run = self.recipe, self.run
        began = time.perf_counter()
        images = _decoded(run)
        self.seconds += time.perf_counter() - began
        facts, last = self._facts(), run.stages[-1]
        settled = {"model": pinned(recipe.model, run.model.name, run.model.revision), "size": last.size}
        settled |= settings(recipe, run) | {"tricks": settled_tricks(recipe, self.tricks, run)}
        for i, index in enumerate(self.indices):
            unfinished = enlarge(images[i], recipe.enlarge)
            icc = run.source.picture.icc if run.source else None
            image = finish(last, self.tricks, from_srgb(unfinished, icc) if icc else unfinished, i, icc)
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

    def _facts(self) -> dict[str, Any]:
        """What is told of every picture alike."""
        run, model = self.run, self.run.model
        facts: dict[str, Any] = {
            "model": model.name,
            **({"revision": model.revision} if model.revision else {}),
            **({"lora": [lora.name for lora in model.loras]} if model.loras else {}),
            **computed(run, self.max_rows, self.most, self.given_up),
            "steps": sum(self.evaluations),
            "rows_per_step": self.most // run.count,
            "rows_total": self.rows // run.count,
            "seconds": round(self.seconds / run.count, 3),
            "peak_memory_mb": peak_memory_mb(model.device),
        }
        if run.following is not None:
            facts["stages"] = [
                {
                    "model": stage.model.name, "size": list(stage.size), "steps": steps,
                    "rows_total": stage.rows // run.count,
                } | ({"revision": stage.model.revision} if stage.model.revision else {})
                for stage, steps in zip(run.stages, self.evaluations, strict=True)
            ]  # fmt: skip
        return facts


def batches(count: int) -> Iterator[range]:
    """Which of so many pictures go through the loop together."""
    return (range(first, min(first + PICTURES, count)) for first in range(0, count, PICTURES))


def joined(versions: Sequence[Batch], tricks: Sequence[Trick[Any]]) -> Iterator[Result]:
    """The pictures of batches that have gone through the loop; those of several versions as one strip each.

    tricks: which asked for the versions, if any.
    """
    sums = {name for trick in tricks for name in trick.sums}
    named = labels(tricks)
    for versions_of_one in zip(*(batch.finished() for batch in versions), strict=True):
        yield strip(versions_of_one, sums, named)


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
