"""What a batch is asked. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffusion_tricks_batch.how import How

AUTO = 0  # pictures in a batch, as memory holds them
HERE = "here"  # the engine that works in this process, and this process among workers


@dataclass(frozen=True)
class Asked:
    """A batch.

    source: of the jobs: a file, or a recipe that the grid varies. grid: `NAME=VALUES`, the first slowest. output: what
    files are called. how: pictures are made. seed: of jobs that have none; None draws one. pictures: in one batch at
    the most. resume: go on with what is there; force: begin anew, and replace files. stop: with the first failure.
    engine: by name. workers, devices, address, collect: see `Site`. shard: (i, n), this process among n.
    """

    source: str | None
    output: str
    grid: tuple[str, ...] = ()
    how: How = field(default_factory=How)
    seed: int | None = None
    pictures: int = AUTO
    resume: bool = False
    force: bool = False
    stop: bool = False
    engine: str = HERE
    workers: int | None = None
    devices: tuple[str, ...] = ()
    address: str | None = None
    collect: bool = False
    shard: tuple[int, int] | None = None
