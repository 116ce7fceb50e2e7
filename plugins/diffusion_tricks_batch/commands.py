"""The commands `batch`, `status` and `report`. No torch here."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from diffusion_tricks.plugin import UsageError
from diffusion_tricks_batch.asked import AUTO, HERE, Asked
from diffusion_tricks_batch.chosen import chosen
from diffusion_tricks_batch.engines.cluster import ADDRESS
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.ranks import speaks
from diffusion_tricks_batch.report_commands import write_after
from diffusion_tricks_batch.telling.progress import Progress

if TYPE_CHECKING:
    from diffusion_tricks_batch.say import Teller

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  diffusion-tricks batch jobs.jsonl -o 'out/{id}.png'\n"
    "  diffusion-tricks batch recipe.toml --grid seed=0-99 --grid guidance=3,5,7 -o out\n"
    "  diffusion-tricks batch jobs.jsonl -o out --resume\n"
    "  diffusion-tricks batch jobs.jsonl -o out --devices cuda:0,cuda:1\n"
    "  diffusion-tricks batch jobs.jsonl -o out --shard 3/8\n"
    "  diffusion-tricks batch out/failed.jsonl -o out --resume"
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


class Shard(click.ParamType[tuple[int, int]]):
    """One worker of several: I/N, counted from 1."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The worker, and how many there are."""
        nth, slash, of = str(value).partition("/")
        if not slash or not (nth.isdecimal() and of.isdecimal()) or not 1 <= int(nth) <= int(of):
            self.fail(f"expected one of several, as 1/4 to 4/4, got {value!r}", param, ctx)
        return int(nth), int(of)


class Devices(click.ParamType[tuple[str, ...]]):
    """Devices, between commas."""

    name = "D,D"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Each of them."""
        if not isinstance(value, str):
            return tuple(value)
        devices = tuple(one.strip() for one in value.split(","))
        if not all(devices):
            self.fail(f"expected devices between commas, as cuda:0,cuda:1, got {value!r}", param, ctx)
        return devices


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
@click.option("--on-error", type=click.Choice(["continue", "stop"]), default="continue", show_default=True,
              help="stop: begin no other job once one has failed.")  # fmt: skip
@click.option("--retry", type=click.IntRange(0), default=1, show_default=True, metavar="N",
              help="Times that what may pass, a worker's death as well, is tried again.")  # fmt: skip
@click.option("--scores/--no-scores", default=True, show_default=True, help="Score what pictures show.")
@click.option("--scorer", help="A CLIP model: name, directory or hub name.  [default: the one inside]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--dtype", type=click.Choice(["auto", "float32", "float16", "bfloat16"]), default="auto",
              show_default=True)  # fmt: skip
@click.option("--memory", type=click.Choice(["auto", "low", "lowest"]), default="auto", show_default=True,
              help="low: models wait off the device; lowest: every layer, slow.")  # fmt: skip
@click.option("--quantize", type=click.Choice(["int8", "nf4"]), help="Weights; CUDA only.")
@click.option("--compile", is_flag=True, help="Compile the denoiser.")
@click.option("--max-rows", type=click.IntRange(1), metavar="N", help="Rows in one call, to save memory.")
@click.option("--quality", type=click.IntRange(1, 100), metavar="N", help="Of JPEG, WebP and AVIF.")
@click.option("--no-metadata", is_flag=True, help="Keep no record in the pictures.")
@click.option("--no-provenance", is_flag=True, help="Do not mark pictures as made by a model.")
@click.option("--keep-gps", is_flag=True, help="Keep where photos were taken, which else is left out.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes that share the jobs.")
@click.option("--devices", type=Devices(), default=(), metavar="D,D",
              help="A process on each: cuda:0,cuda:1.")  # fmt: skip
@click.option("--shard", type=Shard(), help="This process is worker I of N that share a disk, begun elsewhere.")
@click.option("--engine", default=HERE, show_default=True, help="What brings jobs to workers.")
@click.option("--address", metavar="ADDRESS",
              help="Of a cluster: auto, HOST:PORT, ray://HOST:PORT.  [default: RAY_ADDRESS, or none]")  # fmt: skip
@click.option("--collect", is_flag=True, help="Pictures come back from the cluster, where no disk is shared.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and what it costs; make nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each picture, and for all.")
@click.option("--quiet", is_flag=True, help="No progress, no notes.")
@click.pass_context
def batch(ctx: click.Context, /, as_json: bool, quiet: bool, dry_run: bool, **options: Any) -> None:
    """Make the pictures of a list of JOBS: JSON lines, CSV, TOML, or a grid over a recipe.

    A job is a recipe with an id: {"id": "j1", "prompt": "a rabbit", "seed": 1, "steps": 3}. Jobs that are alike go
    through the model together. One that fails stops no other: failed.jsonl, beside the pictures, lists what failed, and
    is itself a list of jobs. What is stopped goes on with --resume, as if it had not been. With - for JOBS each line of
    standard input is a job, answered by one line.
    """
    from diffusion_tricks_batch.lists.names import home_of
    from diffusion_tricks_batch.say import Teller

    asked = asked_by(options)
    tell = Teller(home_of(asked.output), sys.stdout, as_json=as_json, quiet=quiet)
    if asked.address != options["address"]:
        tell.remark(f"the cluster is that at {asked.address}, as {ADDRESS} says")
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # of downloads
    with redirect_stdout(sys.stderr):  # what is printed meanwhile: stdout holds results alone
        failed = planned_only(asked, tell) if dry_run else carried_out(asked, tell)
    if failed:
        ctx.exit(1)


def planned_only(asked: Asked, tell: Teller) -> bool:
    """Says what would be done; gives whether a job cannot be."""
    from diffusion_tricks_batch.cost import cost_of
    from diffusion_tricks_batch.lists.rows import STDIN
    from diffusion_tricks_batch.plan import planned
    from diffusion_tricks_batch.records import Records
    from diffusion_tricks_batch.serve import check_asked

    if not speaks():
        return False
    if asked.source == STDIN:
        check_asked(asked)
    todo = planned(asked, Records(tell.home))
    cost = cost_of(todo)
    tell.plan(todo, cost)
    return bool(cost.problems)


def carried_out(asked: Asked, tell: Teller) -> bool:
    """Makes what is asked; gives whether anything failed, or is left."""
    from diffusion_tricks_batch.lists.rows import STDIN
    from diffusion_tricks_batch.run import batch as made
    from diffusion_tricks_batch.serve import served

    try:
        if asked.source == STDIN:
            return served(asked, tell)
        if not speaks():
            return made(asked) is None  # the first of the processes says what came of all
        with Progress(sys.stderr, shown=not tell.quiet) as progress:
            tally = made(asked, progress.beside(tell.begin))
    except KeyboardInterrupt:
        tell.interrupted()
        raise
    tell.sum_up(tally)
    write_after(click.get_current_context(), tell.home, say=tell.remark, others=asked.shard is not None)
    return bool(tally.failures or tally.left)


def asked_by(options: dict[str, Any]) -> Asked:
    """What the options ask."""
    options = dict(options)
    options["source"] = options.pop("jobs")
    if options["source"] is None and not options["grid"]:
        raise UsageError("name a list of jobs, or a recipe and a `grid` over it")
    for name in ("metadata", "provenance"):
        options[name] = not options.pop(f"no_{name}")
    how = How(**{one.name: options.pop(one.name) for one in fields(How)})
    stop = options.pop("on_error") == "stop"
    return chosen(Asked(how=how, stop=stop, **{**options, "grid": tuple(options["grid"])}))
