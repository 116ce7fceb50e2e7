"""The tricks of a recipe played on a stand-in of its model: what they cost, and what fails before weights are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from typing import Any

from PIL import Image

from diffusion_tricks.diffusion.prompt_grammar import composed, switches
from diffusion_tricks.errors import PluginError
from diffusion_tricks.families.activations import activations
from diffusion_tricks.generate.cost import Plan, Stage
from diffusion_tricks.generate.defaults import schedule_of, settings, settled
from diffusion_tricks.generate.finish import check_settings, finish
from diffusion_tricks.generate.outline import check_loras, check_upscalers, known_stages, stand_in
from diffusion_tricks.generate.strip import versions
from diffusion_tricks.io.pixels import enlarged_size
from diffusion_tricks.loading.download import settings_folder
from diffusion_tricks.loading.location import upscaler_named
from diffusion_tricks.model.cascade import needs_upscaling
from diffusion_tricks.model.model import Model
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.branch import outline
from diffusion_tricks.registry.trick import Trick, spanned
from diffusion_tricks.sampling.begin import begin
from diffusion_tricks.sampling.loop import denoise
from diffusion_tricks.sampling.prompts import written
from diffusion_tricks.sampling.request import Sampling
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.tricks import nested, order

FIRST_STEPS = 2  # of a run that is tried before its model is loaded
UPSCALING = ("upscale_steps", "upscale_guidance", "upscale_scheduler", "noise_level")  # of a recipe


def cost_of(recipe: Recipe) -> Plan:
    """The cost of a recipe whose seed is set, by all steps on a stand-in. Raises what making it would raise."""
    check_loras(recipe.model, recipe.lora)
    check_upscalers(recipe.upscaler)
    model, known = stand_in(recipe.model, recipe.size, recipe.upscaler, recipe.lora)
    spans = spanned(recipe.build())
    if not known and not needs_upscaling(model, recipe.size, spans):  # it may turn out to be, once the model is here
        recipe = recipe.model_copy(update=dict.fromkeys(UPSCALING))
    recipe, tricks = _settled(recipe, model)
    costs: list[list[list[tuple[int, int, int]]]] = []
    for run in _runs(recipe, model, tricks):
        costs.append([[] for _ in run.stages])
        for step in denoise(run):
            costs[-1][step.stage - 1].append((step.rows, step.spared, step.differentiated))
        _finished(run, recipe.enlarge)
    named = settings(recipe, run)
    stages = [
        Stage(
            stage.model.name, stage.size,
            named["scheduler" if stage.stage == 1 else "upscale_scheduler"] or type(stage.scheduler).__name__,
            [rows for cost in costs for rows, _, _ in cost[stage.stage - 1]],
            sum(spared for cost in costs for _, spared, _ in cost[stage.stage - 1]),
            kept := max((kept for cost in costs for _, _, kept in cost[stage.stage - 1]), default=0),
            _activations(stage, kept),
        )
        for stage in run.stages
    ]  # fmt: skip
    names = [trick.label() for trick in tricks]
    tree = [line for trick in tricks for line in outline(trick)] if nested(tricks) else []
    return Plan(
        model.name, known, stages[-1].size, stages[0].scheduler, recipe.count, order(tricks), names, tree, stages,
        schedules_of(run),
    )  # fmt: skip


def _activations(stage: Run, rows: int) -> int | None:
    """Bytes that a gradient with respect to so many rows keeps in a stage; None where that cannot be told."""
    return activations(stage.model.pipe.parts, rows, stage.latent_shape[1:]) if rows else 0


def schedules_of(run: Run) -> dict[str, list[tuple[int, str]]]:
    """The steps, of the whole schedule, from which on each prompt is what; of those that change."""
    parts = [part.text for prompt in written(run, run.prompt) if prompt for part in composed(prompt)]
    changes = {part: switches(part, run.whole_steps) for part in parts}
    return {part: said for part, said in changes.items() if len(said) > 1}


def check_before(recipe: Recipe) -> None:
    """Raises what making a recipe would, as far as it shows before its model is loaded, which may take minutes.

    That is by the first steps on a stand-in, where the model's shape is known. Settings of upscalers that the recipe
    names are downloaded: how they are run is not to be guessed. What a plugin cannot do with a stand-in does not count.
    """
    check_loras(recipe.model, recipe.lora)
    for name in recipe.upscaler:
        settings_folder(upscaler_named(name))
    check_upscalers(recipe.upscaler)
    model, known = stand_in(recipe.model, upscaler=recipe.upscaler, loras=recipe.lora)
    if not known or not known_stages(model, recipe.size, spanned(recipe.build())):
        return
    recipe, tricks = _settled(recipe, model)
    for run in _runs(recipe, model, tricks):
        with suppress(PluginError):
            with closing(denoise(run)) as steps:
                deque(islice(steps, FIRST_STEPS))
            _finished(run, recipe.enlarge)


def _settled(recipe: Recipe, model: Model) -> tuple[Recipe, list[Trick[Any]]]:
    """The recipe with what is on by default, and its tricks. Raises UsageError where nothing is asked."""
    check_settings(recipe, tricks := recipe.build())
    return settled(recipe, tricks, model)


def _runs(recipe: Recipe, model: Model, tricks: list[Trick[Any]]) -> Iterator[Run]:
    """The run of the first picture, one for each of its variants."""
    prompt = recipe.prompt[0] if isinstance(recipe.prompt, list) else recipe.prompt
    for version in versions(tricks):
        yield begin(
            model, Sampling(prompt=prompt, seeds=recipe.seeds[:1], **schedule_of(recipe)), version, rehearsal=True
        )


def _finished(run: Run, factor: int) -> None:
    """Lets the tricks finish an empty picture of the size of a run's, for what they may refuse in it."""
    last = run.stages[-1]
    size = enlarged_size(last.size, factor)
    if last.hook.finish_image.get_hookimpls():
        finish(last, list(last.tricks), Image.new("RGB", size), 0)
