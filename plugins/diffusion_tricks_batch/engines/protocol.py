"""What an engine is. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from diffusion_tricks.plugin import Ledger
from diffusion_tricks_batch.asked import HERE
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome
from diffusion_tricks_batch.records import Records


@dataclass(frozen=True)
class Site:
    """What an engine is made with.

    how: pictures are made. records: of the run, in the folder that all is written to. ledger: that this process notes
    in. name: that it goes by among workers. workers: how many, where that is said. devices: one for each of them.
    address: of a cluster. collect: whether files are sent back to this machine. shard: (i, n), this process among n.
    """

    how: How
    records: Records
    ledger: Ledger
    workers: int | None = None
    devices: tuple[str, ...] = ()
    address: str | None = None
    collect: bool = False
    name: str = HERE
    shard: tuple[int, int] | None = None


class Engine(Protocol):
    """Brings groups to workers. It is made with a `Site`, registered by `register_engines`, and closed at the end."""

    def submit(self, group: Group) -> None:
        """Takes a group on; it need not begin with it."""

    def results(self) -> Iterator[Outcome]:
        """The outcome of every job of every group, as they come; ends when there is none left.

        What was done or failed is in the records before its outcome is given.
        """

    def close(self) -> None:
        """Lets go of workers; what they have not finished stays undone."""
