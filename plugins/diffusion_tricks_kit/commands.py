"""The commands `plugins new`, `schema`, `doctor` and `completion`. No torch here."""

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


SHELLS = click.Choice(["bash", "zsh", "fish"])


@click.group(epilog=_example("completion install"), short_help="of commands, views, models and seeds in your shell")
def completion() -> None:
    """What your shell offers at the tabulator key: commands, options, tricks, views, models, files, seeds."""


@completion.command("install", epilog=_example("completion install", "completion install zsh"))
@click.argument("shell", type=SHELLS, required=False)
def install_completion(shell: str | None) -> None:
    """Switch it on for SHELL, or for the one you use: a script, and one line in ~/.bashrc or ~/.zshrc that loads it.

    Prints the files that were written. Take the line and the script away to switch it off.
    """
    from diffusion_tricks_kit.completion import install, shell_here

    shell = shell or shell_here()
    for file in install(shell, _script(shell), Path.home()):
        click.echo(str(file))
    click.echo("Note: it is on in every shell that you open from now on", err=True)


@completion.command("show", epilog=_example("completion show fish"))
@click.argument("shell", type=SHELLS)
def show_completion(shell: str) -> None:
    """Print the script for SHELL, to put it where you like."""
    click.echo(_script(shell))


def _script(shell: str) -> str:
    from diffusion_tricks_kit.completion import script

    root = click.get_current_context().find_root()
    return script(shell, root.command, "diffusion-tricks")
