"""What makes and scores pictures: a few steps to try one, or all of them, upscaled, to keep it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from diffusion_tricks import Model, Recipe, Result, Scorer, TrickEntry, making
from diffusion_tricks_search.asked import HOME, Arm, Asked

SHARE = 3  # one part in so many of the model's own steps is enough to see promise
Tell = Callable[[str], None]


def joint(alignment: float, concealment: float) -> float:
    """J = sqrt( max(A, 0) C ), 0..1: high only where both are, as any geometric mean is."""
    return math.sqrt(max(alignment, 0.0) * concealment)


def scores_of(result: Result) -> dict[str, Any]:
    """A, C, J and sep_min of a picture that was scored, and what each view shows."""
    score = result.score
    assert score is not None  # as a scorer was given
    views = [
        {"name": v.name, "prompt": v.prompt, "alignment": v.alignment, "rank": v.rank, "margin": v.margin}
        for v in score.views
    ]
    return {
        "alignment": score.alignment, "concealment": score.concealment,
        "joint": joint(score.alignment, score.concealment), "sep_min": score.sep_min, "views": views,
    }  # fmt: skip


def recipe_for(asked: Asked, arm: Arm, seed: int, **more: Any) -> Recipe:
    """The recipe of one picture, the same as the command `anagram` would make it."""
    options = {} if asked.balance == "off" else {"balance": asked.balance}
    anagram = TrickEntry(trick="anagram", views=[(HOME, arm.first), (arm.view, arm.second)], **options)
    how = {"guidance": asked.guidance, "scheduler": asked.scheduler}
    return Recipe(model=asked.model, seed=seed, tricks=[anagram], **how, **more)


def full(asked: Asked, arm: Arm, seed: int, model: Model) -> Recipe:
    """The recipe of a picture that is kept."""
    return recipe_for(asked, arm, seed, steps=asked.final_steps, size=asked.size or largest(model))


def largest(model: Model) -> tuple[int, int] | None:
    """What the model makes with its upscaler; None, its own size, where it has none."""
    if model.second is None:
        return None
    factor = int(getattr(model.second.behind(model).family, "factor", 1))
    width, height = model.family.size
    return width * factor, height * factor


def few_steps(asked: Asked, model: Model) -> int:
    """Of what is tried."""
    return asked.steps or max(1, model.defaults.steps // SHARE)


@dataclass(frozen=True)
class Bench:
    """What makes and scores pictures. rows: in one call of the denoiser at the most."""

    model: Model
    scorer: Scorer
    rows: int | None = None

    def results(self, recipe: Recipe) -> Iterator[Result]:
        """The pictures of a recipe with their scores."""
        return making(recipe, self.model, scorer=self.scorer, max_rows=self.rows)
