"""`batch`, `status`, `report`: job lists, on one device, many, or many machines. Importing this costs no torch.

    from diffusion_tricks_batch import Asked, How, batch

    tally = batch(Asked("jobs.jsonl", "out/{id}.png", how=How(device="cpu"), resume=True))
    print(len(tally.made), "made;", dict(tally.kinds), "failed;", tally.left, "left")

`lists` reads what is asked and where it goes; `plan` judges it, and `groups` says which jobs share a batch; `records`
keeps what was done; `work` makes pictures, and `engines` bring groups to workers; `run` holds it all together; `serve`
answers jobs one by one. `telling` says how it goes on, `results` what came of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

    from diffusion_tricks_batch.asked import Asked as Asked
    from diffusion_tricks_batch.how import How as How
    from diffusion_tricks_batch.run import Tally as Tally
    from diffusion_tricks_batch.run import batch as batch

_HOMES = {"Asked": "asked", "How": "how", "Tally": "run", "batch": "run"}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


@hookimpl
def register_engines(register: Callable[..., None]) -> None:
    """The engines that ship."""
    home = "diffusion_tricks_batch.engines"
    register("here", f"{home}.inline:Inline", summary="in this process")
    register("launch", f"{home}.launch:Launch", summary="in several processes, on one device each")
    register("shards", f"{home}.shards:Shards", summary="one of several workers that share a folder")
    register("ray", f"{home}.on_ray:OnRay", summary="actors on a Ray cluster, or by Ray on this machine")


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The commands `batch`, `status` and `report`."""
    from diffusion_tricks_batch.commands import batch
    from diffusion_tricks_batch.report_commands import report, status

    for command in (batch, status, report):
        cli.add_command(command)
