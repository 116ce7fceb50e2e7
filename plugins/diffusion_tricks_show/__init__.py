"""`film`, `page` and `gallery`: illusions as they are seen, from the record in a picture. Imports no torch.

    from diffusion_tricks_show.subject import subject_of
    from diffusion_tricks_show.film import Pace, shots

    for shot in shots(subject_of("duck.png"), Pace(fps=25)):
        shot.image

`subject` reads what a picture shows, `film` makes frames of it and `films` writes them, `acts` finds what a hand can do
with it, `page` and `gallery` are what a browser shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The commands `film`, `page` and `gallery`."""
    from diffusion_tricks_show.commands import film, gallery, page

    for command in (film, page, gallery):
        cli.add_command(command)
