"""What a batch will cost: pictures, batches, and rows of all that is denoised. No torch until a recipe is tried."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diffusion_tricks.plugin import DiffusionTricksError, plan
from diffusion_tricks_batch.plan import Ready
from diffusion_tricks_batch.traits import Traits
from diffusion_tricks_batch.trial import but_seed

PLANNED = 50  # recipes that are played through; others of their kind are taken to cost as much


@dataclass(frozen=True)
class Cost:
    """What is to be done. rows: of the denoiser. exact: whether they are counted, or taken from others alike.

    problems: by id, of jobs that cannot be made.
    """

    jobs: int
    make: int
    kept: int
    pictures: int
    batches: int
    rows: int
    exact: bool
    problems: dict[str, DiffusionTricksError]

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "jobs": self.jobs, "make": self.make, "kept": self.kept, "failed": len(self.problems),
            "pictures": self.pictures, "batches": self.batches, "rows_total": self.rows, "exact": self.exact,
        }  # fmt: skip

    def rows_of_table(self) -> Iterator[tuple[str, str]]:
        """Names and values for people."""
        parts = [f"{self.make} to make", f"{self.kept} kept", f"{len(self.problems)} that cannot be made"]
        yield "jobs", f"{self.jobs}: {', '.join(parts)}"
        yield "pictures", str(self.pictures)
        yield "batches", str(self.batches)
        yield "rows total", f"{'' if self.exact else 'about '}{self.rows}"


def cost_of(todo: Ready) -> Cost:
    """The cost of what is to be done. A job whose recipe fails when it is played through cannot be made."""
    recipes = {job.id: job.traits for job in todo.jobs if job.recipe is not None}
    played = _Played()
    problems = dict(todo.problems)
    for key, verdict in todo.verdicts.items():
        if not verdict.kept and (error := played.problem(recipes[key])):
            problems[key] = error
    make = [recipes[job.id] for job, _ in todo.todo if job.id not in problems]
    denoised = [recipes[item.key] for group in todo.groups for item in group.items if item.key not in problems]
    pictures = sum(one.recipe.count for one in make)
    rows = sum(played.rows(one) for one in denoised)
    return Cost(len(todo.jobs), len(make), todo.kept, pictures, len(todo.groups), rows, played.exact, problems)


class _Played:
    """Recipes that were played through, whatever their seeds."""

    def __init__(self) -> None:
        self.exact = True
        self._known: dict[str, int | DiffusionTricksError] = {}
        self._alike: dict[Any, list[int]] = defaultdict(list)

    def problem(self, traits: Traits) -> DiffusionTricksError | None:
        """Why a recipe cannot be made, as far as that was found."""
        found = self._of(traits)
        return found if isinstance(found, DiffusionTricksError) else None

    def rows(self, traits: Traits) -> int:
        """Of all pictures of a recipe."""
        found, recipe = self._of(traits), traits.recipe
        if found is None:
            self.exact = False
            alike = self._alike[traits.kind] or [one for some in self._alike.values() for one in some] or [0]
            found = round(sum(alike) / len(alike))
        return 0 if isinstance(found, DiffusionTricksError) else found * recipe.count * recipe.best_of

    def _of(self, traits: Traits) -> int | DiffusionTricksError | None:
        """Rows of one picture; None for one recipe too many."""
        recipe = traits.recipe
        if recipe.picture is not None:
            return 0
        key = but_seed(recipe)
        if key not in self._known and len(self._known) < PLANNED:
            try:
                self._known[key] = rows = sum(plan(recipe).rows)
                self._alike[traits.kind].append(rows)
            except DiffusionTricksError as error:
                self._known[key] = error
        return self._known.get(key)
