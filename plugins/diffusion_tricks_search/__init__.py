"""`search`: the best illusions among pairs, views and seeds, within a budget. Importing this costs no torch.

    from diffusion_tricks_search.asked import Asked
    from diffusion_tricks_search.search import search

    search(Asked(pairs=(("a rabbit", "a duck"),), views=("rotate_cw",), budget="60"), Path("found"))

`pairs` reads what is tried, `halving` says how often, `log` keeps what was found, `bench` makes and scores pictures,
`trials` tries them, `survivors` makes the best ones anew in full, `figures` has the numbers, `outcome` writes what is
left for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The command `search`."""
    from diffusion_tricks_search.commands import search

    cli.add_command(search)
