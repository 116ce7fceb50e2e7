"""What a recipe will cost, found by running its tricks on a stand-in of the model's shape; no weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusion_tricks.cascade import needs_upscaling
from diffusion_tricks.denoiser import Size
from diffusion_tricks.making import check_finishers
from diffusion_tricks.models.lora import checked
from diffusion_tricks.nesting import order
from diffusion_tricks.recipe import Recipe
from diffusion_tricks.sampler import begin, denoise
from diffusion_tricks.settling import check_prompts, schedule_of, second_guidance, settings, with_guidance
from diffusion_tricks.stand_ins import check_upscalers, stand_in
from diffusion_tricks.variants import versions

UPSCALING = ("upscale_steps", "upscale_guidance", "upscale_scheduler", "noise_level")  # of a recipe

@dataclass(frozen=True)
class Stage:
    """The cost of one stage of a picture; rows: what its denoiser computes in each of its evaluations."""

    model: str
    size: Size
    scheduler: str
    rows: list[int]

    def data(self) -> dict[str, Any]:
        """As plain data, with the keys of a picture's facts."""
        cost = {"steps": len(self.rows), "rows_per_step": max(self.rows, default=0), "rows_total": sum(self.rows)}
        return {"model": self.model, "size": list(self.size), "scheduler": self.scheduler, **cost}


@dataclass(frozen=True)
class Plan:
    """The cost of one picture of a recipe.

    model: None for a picture that is only finished. known: whether the model's shape could be read; if not, `size`,
    `scheduler`, steps and the guidance that is on by default are a guess. order: tricks that shape the estimate,
    outermost first. stages: one, or more for a larger size.
    """

    model: str | None
    known: bool
    size: Size | None
    scheduler: str | None
    count: int
    order: list[str]
    tricks: list[str]
    stages: list[Stage]

    @property
    def rows(self) -> list[int]:
        """Of each evaluation, in order."""
        return [rows for stage in self.stages for rows in stage.rows]

    @property
    def steps(self) -> int:
        """Evaluations of the denoiser; a second-order scheduler makes more than were asked for."""
        return len(self.rows)

    def data(self) -> dict[str, Any]:
        """As plain data, with the keys of a picture's facts."""
        known = {"model": self.model, "model_known": self.known, "size": list(self.size) if self.size else None}
        cost = {"steps": self.steps, "rows_per_step": max(self.rows, default=0), "rows_total": sum(self.rows)}
        nesting = {"tricks": self.tricks, "order": self.order, "rows": self.rows}
        stages = {"stages": [stage.data() for stage in self.stages]} if len(self.stages) > 1 else {}
        return known | {"scheduler": self.scheduler, "count": self.count} | cost | nesting | stages


def plan(recipe: Recipe) -> Plan:
    """What making `recipe` will cost. Raises what making it would raise, but for what only the weights can tell."""
    recipe = recipe.resolved()
    tricks = recipe.build()
    names = [trick.label() for trick in tricks]
    if recipe.picture is not None:
        check_finishers(tricks)
        return Plan(None, True, None, None, recipe.count, [], names, [])
    checked(recipe.lora)
    check_upscalers(recipe.upscaler)
    model, known = stand_in(recipe.model, recipe.size, recipe.upscaler)
    if not known and not needs_upscaling(model, recipe.size):  # it may turn out to be, once the model is here
        recipe = recipe.model_copy(update=dict.fromkeys(UPSCALING))
    recipe, tricks = with_guidance(recipe, tricks, model.defaults.guidance, second_guidance(recipe, model))
    check_prompts(recipe, tricks)
    prompt = recipe.prompt[0] if isinstance(recipe.prompt, list) else recipe.prompt
    costs: list[list[list[int]]] = []
    for version in versions(tricks):
        run = begin(model, prompt=prompt, tricks=version, seeds=recipe.seeds[:1], **schedule_of(recipe))
        costs.append([[] for _ in run.stages])
        for step in denoise(run):
            costs[-1][step.stage - 1].append(step.rows)
    named = settings(recipe, run)
    stages = [
        Stage(
            stage.model.name, stage.size,
            named["scheduler" if stage.stage == 1 else "upscale_scheduler"] or type(stage.scheduler).__name__,
            [rows for cost in costs for rows in cost[stage.stage - 1]],
        )
        for stage in run.stages
    ]  # fmt: skip
    names = [trick.label() for trick in tricks]
    return Plan(
        model.name, known, stages[-1].size, stages[0].scheduler, recipe.count, order(tricks), names, stages
    )  # fmt: skip
