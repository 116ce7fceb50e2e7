"""`batch`, `status`, `report`: job lists, on one device, many, or many machines. Importing this costs no torch.

`jobs`, `grid` and `names` read what is asked and where it goes; `groups` says which jobs share a batch; `records` keeps
what was done; `work` makes pictures, and `engines` bring groups to workers; `run` holds it all together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    import click


@hookimpl
def register_engines(register: Callable[..., None]) -> None:
    """The engines that ship."""
    home = "diffusion_tricks_batch.engines"
    register("here", f"{home}.inline:Inline", summary="in this process")
    register("ray", f"{home}.on_ray:OnRay", summary="actors on a Ray cluster, or by Ray on this machine")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The commands `batch`, `status` and `report`."""
    from diffusion_tricks_batch.commands import batch

    cli.add_command(batch)
