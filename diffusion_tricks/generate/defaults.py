"""What a recipe leaves open, settled: guidance that nobody asked for, and what models are run with by default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.levels import flows
from diffusion_tricks.diffusion.schedulers import scheduler_for
from diffusion_tricks.diffusion.steps import follows_stride
from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.loading.download import folder_here
from diffusion_tricks.loading.location import location_of
from diffusion_tricks.loading.outlines import Said, said_of
from diffusion_tricks.model.cascade import needs_upscaling, nothing_upscaled
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.branch import options_in_full, within
from diffusion_tricks.registry.calls import guarded
from diffusion_tricks.registry.entry import TrickEntry
from diffusion_tricks.registry.trick import branches, spanned
from diffusion_tricks.types import Spans

if TYPE_CHECKING:
    from diffusion_tricks.model.model import Model
    from diffusion_tricks.registry.trick import Trick
    from diffusion_tricks.sampling.run import Run

T = TypeVar("T")
MANY = 10  # steps; models that make fewer are distilled to them


def settled(
    recipe: Recipe, tricks: list[Trick[Any]], model: Model, said: Said | None = None
) -> tuple[Recipe, list[Trick[Any]]]:
    """The recipe with what is on by default, and its tricks. Raises UsageError where nothing is asked.

    said: what is known of the model, else by the recipe's name.
    """
    recipe, tricks = with_frame(recipe, tricks, model)
    second = second_guidance(recipe, model, spanned(tricks))
    recipe, tricks = with_guidance(recipe, tricks, model.defaults.guidance, second)
    check_prompts(recipe, tricks, said)
    return with_stride(recipe, tricks, model), tricks


def second_guidance(recipe: Recipe, model: Model, spans: Spans = "none") -> float | None:
    """The scale of the later stages, or None where there are none, or where each has its own."""
    if not needs_upscaling(model, recipe.size, spans) or model.second is None:
        if recipe.upscale_guidance is not None:
            raise nothing_upscaled(recipe.size or model.family.size)
        return None
    if recipe.upscale_guidance is not None or model.second.second is not None:
        return recipe.upscale_guidance
    return model.second.defaults.guidance


def with_guidance(
    recipe: Recipe, tricks: list[Trick[Any]], scale: float, upscale_scale: float | None = None
) -> tuple[Recipe, list[Trick[Any]]]:
    """The recipe with guidance at `scale`, and at `upscale_scale` in later stages, unless its tricks hold one.

    The trick that is added is the one registered with `automatic="guidance"`; the core knows it by that alone.
    """
    if any(trick.place == "guidance" for trick in tricks):
        if (recipe.guidance, recipe.negative, recipe.upscale_guidance) != (None, None, None):
            raise UsageError("guidance is given twice: as a trick and as guidance/negative; set it in one place")
        return recipe, tricks
    automatic = [e for e in host().entries("trick").values() if e.notes.get("automatic") == "guidance"]
    if not automatic:
        return recipe, tricks
    options: dict[str, Any] = {"scale": scale if recipe.guidance is None else recipe.guidance}
    if recipe.negative is not None:
        options["negative"] = recipe.negative
    if upscale_scale is not None:
        options["upscale_scale"] = upscale_scale
    entry = TrickEntry(trick=automatic[0].name, **options)
    plain = {"guidance": None, "negative": None, "upscale_guidance": None, "tricks": [*recipe.tricks, entry]}
    return recipe.model_copy(update=plain), [*tricks, entry.build()]


def with_stride(recipe: Recipe, tricks: Sequence[Trick[Any]], model: Model) -> Recipe:
    """The recipe with the stride that one of its tricks asks for, unless it says which steps are made.

    Models that make few steps keep theirs, and so do schedules that no stride fits: a flow's, and those of schedulers
    that follow no timesteps but their own.
    """
    if recipe.steps is not None or recipe.stride is not None or model.defaults.steps < MANY:
        return recipe
    longest = int(model.pipe.scheduler.config.num_train_timesteps)
    asked = (guarded(trick.label(), "stride", trick.stride, longest) for trick in tricks)
    stride = next((stride for stride in asked if stride is not None), None)
    if stride is None:
        return recipe
    with alone_with(model.pipe):
        scheduler = scheduler_for(model.pipe.scheduler, recipe.scheduler or model.defaults.scheduler)
    follows = not flows(scheduler) and follows_stride(scheduler, stride)
    return recipe.model_copy(update={"stride": stride}) if follows else recipe


def with_frame(recipe: Recipe, tricks: list[Trick[Any]], model: Model) -> tuple[Recipe, list[Trick[Any]]]:
    """The recipe at the size that one of its tricks asks for, with what then holds of that trick, and its tricks.

    As it is where it says a size or is enlarged, and where another trick gives pictures a size, or looks at parts of
    them as large as the model makes them.
    """
    if recipe.size is not None or recipe.enlarge > 1:
        return recipe, tricks
    for i, trick in enumerate(tricks):
        if any(other.brings_prompts or other.keeps_size for other in tricks if other is not trick):
            continue
        if framed := guarded(trick.label(), "framed", trick.framed, model.family.shape):
            size, options = framed
            entry = TrickEntry(trick=recipe.tricks[i].trick, **recipe.tricks[i].options | options)
            entries = [*recipe.tricks[:i], entry, *recipe.tricks[i + 1 :]]
            changed = [*tricks[:i], trick.but(**options), *tricks[i + 1 :]]
            return recipe.model_copy(update={"size": size, "tricks": entries}), changed
    return recipe, tricks


def check_prompts(recipe: Recipe, tricks: list[Trick[Any]], said: Said | None = None) -> None:
    """Raises UsageError when nothing says what to make, or what would never be heard does: a prompt beside a trick's.

    A model that takes no prompt needs none, where that is known. said: what is known of it, else by the recipe's name.
    """
    if isinstance(recipe.prompt, list) and len(recipe.prompt) != recipe.count:
        raise UsageError(f"expected one prompt, or one for each of {recipe.count} pictures, got {len(recipe.prompt)}")
    bring = next((trick.label() for trick in tricks if trick.brings_prompts), None)
    if bring and recipe.prompt:
        raise UsageError(f"the prompt {recipe.prompt!r} is not asked, as {bring!r} brings its own; leave it out")
    if recipe.prompt is not None or bring:
        return
    said = said or _known_of(recipe.model)
    if said is None or said.prompts != "none":
        raise UsageError(
            'a prompt is missing; say what to make, for example `prompt="a rabbit"`'
            ' (`prompt=""` for a model that takes none)'
        )


def _known_of(model: str) -> Said | None:
    """What is known of the model of that name; the hub is not asked."""
    with suppress(DiffusionTricksError):  # what is wrong with a model is said when it is loaded
        return said_of(model, folder_here(location_of(model), checked=False))
    return None


def schedule_of(recipe: Recipe) -> dict[str, Any]:
    """What `begin` is to be told of the sizes and steps of a recipe."""
    names = ("steps", "stride", "scheduler", "size", "upscale_steps", "upscale_scheduler", "noise_level",
             "distilled_guidance")  # fmt: skip
    return {name: getattr(recipe, name) for name in names}


def settings(recipe: Recipe, run: Run) -> dict[str, Any]:
    """The settings of a run that the recipe left to its models, for the recipe that makes the same again."""
    defaults = run.model.defaults
    settled: dict[str, Any] = {"scheduler": recipe.scheduler or defaults.scheduler}
    settled["lora"] = list(map(str, run.model.loras)) or recipe.lora
    settled["upscaler"] = _upscalers(recipe, run)
    if recipe.stride is None:
        settled["steps"] = recipe.steps or defaults.steps
    if run.model.family.shape.distilled:
        own = defaults.distilled_guidance
        settled["distilled_guidance"] = own if recipe.distilled_guidance is None else recipe.distilled_guidance
    later = [stage.model.defaults for stage in run.stages[1:]]
    if later:
        settled["upscale_steps"] = recipe.upscale_steps or _agreed(own.steps for own in later)
        settled["upscale_scheduler"] = recipe.upscale_scheduler or _agreed(own.scheduler for own in later)
        level = _agreed(own.noise_level for own in later)
        settled["noise_level"] = level if recipe.noise_level is None else recipe.noise_level
    return settled


def _upscalers(recipe: Recipe, run: Run) -> list[str]:
    """Those of the recipe, each stage that the hub had by its commit; also one of the model's own, where it follows.

    One that lies within a model's directory has no commit, and needs none.
    """
    names = list(recipe.upscaler)
    for i, stage in enumerate(run.stages[1:]):
        if stage.model.revision and i <= len(names):
            names[i : i + 1] = [f"{stage.model.name}@{stage.model.revision}"]
    return names


def settled_tricks(recipe: Recipe, tricks: Sequence[Trick[Any]], run: Run) -> list[TrickEntry]:
    """The recipe's tricks, each with what its options stood for in the run, as `run.settle` was told.

    tricks: as they were run. Options that make the variants of a strip are left as they were said.
    """
    return [_settled(entry, trick, run) for entry, trick in zip(recipe.tricks, tricks, strict=True)]


def _settled(entry: TrickEntry, trick: Trick[Any], run: Run) -> TrickEntry:
    if entry.held:
        return entry
    said = options_in_full(entry)
    options = {name: _settled_within(value, getattr(trick.options, name), run) for name, value in said.items()}
    entry, settled = TrickEntry(trick=entry.trick, **options), run.settled(trick)
    if not settled:
        return entry
    asked = entry.build().options
    same = {name: value for name, value in settled.items() if getattr(asked, name) == getattr(trick.options, name)}
    return TrickEntry(trick=entry.trick, **entry.options | same)


def _settled_within(value: Any, read: Any, run: Run) -> Any:
    """The value of an option, with what those of tricks in a place of prompts stood for; read: as it is checked."""
    inner = (trick for branch in branches(read) for trick in branch.built)
    return within(value, lambda entry: _settled(entry, next(inner), run))


def _agreed(values: Iterable[T]) -> T | None:
    """What all of them are; None where they differ, and a recipe leaves it to each stage's model."""
    first, *others = values
    return first if all(value == first for value in others) else None
