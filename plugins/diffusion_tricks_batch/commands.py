"""The commands `batch`, `status` and `report`. No torch here."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

import click

from diffusion_tricks.plugin import UsageError
from diffusion_tricks_batch.asked import AUTO, Asked
from diffusion_tricks_batch.how import How

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  diffusion-tricks batch jobs.jsonl -o 'out/{id}.png'\n"
    "  diffusion-tricks batch recipe.toml --grid seed=0-99 --grid guidance=3,5,7 -o out\n"
    "  diffusion-tricks batch jobs.jsonl -o out --resume"
)


class Pictures(click.ParamType[int]):
    """A number of pictures, or auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; AUTO for auto."""
        if value == "auto" or value == AUTO:
            return AUTO
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"expected a number of pictures, or auto, got {value!r}", param, ctx)
        return int(value)


@click.command("batch", epilog=EXAMPLES, short_help="many pictures from a list of jobs, or a grid")
@click.argument("jobs", metavar="[JOBS]", required=False)
@click.option("-o", "--output", required=True, metavar="DIR|NAME", help="A folder, or names, as 'out/{id}.png'.")
@click.option("--grid", multiple=True, metavar="NAME=VALUES",
              help="Over a recipe: seed=0-99, guidance=3,5,7, prompt=@prompts.txt; may repeat.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on: make what is missing, or not as it was asked for.")
@click.option("--force", is_flag=True, help="Begin anew, and replace files; never an input.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Of jobs that have none.  [default: drawn, kept]")
@click.option("--batch", "pictures", type=Pictures(), default="auto", show_default=True, metavar="N|auto",
              help="Pictures that go through the model together.")  # fmt: skip
@click.option("--on-error", type=click.Choice(["continue", "stop"]), default="continue", show_default=True)
@click.option("--retry", type=click.IntRange(0), default=1, show_default=True, metavar="N",
              help="Times that what may pass is tried again.")  # fmt: skip
@click.option("--scores/--no-scores", default=True, show_default=True, help="Score what pictures show.")
@click.option("--scorer", help="A CLIP model: name, directory or hub name.  [default: the one inside]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--dtype", type=click.Choice(["auto", "float32", "float16", "bfloat16"]), default="auto",
              show_default=True)  # fmt: skip
@click.option("--memory", default="auto", show_default=True, help="auto, low or lowest.")
@click.option("--quantize", type=click.Choice(["int8", "nf4"]), help="Weights; CUDA only.")
@click.option("--compile", is_flag=True, help="Compile the denoiser.")
@click.option("--max-rows", type=click.IntRange(1), metavar="N", help="Rows in one call, to save memory.")
@click.option("--quality", type=click.IntRange(1, 100), metavar="N", help="Of JPEG, WebP and AVIF.")
@click.option("--no-metadata", is_flag=True, help="Keep no record in the pictures.")
@click.option("--no-provenance", is_flag=True, help="Do not mark pictures as made by a model.")
@click.option("--keep-gps", is_flag=True, help="Keep where photos were taken, which else is left out.")
@click.option("--engine", default="here", show_default=True, help="What brings jobs to workers.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Of the engine.  [default: as many as fit]")
@click.option(
    "--address",
    metavar="ADDRESS",
    help="Of a Ray cluster: auto, HOST:PORT, ray://HOST:PORT.  [default: RAY_ADDRESS, or this machine]",
)
@click.option("--collect", is_flag=True, help="Ray: send pictures back, where workers share no disk with this machine.")
@click.pass_context
def batch(ctx: click.Context, /, **options: Any) -> None:
    """Make the pictures of a list of JOBS: JSON lines, CSV, TOML, or a grid over a recipe."""
    from diffusion_tricks_batch.run import batch as made

    tally = made(asked_of(options))
    kinds = Counter(failure.kind for failure in tally.failures.values())
    click.echo(f"{len(tally.made)} made, {tally.ready.kept} kept, {len(tally.failures)} failed {dict(kinds)}", err=True)
    if tally.failures or tally.left:
        ctx.exit(1)


def asked_of(options: dict[str, Any]) -> Asked:
    """What the options ask."""
    options = dict(options)
    if options["jobs"] is None and not options["grid"]:
        raise UsageError("name a list of jobs, or a recipe and a `grid` over it")
    for name in ("metadata", "provenance"):
        options[name] = not options.pop(f"no_{name}")
    how = How(**{one.name: options.pop(one.name) for one in fields(How)})
    stop = options.pop("on_error") == "stop"
    return Asked(options.pop("jobs"), how=how, stop=stop, **{**options, "grid": tuple(options["grid"])})
