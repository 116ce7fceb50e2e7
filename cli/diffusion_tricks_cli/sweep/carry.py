"""A sweep, carried out: its pictures, and the sheets that show them side by side. No torch here."""

from __future__ import annotations

from dataclasses import replace

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.atomic import check_place
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.many.carry import carried, opened, with_seed
from diffusion_tricks_cli.many.jobs import check_names
from diffusion_tricks_cli.many.names import home_of
from diffusion_tricks_cli.many.run import Tally, made_folders
from diffusion_tricks_cli.output import remark
from diffusion_tricks_cli.sweep.axes import axes_of
from diffusion_tricks_cli.sweep.cells import cells
from diffusion_tricks_cli.sweep.sheets import Sheets
from diffusion_tricks_cli.work import Say


def swept(recipe: Recipe, settings: Settings, label: str, said: Say) -> Tally | None:
    """Makes a picture for each combination of values, and the sheets of them; None where nothing was to be made.

    Raises UsageError for what cannot be swept.
    """
    if recipe.count > 1:
        raise UsageError(f"a sweep makes one picture for each value, got count {recipe.count}; sweep `seed` instead, as"
                         " seed=1-4")  # fmt: skip
    axes = axes_of(settings.sweeps, recipe)
    check_names(settings, [axis.word for axis in axes])
    settings = replace(settings, output=settings.output or f"{label}-sweep/")
    home = home_of(str(settings.output))
    ledger = opened(settings, home, label)
    jobs = cells(with_seed(recipe, ledger), settings, label, axes)
    sheets = Sheets(home, axes, jobs)
    _check(sheets, settings)
    tally = carried(jobs, ledger, settings, said)
    if tally is not None:
        for note in sheets.write(tally):
            remark(f"Note: {note}", settings)
        table, page, *grids = map(str, sheets.files)
        remark(f"side by side in {page} and {', '.join(grids[:3])}, in numbers in {table}", settings)
    return tally


def _check(sheets: Sheets, settings: Settings) -> None:
    """Raises UsageError where a sheet cannot be written, or is called as a picture."""
    pictures = {path.resolve() for job in sheets.jobs for path in job.output.files}
    with made_folders(iter([sheets.home]), keep=False):
        for path in sheets.files:
            if path.resolve() in pictures:
                raise UsageError(f"{path} is where the sweep itself is shown; give its pictures another name")
            check_place(path, force=settings.force or settings.resume)
