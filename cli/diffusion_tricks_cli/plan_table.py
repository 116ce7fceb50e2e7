"""What a recipe would cost, as a table or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks_cli.common import Settings
from diffusion_tricks_cli.printable import echo

if TYPE_CHECKING:
    from diffusion_tricks.generate.cost import Plan


def show_plan(recipe: Recipe, settings: Settings, recipe_too: bool = True) -> None:
    """Prints what a recipe will cost, and the recipe itself."""
    from diffusion_tricks.generate.plan import plan

    planned = plan(recipe)
    if settings.json:
        echo(json.dumps(planned.data() | {"recipe": recipe.data()}, ensure_ascii=False))
        return
    data = planned.data()
    size = _size(planned.size) if planned.size else "as the picture"
    rows = {
        "model": f"{planned.model or 'none'}{'' if planned.known else ' (not on this machine: its costs are a guess)'}",
        "size": size + "".join(f", upscaled from {_size(stage.size)}" for stage in planned.stages[:-1]),
        "scheduler": ", then ".join(stage.scheduler for stage in planned.stages) or "none",
        "pictures": planned.count if recipe.best_of == 1 else f"{planned.count}, each the best of {recipe.best_of}",
        "nesting": _nesting(planned),
        "tricks": ", ".join(planned.tricks) or "none",
        "steps": " + ".join(str(len(stage.rows)) for stage in planned.stages) or "0",
        "rows per step": ", then ".join(_spread(stage.rows) for stage in planned.stages) or "0",
        "rows total": f"{data['rows_total']} a picture",
        **({"rows spared": f"{planned.spared}, asked more than once and computed once"} if planned.spared else {}),
    }
    if planned.differentiated:
        many = "1 row is" if planned.differentiated == 1 else f"{planned.differentiated} rows are"
        much = f"{planned.gradient_mb:,} MB in float32" if planned.gradient_mb else "how much cannot be told"
        rows["gradients"] = f"{many} differentiated: memory holds the activations of all layers for it, {much}"
    if planned.schedules:
        rows["prompts"] = f"\n{' ' * 15}".join(_schedules(planned))
    for name, value in rows.items():
        echo(f"{name + ':':<15}{value}")
    if recipe_too:
        echo(f"\n{recipe.to_toml()}".rstrip())


def _schedules(planned: Plan) -> list[str]:
    """A line for each prompt that changes along the run."""
    return [
        "; ".join(f"{text.strip()!r} from step {step}" for step, text in said) for said in planned.schedules.values()
    ]


def _nesting(planned: Plan) -> str:
    """The tricks that shape the estimate, outermost first; as a tree where some stand in the place of prompts."""
    if planned.model is None:
        return "none"
    apart = f"\n{' ' * 15}" if planned.tree else " > "
    return apart.join([*(planned.tree or planned.order), "model"])


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _spread(rows: list[int]) -> str:
    """`4`, or `4 in 10 steps, 2 in 10` where the cost changes along the run."""
    if len(set(rows)) < 2:
        return str(rows[0] if rows else 0)
    counts = {value: rows.count(value) for value in dict.fromkeys(rows)}
    return ", ".join(f"{value} in {times} steps" for value, times in counts.items())
