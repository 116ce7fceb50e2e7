"""`plugins new`, `schema`, `doctor` and `completion`: what stands around the making of pictures. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The commands `plugins new`, `schema`, `doctor` and `completion`."""
    from diffusion_tricks_kit.commands import completion, doctor, new, schema

    for command in (new, schema, doctor, completion):
        cli.add_command(command)
