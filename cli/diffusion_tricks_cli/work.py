"""From a recipe to files: the one way that every making command goes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusion_tricks.errors import DiffusionTricksError, OutputError, OutputFailed, UsageError
from diffusion_tricks.generate.strip import versions
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.lazy import importing
from diffusion_tricks.model.vocabulary import unknown_note
from diffusion_tricks.recipes.paths import paths
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.sampling.tricks import refuse_clashes
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.failures import say_error
from diffusion_tricks_cli.output import Output, remark, say
from diffusion_tricks_cli.plan_table import show_plan
from diffusion_tricks_cli.progress import Progress
from diffusion_tricks_cli.streams import apart

NAME_LENGTH = 255  # bytes of a file's name at the most
Say = Callable[[Recipe], str]
OF_MODELS = ("device", "dtype", "max_rows", "memory", "quantize", "compile")

if TYPE_CHECKING:
    from diffusion_tricks.generate.result import Result
    from diffusion_tricks.generate.score import Scorer
    from diffusion_tricks.model.model import Model
    from diffusion_tricks.sampling.step import Step
    from diffusion_tricks_cli.film import Films


def silent(recipe: Recipe) -> str:
    """Nothing to say of a recipe."""
    return ""


def carry_out(recipe: Recipe, settings: Settings, label: str, inputs: Iterable[Path] = (), said: Say = silent) -> None:
    """Makes a recipe's pictures and says where they are; ends with exit code 1 if one could not be written.

    label: begins the name of pictures that are given none. inputs: files that may not be overwritten, beside those
    that the recipe reads. said: gives a remark to make once all that is known without a model is in order. All that can
    be checked without a model is checked first.
    """
    recipe = recipe.resolved()
    if recipe.picture is not None and recipe.count > 1:
        raise UsageError(f"a picture that is only finished is one picture, got --count {recipe.count}; leave it out")
    output = Output(recipe, settings, label, inputs)
    try:
        _carry_out(recipe, settings, output, said(recipe))
    except DiffusionTricksError as error:
        error.about = about(output.pictures[0], output.seeds[0]) if recipe.count == 1 else {}
        raise


def _carry_out(recipe: Recipe, settings: Settings, output: Output, said: str) -> None:
    check_asked(recipe, settings)
    check_pictures(recipe)
    output.check()
    if said:
        remark(said, settings)
    for prompt in named_as_files(recipe):
        remark(f"Note: the prompt {prompt!r} names a file, but is asked as words; in a trick picture:{prompt} asks for"
               f" what it shows, and edit {prompt} begins with it", settings)  # fmt: skip
    note_idle(recipe, settings)
    if settings.dry_run:
        show_plan(recipe, settings)
        return
    if made(recipe, settings, output, None).errors:
        click.get_current_context().exit(1)


def named_as_files(recipe: Recipe) -> list[str]:
    """The prompts that are also names of files that are there, each once."""
    whole = recipe.prompt if isinstance(recipe.prompt, list) else [recipe.prompt]
    tricks = [one for trick in recipe.build() for one in (trick, *trick.nested)]
    told = [said if isinstance(said, str) else said.prompt for trick in tricks for _, said in trick.asks()]
    prompts = dict.fromkeys(text for text in (*whole, *told) if text)
    return [text for text in prompts if len(text) < NAME_LENGTH and Path(text).suffix and os.path.isfile(text)]


@dataclass
class Made:
    """What came of a recipe: the facts of each picture that was written, and why others were not."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    errors: list[DiffusionTricksError] = field(default_factory=list)


@dataclass
class Ready:
    """The model and the scorer for many recipes, loaded when they are first needed; place: of the recipe among them."""

    settings: Settings
    place: str = ""
    _models: dict[str, Model] = field(default_factory=dict)

    def model(self, recipe: Recipe) -> Model | None:
        """The model of a recipe, None for a picture that is only finished; another takes the place of the last."""
        if recipe.picture is not None:
            return None
        from diffusion_tricks.loading.load import load_model

        asked = json.dumps([recipe.model, recipe.lora, recipe.upscaler])
        if asked not in self._models:
            self._models.clear()
            how = {name: getattr(self.settings, name) for name in OF_MODELS if name != "max_rows"}
            behind = recipe.upscaler or None
            self._models[asked] = load_model(recipe.model, loras=recipe.lora, upscaler=behind, whole=False, **how)
        return self._models[asked]

    @cached_property
    def scorer(self) -> Scorer:
        """What scores."""
        from diffusion_tricks.generate.scorers import scorer_named

        return scorer_named(self.settings.scorer)


def about(path: Path, seed: int | None) -> dict[str, str | int]:
    """What an error is about: the picture, and its seed if it has one."""
    return {"path": str(path)} | ({} if seed is None else {"seed": seed})


def check_asked(recipe: Recipe, settings: Settings) -> None:
    """Raises what of a recipe and the settings cannot go together, whatever the pictures are."""
    refuse_clashes(recipe.build())
    _check_runs(recipe, settings)


def check_pictures(recipe: Recipe) -> None:
    """Raises PictureError for a picture that is not there, before a model is loaded."""
    for path in paths(recipe, of=["argument"]):
        if not path.is_file() or not path.stat().st_size:
            read_picture(path)


def _check_runs(recipe: Recipe, settings: Settings) -> None:
    """Raises UsageError for what cannot be done with so many runs, or with none."""
    runs = len(versions(recipe.build()))
    for name in ("show", "every"):
        if getattr(settings, name) is not None and not settings.steps_out:
            raise UsageError(f"--{name} is of --steps-out, which is missing; name the film or strip with it")
    if settings.steps_out and runs > 1:
        raise UsageError(f"--steps-out shows one run, but {runs} were asked for in a strip; leave one out")
    if settings.steps_out and recipe.best_of > 1:
        raise UsageError(f"--steps-out shows one run, but --best-of makes {recipe.best_of}; leave one out")
    if recipe.best_of > 1:
        from diffusion_tricks.generate.best import check_candidates  # here: it needs torch

        check_candidates(recipe)


def note_idle(recipe: Recipe, settings: Settings) -> None:
    """Says which settings of models were given for a picture that none makes."""
    named = [name for name in OF_MODELS if getattr(settings, name) != getattr(Settings, name)]
    if recipe.picture is not None and named:
        options = " and ".join(f"`{name}`" for name in named)
        remark(f"Note: no model makes a picture that is only finished, so nothing was done with {options}", settings)


def made(recipe: Recipe, settings: Settings, output: Output, ready: Ready | None) -> Made:
    """Makes the pictures of a recipe, and says of each where it is, or why it could not be written.

    ready: what was loaded before; None loads it. Raises OutputFailed where the recipe itself could not be written.
    """
    tricks = recipe.build()
    runs = len(versions(tricks))
    if settings.quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # of downloads
    progress = Progress(
        recipe.count * recipe.best_of * runs, shown=not settings.quiet, ahead=ready.place if ready else ""
    )
    progress.say(f"loading {recipe.model} ..." if recipe.picture is None else "")
    with importing():
        from diffusion_tricks.generate.defaults import check_prompts, with_guidance
        from diffusion_tricks.generate.make import making
        from diffusion_tricks.generate.scorers import scorer_named
        from diffusion_tricks_cli.film import CLEAN, Films

    if recipe.picture is None:
        with_guidance(recipe, tricks, 1.0)
        check_prompts(recipe, tricks)
    scores = settings.scorer or recipe.best_of > 1
    scorer = (ready.scorer if ready else scorer_named(settings.scorer)) if scores else None
    model = ready.model(recipe) if ready else None
    films = Films(output.films, recipe.enlarge, settings.show or CLEAN, settings.every) if output.films else None

    def watch(step: Step) -> None:
        progress(step)
        if films:
            films(step)

    came, untaught = Made(), dict[str, list[str]]()
    try:
        for result in apart(making(
            recipe, model, device=settings.device, dtype=settings.dtype, memory=settings.memory,
            quantize=settings.quantize, compile=settings.compile, max_rows=settings.max_rows, watch=watch,
            scorer=scorer,
        )):  # fmt: skip
            progress.clear()
            untaught |= result.facts.get("unknown_words", {})
            named = str(result.facts["model"])
            _write(result, settings, output, films, came)
        if output.saved_recipe:
            output.saved_recipe.save(len(came.errors), output.before)
    finally:
        progress.clear()
        if films:
            films.close()
        for note in output.unsaid([unknown_note(named, untaught)] if untaught else []):
            remark(f"Note: {note}", settings)
    return came


def _write(result: Result, settings: Settings, output: Output, films: Films | None, came: Made) -> None:
    """Saves one picture and says so; a disk that refuses it costs this picture only."""
    try:
        facts = output.save(result)
        if films and (film := films.of(result.index)):
            film.save(force=settings.force, inputs=output.inputs, before=output.before)
            facts["steps_out"] = str(film.path)
        elif films:
            nothing = f"no step was run, so {output.films[result.index]} was not written"
            facts["notes"] = [*facts.get("notes", ()), nothing]
    except (OutputFailed, OutputError) as error:
        error.about = about(output.pictures[result.index], result.seed)
        say_error(error, settings.json)
        came.errors.append(error)
        return
    for note in output.unsaid(facts.get("notes", ())):
        warns = "changes pixels everywhere" in note
        remark(f"{'Warning' if warns else 'Note'}: {note}", settings)
    say(facts, settings.json)
    came.facts.append(facts)
