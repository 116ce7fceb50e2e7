"""What there is: models, views. No torch here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from diffusion_tricks.hosting.host import host
from diffusion_tricks.model.vocabulary import Vocabulary
from diffusion_tricks_cli.common import DTYPES, Once, example
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.values import Name

AS_JSON = "Print JSON."


class Models(Once, click.Group):
    """A group that takes a name it does not know for that of a model: what that was taught."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of that name, else `taught` with all that was given."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["taught", *args])


@click.group(
    cls=Models, invoke_without_command=True, subcommand_metavar="[show|get] [NAME]",
    epilog=example("models", "models show emoji", "models emoji"),
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models that go by a short name; any directory or hub name of a diffusers pipeline will do as well.

    With the NAME of one: what it was taught to draw, where it says so. show NAME: all that it can do. get NAME:
    download it.
    """
    from diffusion_tricks.loading.known import known_models

    if ctx.invoked_subcommand is not None:
        return
    entries = known_models().values()
    rows = [
        {"name": e.name, "summary": e.summary, "plugin": e.plugin, "embedded": Path(e.target).is_absolute()}
        | ({} if Path(e.target).is_absolute() else {"source": e.target})
        for e in entries
    ]
    _print(rows, as_json)


@models.command(cls=Once, epilog=example("models show emoji"))
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """What a model can do, from its configuration alone: sizes, steps, guidance, tricks, and what it was taught.

    NAME: a short name, a directory, a file or a hub name; of one that is not on this machine, how to get it.
    """
    from diffusion_tricks.generate.describe import sheet
    from diffusion_tricks_cli.sheets import lines_of

    known = sheet(name)
    if _as_json(ctx, as_json):
        echo(json.dumps(known.data(), indent=2, ensure_ascii=False))
        return
    echo("\n".join(lines_of(known)))


@models.command(cls=Once, epilog=example("models get sdxl x4 --dtype float16"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--dtype", type=Name("dtype", lambda: DTYPES), default="auto", help="Weights for it.  [default: auto]")
def get(names: tuple[str, ...], dtype: str) -> None:
    """Download models of the hub, for a machine without a network or to be ready: what running them needs, no more.

    NAME: short names, also of upscalers, or hub names (owner/name[@revision]). Prints the directory of each.
    """
    from diffusion_tricks.loading.download import download

    for name in names:
        click.echo(download(name, dtype))


@models.command(cls=Once, hidden=True)
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@click.pass_context
def taught(ctx: click.Context, name: str, as_json: bool) -> None:
    """What a model was taught to draw, a line for every thing, with the other names it was taught."""
    from diffusion_tricks.loading.defaults_file import vocabulary_of
    from diffusion_tricks.loading.location import location_of
    from diffusion_tricks_cli.sheets import taught_lines

    vocabulary = vocabulary_of(location_of(name)) or Vocabulary({})
    if _as_json(ctx, as_json):
        rows = {"name": name, "captions": vocabulary.captions, "words": vocabulary.words}
        echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not vocabulary.captions:
        echo(f"the model {name!r} does not say what it was taught")
    for line in taught_lines(vocabulary.captions, vocabulary.words):
        echo(line)


def _as_json(ctx: click.Context, here: bool) -> bool:
    """Whether JSON is asked for, behind a command or before it."""
    return here or bool(ctx.parent and ctx.parent.params.get("as_json"))


@click.command(cls=Once, epilog=example("views", 'views jigsaw:4,seed=3 "rotate_cw|negate"'))
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
def views(names: tuple[str, ...], as_json: bool) -> None:
    """List the views of anagrams; parameters follow a colon, as in patches:8,seed=3.

    With NAMEs: what a person does to see a picture through each. "rotate_cw|negate" is one view after the other.
    """
    if names:
        from diffusion_tricks.registry.view import view_named

        _print([{"name": name, "summary": view_named(name).instruction()} for name in names], as_json)
        return
    entries = host().entries("view").values()
    _print([{"name": e.name, "summary": e.summary, "plugin": e.plugin} for e in entries], as_json)


def _print(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        echo(f"{row['name']:<{width}}  {row['summary']}")
