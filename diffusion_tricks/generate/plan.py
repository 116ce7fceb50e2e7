"""What a recipe will cost, found by running its tricks on a stand-in of the model's shape; no weights are loaded."""

from __future__ import annotations

from pathlib import Path

from diffusion_tricks.generate.cost import Plan
from diffusion_tricks.generate.finish import check_finishers, check_settings, finish
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.recipes.recipe import Recipe


def plan(recipe: Recipe) -> Plan:
    """What making `recipe` will cost. Raises what making it would raise, but for what only the weights can tell."""
    recipe = recipe.resolved()
    if recipe.picture is not None:
        tricks = recipe.build()
        check_finishers(tricks)
        check_settings(recipe, tricks)
        picture = read_picture(Path(recipe.picture))
        finish(None, tricks, picture.image, 0, picture.icc)
        return Plan(None, True, None, None, recipe.count, [], [trick.label() for trick in tricks], [], [])
    from diffusion_tricks.generate.rehearsal import cost_of  # here, as it needs torch, and what is above does not

    return cost_of(recipe)
