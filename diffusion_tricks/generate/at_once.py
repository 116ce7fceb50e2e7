"""How many pictures of a recipe memory holds at once, by the configuration of its model; no weights are loaded.

pictures = rows that fit / rows of one step
"""

from __future__ import annotations

from diffusion_tricks.devices.capacity import rows_that_fit
from diffusion_tricks.devices.choice import default_dtype, device_of, dtype_of
from diffusion_tricks.generate.outline import stand_in
from diffusion_tricks.generate.plan import plan
from diffusion_tricks.recipes.recipe import Recipe


def pictures_that_fit(recipe: Recipe, device: str = "auto", dtype: str = "auto") -> int | None:
    """How many pictures of a recipe a model takes in one call with the memory that is free now, 1 or more.

    None where that cannot be told: of the model's network or of the device nothing is known, or no model is asked.
    Weights that are still to be loaded are not counted; rows that turn out not to fit are taken in parts.
    Raises what making the recipe would raise, but for what only the weights can tell.
    """
    where = device_of(device)
    if recipe.picture is not None:
        return None
    model, known = stand_in(recipe.model, recipe.size, recipe.upscaler, recipe.lora)
    config = model.pipe.parts.get(model.family.part)
    if not known or config is None:
        return None
    first = plan(recipe).stages[0]
    shape = model.family.shape
    side = shape.scale if "block_out_channels" in config else shape.multiple
    tokens = (first.size[0] // side) * (first.size[1] // side)
    rows = rows_that_fit(config, tokens, where, dtype_of(dtype) or default_dtype(where))
    return None if rows is None else max(1, rows // max(first.rows, default=1))
