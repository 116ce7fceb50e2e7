"""`learn`: every experiment of a course on diffusion, one command each. Importing this costs no torch.

    from diffusion_tricks_learn.experiments.forward import forward
    from diffusion_tricks_learn.findings import last
    from diffusion_tricks_learn.session import Session

    found = last(forward(Session(seed=0), "photo.png"))
    found.figure.show()

`words` has the words of every lesson, `lesson_commands` the options of each, `experiments` what it computes, and
`report` the three files that it leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The group `learn`."""
    from diffusion_tricks_learn.commands import learn

    cli.add_command(learn)
