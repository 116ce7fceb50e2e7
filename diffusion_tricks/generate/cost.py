"""What making a recipe costs, as data. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from diffusion_tricks.types import Size


@dataclass(frozen=True)
class Stage:
    """The cost of one stage of a picture.

    rows: what its denoiser computes in each of its evaluations. spared: rows of all of them that it need not, as they
    were asked more than once. differentiated: rows of one evaluation whose activations are kept for a gradient, at the
    most. activations: bytes of these in float32; None where that cannot be told.
    """

    model: str
    size: Size
    scheduler: str
    rows: list[int]
    spared: int = 0
    differentiated: int = 0
    activations: int | None = 0

    def data(self) -> dict[str, Any]:
        """As plain data, with the keys of a picture's facts."""
        cost = {"steps": len(self.rows), "rows_per_step": max(self.rows, default=0), "rows_total": sum(self.rows)}
        cost["rows_spared"] = self.spared
        cost["rows_differentiated"] = self.differentiated
        return {"model": self.model, "size": list(self.size), "scheduler": self.scheduler, **cost}


@dataclass(frozen=True)
class Plan:
    """The cost of one picture of a recipe.

    model: None for a picture that is only finished. known: whether the model's shape could be read; if not, `size`,
    `scheduler`, steps and the guidance that is on by default are a guess. order: tricks that shape the estimate,
    outermost first. tree: all and what they ask as lines, indented, where some stand
    in the place of prompts. stages: one, or more for a larger size. schedules: of each prompt that changes along the
    run, the steps from which on it is what.
    """

    model: str | None
    known: bool
    size: Size | None
    scheduler: str | None
    count: int
    order: list[str]
    tricks: list[str]
    tree: list[str]
    stages: list[Stage]
    schedules: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    @property
    def rows(self) -> list[int]:
        """Of each evaluation, in order."""
        return [rows for stage in self.stages for rows in stage.rows]

    @property
    def spared(self) -> int:
        """Rows that the denoiser need not compute, as they were asked more than once."""
        return sum(stage.spared for stage in self.stages)

    @property
    def differentiated(self) -> int:
        """Rows of one evaluation whose activations are kept for a gradient, at the most."""
        return max((stage.differentiated for stage in self.stages), default=0)

    @property
    def gradient_mb(self) -> float | None:
        """The most memory, in MB of float32, that activations take for a gradient; None where that cannot be told."""
        kept = [stage.activations for stage in self.stages]
        return None if None in kept else round(max((one or 0 for one in kept), default=0) / 1e6, 1)

    @property
    def steps(self) -> int:
        """Evaluations of the denoiser; a second-order scheduler makes more than were asked for."""
        return len(self.rows)

    def data(self) -> dict[str, Any]:
        """As plain data, with the keys of a picture's facts."""
        known = {"model": self.model, "model_known": self.known, "size": list(self.size) if self.size else None}
        cost = {"steps": self.steps, "rows_per_step": max(self.rows, default=0), "rows_total": sum(self.rows)}
        cost |= {"rows_spared": self.spared, "rows_differentiated": self.differentiated}
        nesting = {"tricks": self.tricks, "tree": self.tree, "order": self.order, "rows": self.rows}
        stages = {"stages": [stage.data() for stage in self.stages]} if len(self.stages) > 1 else {}
        prompts = {"prompt_schedules": {prompt: list(map(list, said)) for prompt, said in self.schedules.items()}}
        more = {"gradient_mb": self.gradient_mb} | stages | (prompts if self.schedules else {})
        return known | {"scheduler": self.scheduler, "count": self.count} | cost | nesting | more
