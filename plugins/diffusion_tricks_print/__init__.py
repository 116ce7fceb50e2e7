"""`print`: illusions on paper, cut, folded, laid over one another and walked away from. Importing this costs no torch.

    from diffusion_tricks_print.sheets import Layout, pages_of
    from diffusion_tricks_print.pdf import as_pdf

`page` has what stands on a page, in millimetres; `sheets` puts the pages together, one kind of sheet after the other;
`distance` and `layers` have the mathematics; `pdf` and `svg` write pages down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The command `print`."""
    from diffusion_tricks_print.commands import print_command

    cli.add_command(print_command)
