"""A command line whose picture stands for many, carried out. No torch here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from diffusion_tricks.errors import OutputError, UsageError
from diffusion_tricks.recipes.paths import edited_picture
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.many.inputs import Input, Inputs, is_many, pictures_of
from diffusion_tricks_cli.many.jobs import Job, check_names, job, of_pictures
from diffusion_tricks_cli.many.ledger import FILE, VERSION, Manifest
from diffusion_tricks_cli.many.names import home_of
from diffusion_tricks_cli.many.run import Judged, Tally, judged, run
from diffusion_tricks_cli.output import remark
from diffusion_tricks_cli.plan_table import show_plan
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.work import Say

OF_MANY = ("resume", "on_error", "manifest")


def means_many(recipe: Recipe, settings: Settings) -> bool:
    """Whether a recipe's picture stands for many. Raises UsageError for settings of many where it is one, or none."""
    said = edited_picture(recipe)
    if said is not None and is_many(said):
        return True
    given = [name for name in OF_MANY if getattr(settings, name) != getattr(Settings, name)]
    if given and not settings.sweeps:
        raise UsageError(f"`{given[0]}` is for many pictures, as of a folder, 'in/*.jpg' or @list.txt; leave it out")
    return False


def with_its_mask(recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe of one picture with the mask of its name, if there are masks. Raises UsageError where it has none."""
    said = edited_picture(recipe)
    if settings.masks is None:
        return recipe
    if said is None:
        raise UsageError("`masks` are of pictures that are edited, and this makes one; leave them out")
    (one,), _ = of_pictures(recipe, [Input(said)], settings.masks)
    if one.problem:
        raise one.problem
    return one.recipe


def each_picture(recipe: Recipe, settings: Settings, label: str) -> list[Job]:
    """A job for each picture that a recipe's one stands for. Raises UsageError for names that are none for many."""
    if settings.output is None:
        raise UsageError("many pictures need names: -o 'out/{stem}.png', or a folder, as -o out/")
    check_names(settings)
    said = str(edited_picture(recipe))
    found = without_outputs(pictures_of(said), settings)
    each, notes = of_pictures(recipe, found.pictures, settings.masks)
    for note in (*found.notes, *notes):
        remark(f"Note: {note}", settings)
    return [job(one.recipe, settings, label, one.picture, {}, i, one.problem) for i, one in enumerate(each)]


def without_outputs(found: Inputs, settings: Settings) -> Inputs:
    """The pictures but for those that an earlier run made, where they lie in the folder that is read."""
    path = manifest_of(settings, home_of(str(settings.output)))
    if not (settings.resume and path.is_file()):
        return found
    made = Manifest.found(path).written()
    return replace(found, pictures=tuple(one for one in found.pictures if os.path.realpath(one.file) not in made))


def manifest_of(settings: Settings, home: Path) -> Path:
    """Where the journal of a run stands."""
    return Path(settings.manifest) if settings.manifest is not None else home / FILE


def opened(settings: Settings, home: Path, label: str) -> Manifest:
    """The journal of the run to go on with, or a new one, which is not written yet. Raises OutputError where there is
    one of another run."""
    path = manifest_of(settings, home)
    if not path.exists() or (settings.force and not settings.resume):
        return Manifest(path)
    if not settings.resume:
        raise OutputError(f"{path} is of an earlier run; go on with it by `resume`, begin anew by `force`, or choose "
                          "another folder")  # fmt: skip
    ledger = Manifest.found(path)
    if not ledger.lines:  # stopped before its first line was whole
        path.unlink()
        return Manifest(path)
    if ledger.command != label:
        raise UsageError(f"{path} is of `{ledger.command}`, and this is `{label}`; choose another folder")
    return ledger


def with_seed(recipe: Recipe, ledger: Manifest) -> Recipe:
    """The recipe with a seed: its own, that of the run to go on with, or one that is drawn."""
    if recipe.seed is None and recipe.picture is None and ledger.lines and ledger.seed is not None:
        recipe = recipe.model_copy(update={"seed": ledger.seed})
    return recipe.resolved()


def carried(jobs: list[Job], ledger: Manifest, settings: Settings, said: Say) -> Tally | None:
    """Does the jobs, and keeps the journal; None where they were only to be shown."""
    verdicts = judged(jobs, ledger)
    if remarked := said(jobs[0].recipe):
        remark(remarked, settings)
    if settings.dry_run:
        show(verdicts, settings)
        return None
    seed = jobs[0].recipe.seed
    with begun(ledger, seed if isinstance(seed, int) else None, jobs[0].label).alone():
        return run(verdicts, ledger, settings)


def begun(ledger: Manifest, seed: int | None, label: str) -> Manifest:
    """The journal with its first line on the disk."""
    if not ledger.lines:
        ledger.path.unlink(missing_ok=True)
        first = {"manifest": VERSION, "command": label, "seed": seed}
        ledger.lines = Manifest.begun(ledger.path, [first]).lines
    return ledger


def show(verdicts: Judged, settings: Settings) -> None:
    """Prints what would be done, and the plan of one job."""
    for one, verdict in verdicts:
        facts: Mapping[str, str] = {
            **one.about, "path": str(one.output.pictures[0]), "state": "kept" if verdict.kept else verdict.why,
            **({"error": str(one.problem)} if one.problem else {}),
        }  # fmt: skip
        echo(json.dumps(facts, ensure_ascii=False) if settings.json else "  ".join(facts.values()))
    show_plan(verdicts[0][0].recipe, settings)
