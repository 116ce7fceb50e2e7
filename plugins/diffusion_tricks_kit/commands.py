"""The commands `plugins new`, `schema` and `doctor`. No torch here."""

from __future__ import annotations

import json
from pathlib import Path

import click


def _example(*lines: str) -> str:
    return "Example:\n\n\b\n" + "\n".join(f"  diffusion-tricks {line}" for line in lines)


@click.command(
    "plugins new", epilog=_example("plugins new soft-light --trick"), short_help="a plugin that works, to begin with"
)
@click.argument("name")
@click.option(
    "--trick", "kind", flag_value="trick", default=True, help="That shapes what the model is asked.  [default]"
)
@click.option("--view", "kind", flag_value="view", help="For anagrams.")
@click.option("--family", "kind", flag_value="family", help="Of models, a row of the table of families.")
@click.option("--command", "kind", flag_value="command", help="Of the command line.")
def new(name: str, kind: str) -> None:
    """A new plugin: a folder dt-NAME here with one file, its tests, README and CI, which installs and passes as it is.

    Prints the folder. Nothing that is there is overwritten.
    """
    from diffusion_tricks_kit.scaffold import make_scaffold

    click.echo(make_scaffold(name, kind, Path()))  # type: ignore[arg-type]


@click.command(epilog=_example("schema -o recipe.schema.json"), short_help="of recipes, for editors to complete them")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write it there.  [default: print it]")
@click.option("--force", is_flag=True, help="Replace an older one.")
def schema(output: Path | None, force: bool) -> None:
    """The JSON Schema of a recipe, with the options of every trick that is installed here.

    Saved recipes name ./recipe.schema.json in $schema; put it there, and an editor completes what stands in them.
    """
    from diffusion_tricks.plugin import atomic_write, recipe_schema

    text = json.dumps(recipe_schema(), indent=2, ensure_ascii=False)
    if output is None:
        click.echo(text)
        return
    atomic_write(output, f"{text}\n".encode(), force=force, inputs=())
    click.echo(str(output))


@click.command(epilog=_example("doctor", "doctor --json"), short_help="a page about this machine, for a report")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Versions, device, memory, fonts, hub cache, plugins and how long each took to load, and what is missing for what.

    One page to paste into a report: no secrets, and ~ for your home. Exit code 3 where a plugin or a library is broken.
    """
    from diffusion_tricks.plugin import PluginError
    from diffusion_tricks_kit.doctor import examined, is_well, page

    sections = examined()
    click.echo(json.dumps(sections, indent=2, ensure_ascii=False) if as_json else page(sections))
    if not is_well(sections):
        ctx.exit(PluginError.exit_code)
