"""Several recipes made at once: what all of them ask of the model at one timestep goes through it in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, zip_longest
from typing import Any

from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.generate.batch import Batch, batches, joined
from diffusion_tricks.generate.best import check_candidates, scored
from diffusion_tricks.generate.defaults import settled
from diffusion_tricks.generate.facts import given_up
from diffusion_tricks.generate.finish import check_settings
from diffusion_tricks.generate.make import checked, finished_picture, fitting, said_by
from diffusion_tricks.generate.result import Result
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks.generate.strip import versions
from diffusion_tricks.model.model import Model
from diffusion_tricks.recipes.likeness import goes_alone
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.trick import Trick, changing
from diffusion_tricks.sampling.loop import denoise_together
from diffusion_tricks.sampling.step import Step

Made = Callable[[], list[Result]]  # gives the pictures of one recipe, or raises why there are none
Watch = Callable[[Step], None] | None


def made_together(
    recipes: Sequence[Recipe],
    model: Model,
    *,
    max_rows: int | None = None,
    scorer: Scorer | None = None,
    watch: Watch = None,
) -> list[Made]:
    """The pictures of several recipes of one model, denoised at once: for each recipe a function that gives its own.

        for made in made_together([Recipe(prompt="a rabbit"), Recipe(prompt="a duck", seed=3)], model):
            made()[0].image.show()

    Each picture is the one that `make` makes of its recipe, but for rounding. Recipes of equal `likeness` share the
    model's calls; any others may stand beside them. Those with tricks that change the model go alone.
    Each function is to be called once: it decodes, finishes and scores what was denoised, and may do so in another
    thread while the next recipes are denoised. It raises what `make` would; where one recipe fails, the others are made
    without it. max_rows: in one call of the model, whoever's they are. scorer, watch: as for `making`.
    Raises UsageError for what is no model, scorer or function.
    """
    checked(model, watch, scorer)
    inside = Scorer() if scorer is None and any(recipe.best_of > 1 for recipe in recipes) else None
    alone = [i for i, recipe in enumerate(recipes) if _alone(recipe)]
    groups = [[i for i in range(len(recipes)) if i not in alone], *([i] for i in alone)]
    went = dict[int, _Order | Exception]()
    for group in groups:
        went |= zip(group, _denoised([recipes[i] for i in group], model, max_rows, watch), strict=True)
    judges = [scorer or (inside if recipe.best_of > 1 else None) for recipe in recipes]
    return [partial(_results, went[i], judge) for i, judge in enumerate(judges)]


@dataclass
class _Order:
    """A recipe on its way.

    candidates: what is made for it, with nothing left open. parts: of each part of its pictures, as far as they are
    begun, one batch, or one for each version of a strip.
    """

    recipe: Recipe
    candidates: Recipe
    tricks: list[Trick[Any]]
    parts: list[list[Batch]] = field(default_factory=list)

    def rounds(self, model: Model, max_rows: int | None) -> Iterator[list[Batch]]:
        """What goes through the loop at a time, begun in its turn; where the model is changed, each by itself."""
        if self.recipe.picture is not None:
            return
        for indices in batches(self.candidates.count):
            every = versions(self.tricks)
            part = [Batch.begun(self.candidates, model, each, indices, max_rows) for each in every]
            self.parts.append(part)
            yield from ([batch] for batch in part) if changing(self.tricks) else [part]


def _alone(recipe: Recipe) -> bool:
    """Whether a recipe goes alone, as does one that cannot tell."""
    try:
        return goes_alone(recipe)
    except DiffusionTricksError:
        return True


def _ordered(recipe: Recipe, model: Model) -> _Order:
    """A recipe whose runs may begin. Raises what making it would."""
    check_candidates(recipe)
    candidates = recipe.resolved().candidates()
    check_settings(candidates, tricks := candidates.build())
    if recipe.picture is not None:
        return _Order(recipe, candidates, tricks)
    fitting(model, recipe)
    return _Order(recipe, *settled(candidates, tricks, model, said_by(model)))


def _denoised(recipes: Sequence[Recipe], model: Model, max_rows: int | None, watch: Watch) -> list[_Order | Exception]:
    """Recipes that went through the loop together; where that fails, each half of them, down to who is to blame."""
    try:
        orders = [_ordered(recipe, model) for recipe in recipes]
        for parts in zip_longest(*(order.rounds(model, max_rows) for order in orders), fillvalue=()):
            _through_the_loop(list(chain(*parts)), watch)
    except Exception as error:
        if len(recipes) == 1:
            return [error]
        halves = recipes[: len(recipes) // 2], recipes[len(recipes) // 2 :]
        return [one for half in halves for one in _denoised(half, model, max_rows, watch)]
    return list(orders)


def _through_the_loop(together: list[Batch], watch: Watch) -> None:
    """Lets batches go through the loop at once; what they cost is shared out by the rows that each had computed."""
    of = {id(stage): batch for batch in together for stage in batch.run.stages}
    began = time.perf_counter()
    with closing(denoise_together([batch.run for batch in together])) as steps:
        for step in steps:
            of[id(step.run)].saw(step)
            if watch is not None:
                watch(step)
    each, gave = (
        (time.perf_counter() - began) / max(1, sum(batch.rows for batch in together)),
        given_up(batch.run for batch in together),
    )
    for batch in together:
        batch.seconds += each * batch.rows
        batch.given_up = gave


def _results(went: _Order | Exception, scorer: Scorer | None) -> list[Result]:
    """The pictures of a recipe that has gone through the loop. Raises what it failed with."""
    if isinstance(went, Exception):
        raise went
    if went.recipe.picture is not None:
        made = finished_picture(went.recipe, went.tricks)
    else:
        made = chain.from_iterable(joined(part, went.tricks) for part in went.parts)
    return list(made if scorer is None else scored(made, scorer, went.recipe.best_of))
