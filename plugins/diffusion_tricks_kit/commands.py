"""The commands `plugins new`, `schema` and `doctor`. No torch here."""

from __future__ import annotations

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
