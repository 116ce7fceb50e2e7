"""What a making command carries out: one picture, many, or a sweep. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks_cli import work
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.many import carry
from diffusion_tricks_cli.many.names import home_of
from diffusion_tricks_cli.many.run import end
from diffusion_tricks_cli.sweep.carry import swept
from diffusion_tricks_cli.work import Say, silent


def carry_out(recipe: Recipe, settings: Settings, label: str, inputs: Iterable[Path] = (), said: Say = silent) -> None:
    """Makes what a recipe says: of its picture, of all that this stands for, or for each value of a sweep.

    As `work.carry_out`.
    """
    if settings.sweeps:
        end(swept(recipe, settings, label, said))
        return
    if not carry.means_many(recipe, settings):
        recipe = carry.with_its_mask(recipe, settings)
        work.carry_out(recipe, settings, label, inputs, said)
        return
    ledger = carry.opened(settings, home_of(settings.output or ""), label)
    jobs = carry.each_picture(carry.with_seed(recipe, ledger), settings, label)
    end(carry.carried(jobs, ledger, settings, said))
