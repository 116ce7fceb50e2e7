"""`plugins new`, `schema` and `doctor`: what authors of plugins and of reports need at the command line. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The commands `plugins new`, `schema` and `doctor`."""
    from diffusion_tricks_kit.commands import doctor, new, schema

    for command in (new, schema, doctor):
        cli.add_command(command)
