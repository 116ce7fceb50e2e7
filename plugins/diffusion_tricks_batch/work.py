"""A worker: makes groups of jobs with one load of their model, and finishes each while the next is denoised."""

from __future__ import annotations

import json
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from diffusion_tricks import Model, OutOfMemory, Recipe, Result, Scorer, load_model, made_together, make
from diffusion_tricks.plugin import DiffusionTricksError, Ledger, Line, OutputFailed, recipe_from, scorer_named
from diffusion_tricks_batch.groups import Group, Item, again, halves
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome, failure_of, passes
from diffusion_tricks_batch.records import task_of

FACTS = ("path", "seed", "index", "width", "height", "steps", "rows_total", "changed_outside", "seam", "score", "notes")
PAUSE = 1.0  # seconds before the second try; before each further one twice as many

T = TypeVar("T")
Finish = Callable[[], list[Result]]
Finished = Outcome | Exception
Behind = tuple[Group, list[tuple[Item, float, Future[Finished]]]]


class TakenOver(Exception):
    """Another worker has taken over the group of a job."""


class Worker:
    """Makes pictures. how: they are made and written. ledger: that it notes in what it does. name: of the worker.

    holds: whether a group, by its number, is this worker's still; if not, it leaves what it has made of it.
    denoised: seconds that it has spent in the loop so far.
    """

    def __init__(self, how: How, ledger: Ledger, name: str, holds: Callable[[int], bool] = lambda number: True):
        self.how, self.ledger, self.name, self.holds = how, ledger, name, holds
        self.denoised = 0.0
        self._models: dict[str, Model] = {}
        self._unloadable: dict[str, Exception] = {}

    def outcomes(self, groups: Iterable[Group]) -> Iterator[Outcome]:
        """The outcome of every job that is to be made; those of a group come while the next is denoised."""
        left, waiting = iter(groups), deque[Group]()
        behind: Behind | None = None
        with ThreadPoolExecutor(1) as pool:
            while True:
                group = waiting.popleft() if waiting else next(left, None)
                if group is None and behind is None:
                    return
                if group and behind and self._is_of_another_model(group):
                    yield from self._told(*behind, waiting)
                    behind = None  # which holds the model that makes room
                    waiting.append(group)
                    continue
                now = self._begun(group, pool) if group else None
                if behind:
                    yield from self._told(*behind, waiting)
                behind, now = now, None

    def _is_of_another_model(self, group: Group) -> bool:
        """Whether a model must make room for that of a group."""
        recipe = recipe_from(group.items[0].recipe, group.items[0].key)
        held = recipe.picture is not None or not self._models or model_of(recipe) in self._models
        return not held and model_of(recipe) not in self._unloadable

    def _begun(self, group: Group, pool: ThreadPoolExecutor) -> Behind:
        """A group that has been denoised, and is being finished."""
        return group, [(item, seconds, pool.submit(finish)) for item, seconds, finish in self._denoised(group)]

    def _told(
        self, group: Group, futures: Iterable[tuple[Item, float, Future[Finished]]], waiting: deque[Group]
    ) -> Iterator[Outcome]:
        """The outcomes, once they are there; what another try may mend is put among the groups that wait instead."""
        full, passing = [], []
        for item, seconds, future in futures:
            came = future.result()
            if isinstance(came, Outcome):
                yield came
            elif isinstance(came, TakenOver) or not self.holds(group.number):
                continue
            elif isinstance(came, OutOfMemory) and len(group.items) > 1:
                full.append(item.key)
            elif passes(came) and not isinstance(came, OutputFailed) and group.tries < self.how.retry:
                passing.append(item.key)
            else:
                yield self._failed(item, came, seconds)
        waiting.extend(halves(group, full))
        waiting.extend([again(group, passing)] if passing else [])

    def _denoised(self, group: Group) -> list[tuple[Item, float, Callable[[], Finished]]]:
        """Of each job of a group that is to be made: the seconds that it took, and what finishes it."""
        if group.tries:
            time.sleep(PAUSE * 2 ** (group.tries - 1))
        self.ledger.begin(*(task_of(item) for item in group.items if item.make))
        before = self.denoised
        finishes = self._together([recipe_from(item.recipe, item.key) for item in group.items])
        todo = [(item, finish) for item, finish in zip(group.items, finishes, strict=True) if item.make]
        share = (self.denoised - before) / max(1, len(todo))
        return [(item, share, partial(self._finished, group.number, item, finish, share)) for item, finish in todo]

    def _together(self, recipes: Sequence[Recipe]) -> Sequence[Finish]:
        if recipes[0].picture is not None:
            return [partial(make, recipe, scorer=self._scorer) for recipe in recipes]
        try:
            model, scorer = self._model(recipes[0]), self._scorer
            began = time.perf_counter()
            made = made_together(recipes, model, max_rows=self.how.max_rows, scorer=scorer)
        except Exception as error:  # of whatever kind: a bad group never stops the rest
            return [partial(_raised, error)] * len(recipes)
        self.denoised += time.perf_counter() - began
        return made

    def _finished(self, number: int, item: Item, finish: Finish, seconds: float) -> Finished:
        """Decodes, scores and writes the pictures of a job, and notes it; gives the error where that fails."""
        try:
            results = finish()
            if not self.holds(number):
                raise TakenOver
            line = self._tried(partial(self._written, item, results, {}, seconds), OutputFailed)
            return Outcome(item.key, self.name, line, None, seconds)
        except Exception as error:
            return error

    def _tried(self, work: Callable[[], T], *kinds: type[Exception]) -> T:
        """What some work gives, tried again after a pause, each longer, while it raises what another try may mend."""
        for number in range(self.how.retry):
            try:
                return work()
            except kinds as error:
                if not passes(error):
                    raise
                time.sleep(PAUSE * 2**number)
        return work()

    def _written(self, item: Item, results: Sequence[Result], facts: dict[str, dict[str, Any]], seconds: float) -> Line:
        """Writes the pictures of a job of which there are no facts yet, and notes it; gives the line."""
        for result, path in zip(results, item.paths, strict=True):
            if path not in facts:
                made_folder(Path(path).parent)
                told = result.save(
                    path, force=item.ours, inputs=item.inputs, hashes=item.inputs, metadata=self.how.metadata,
                    provenance=self.how.provenance, keep_gps=self.how.keep_gps, quality=self.how.quality,
                    before=self.ledger.foretell,
                )  # fmt: skip
                told["path"] = self.ledger.relative(Path(path))
                facts[path] = {name: told[name] for name in FACTS if told.get(name) is not None}
        return self.ledger.done(task_of(item), facts=list(facts.values()), seconds=round(seconds, 4))

    def _failed(self, item: Item, error: Exception, seconds: float) -> Outcome:
        """Notes that a job failed; what is a fault of the program's is shown whole."""
        if not isinstance(error, DiffusionTricksError):
            traceback.print_exception(error)
        failure = failure_of(error)
        return Outcome(item.key, self.name, self.ledger.failed(task_of(item), failure.data()), failure, seconds)

    def _model(self, recipe: Recipe) -> Model:
        """The model of a recipe; another takes the place of the last. One that cannot be loaded is tried once."""
        asked = model_of(recipe)
        if asked in self._unloadable:
            raise self._unloadable[asked]
        if asked not in self._models:
            self._models.clear()
            try:
                self._models[asked] = self._tried(partial(self._loaded, recipe), Exception)
            except Exception as error:
                if not passes(error):
                    self._unloadable[asked] = error
                raise
        return self._models[asked]

    def _loaded(self, recipe: Recipe) -> Model:
        return load_model(
            recipe.model, loras=recipe.lora, upscaler=recipe.upscaler or None, whole=False, device=self.how.device,
            dtype=self.how.dtype, memory=self.how.memory, quantize=self.how.quantize, compile=self.how.compile,
            channels_last=True,
        )  # fmt: skip

    @cached_property
    def _scorer(self) -> Scorer | None:
        return scorer_named(self.how.scorer) if self.how.scores else None


def model_of(recipe: Recipe) -> str:
    """What is loaded for a recipe."""
    return json.dumps([recipe.model, recipe.lora, recipe.upscaler])


def _raised(error: Exception) -> list[Result]:
    raise error


def made_folder(folder: Path) -> None:
    """Makes a folder unless it is there. Raises OutputFailed where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"the folder {folder} cannot be made: {error.strerror}") from error
