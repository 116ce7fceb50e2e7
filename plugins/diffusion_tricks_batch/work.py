"""A worker: makes groups of jobs with one load of their model, and finishes each while the next is denoised."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from diffusion_tricks import Model, Recipe, Result, Scorer, load_model, made_together, make
from diffusion_tricks.plugin import Ledger, recipe_from, scorer_named
from diffusion_tricks_batch.groups import Group, Item, alone
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome, failure_of
from diffusion_tricks_batch.records import task_of

FACTS = ("path", "seed", "index", "width", "height", "steps", "rows_total", "changed_outside", "seam", "score")


class Worker:
    """Makes pictures. how: they are made and written. ledger: that it notes in what it does. name: of the worker.

    denoised: seconds that it has spent in the loop so far.
    """

    def __init__(self, how: How, ledger: Ledger, name: str):
        self.how, self.ledger, self.name = how, ledger, name
        self.denoised = 0.0
        self._models: dict[str, Model] = {}

    def outcomes(self, groups: Iterable[Group]) -> Iterator[Outcome]:
        """The outcome of every job that is to be made; those of a group come while the next is denoised."""
        left, again = iter(groups), deque[Group]()
        waiting: list[tuple[Group, Future[Outcome]]] = []
        with ThreadPoolExecutor(1) as behind:
            while True:
                group = again.popleft() if again else next(left, None)
                if group is None and not waiting:
                    return
                finishing = [(group, behind.submit(done)) for done in self._denoised(group)] if group else []
                yield from self._told(waiting, again)
                waiting = finishing

    def _told(self, waiting: Iterable[tuple[Group, Future[Outcome]]], again: deque[Group]) -> Iterator[Outcome]:
        """The outcomes, once they are there; what another try may mend is put among those to try again instead."""
        for group, future in waiting:
            outcome = future.result()
            if outcome.failure and outcome.failure.passing and group.tries < self.how.retry:
                again.append(alone(group, outcome.key))
                continue
            yield outcome

    def _denoised(self, group: Group) -> list[Callable[[], Outcome]]:
        """What finishes each job of a group that is to be made."""
        self.ledger.begin(*(task_of(item) for item in group.items if item.make))
        began = time.perf_counter()
        finishes = self._together([recipe_from(item.recipe, item.key) for item in group.items])
        seconds = time.perf_counter() - began
        self.denoised += seconds
        share = seconds / len(group.items)
        pairs = zip(group.items, finishes, strict=True)
        return [partial(self._finished, item, finish, share) for item, finish in pairs if item.make]

    def _together(self, recipes: Sequence[Recipe]) -> Sequence[Callable[[], list[Result]]]:
        try:
            model = self._model(recipes[0])
            if model is None:  # pictures that are only finished
                return [partial(make, recipe, scorer=self._scorer) for recipe in recipes]
            return made_together(recipes, model, max_rows=self.how.max_rows, scorer=self._scorer)
        except Exception as error:  # of whatever kind: a bad group never stops the rest
            return [partial(_raised, error)] * len(recipes)

    def _finished(self, item: Item, finish: Callable[[], list[Result]], seconds: float) -> Outcome:
        """Decodes, scores and writes the pictures of a job, and notes it."""
        task = task_of(item)
        try:
            facts = self._written(item, finish())
        except Exception as error:
            failure = failure_of(error)
            return Outcome(item.key, self.name, self.ledger.failed(task, failure.data()), failure, seconds)
        return Outcome(item.key, self.name, self.ledger.done(task, facts=facts), None, seconds)

    def _written(self, item: Item, results: Sequence[Result]) -> list[dict[str, Any]]:
        """Writes the pictures of a job; gives the facts of each."""
        facts = []
        for result, path in zip(results, item.paths, strict=True):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            told = result.save(
                path, force=item.ours, inputs=item.inputs, hashes=item.inputs, metadata=self.how.metadata,
                provenance=self.how.provenance, keep_gps=self.how.keep_gps, quality=self.how.quality,
            )  # fmt: skip
            told["path"] = self.ledger.relative(Path(path))
            facts.append({name: told[name] for name in FACTS if told.get(name) is not None})
        return facts

    def _model(self, recipe: Recipe) -> Model | None:
        """The model of a recipe, None for a picture that is only finished; another takes the place of the last."""
        if recipe.picture is not None:
            return None
        asked = json.dumps([recipe.model, recipe.lora, recipe.upscaler])
        if asked not in self._models:
            self._models.clear()
            self._models[asked] = load_model(
                recipe.model, loras=recipe.lora, upscaler=recipe.upscaler or None, device=self.how.device,
                dtype=self.how.dtype, memory=self.how.memory, quantize=self.how.quantize, compile=self.how.compile,
            )  # fmt: skip
        return self._models[asked]

    @cached_property
    def _scorer(self) -> Scorer | None:
        return scorer_named(self.how.scorer) if self.how.scores else None


def _raised(error: Exception) -> list[Result]:
    raise error
