"""Which engine follows from what is asked, and what contradicts. No torch here."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from diffusion_tricks.plugin import UsageError, sha256
from diffusion_tricks_batch.asked import HERE, Asked
from diffusion_tricks_batch.engines.cluster import address_of, check_address, library
from diffusion_tricks_batch.engines.leases import stale_after
from diffusion_tricks_batch.how import WRITTEN
from diffusion_tricks_batch.ranks import ranked

LAUNCH, SHARDS, RAY = "launch", "shards", "ray"
ONE_OF_ITS_OWN = ("auto", "cpu", "cuda", "mps")  # devices, of which Ray chooses one for each worker


def chosen(asked: Asked) -> Asked:
    """What is asked, with the engine that follows from it. Raises UsageError for options that contradict each other."""
    if asked.engine in (HERE, LAUNCH, SHARDS) and (asked.address or asked.collect):
        raise UsageError("`address` and `collect` are for `engine='ray'`; leave them out, or give that")
    if asked.how.scorer and not asked.how.scores:
        raise UsageError("a `scorer` is for pictures that are scored, and none are to be; leave it out, or have them "
                         "scored")  # fmt: skip
    if asked.engine not in (HERE, RAY) or ranked() or asked.shard or asked.workers or asked.devices:
        stale_after()
    if ranked():
        _check_ranked(asked)
    elif asked.shard is not None or asked.engine == SHARDS:
        return replace(_check_shard(asked), engine=SHARDS)
    elif asked.engine == RAY:
        return _with_cluster(asked)
    elif asked.engine in (HERE, LAUNCH) and (asked.workers is not None or asked.devices):
        return replace(_with_workers(asked), engine=LAUNCH)
    elif asked.engine == LAUNCH:
        raise UsageError("the engine `launch` begins several workers; say how many by `workers`, or where by `devices`")
    return asked


def worker_of(asked: Asked) -> str:
    """What this process is called among workers."""
    return HERE if asked.shard is None else "shard-{}-of-{}".format(*asked.shard)


def sharing(asked: Asked) -> str:
    """SHA-256 of what all shards of a run are asked, by which they know each other; empty for what is no shard."""
    if asked.shard is None:
        return ""
    how = {name: value for name, value in asked.how.data().items() if name in WRITTEN}
    said = [_told(asked.source), asked.grid, asked.output, how, asked.seed, asked.pictures, asked.shard[1]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _told(source: str | None) -> str | None:
    with suppress(OSError):  # said where it is read
        return sha256(Path(source)) if source is not None else None
    return source


def _check_ranked(asked: Asked) -> None:
    """Raises UsageError for what says who works, which `accelerate launch` has said."""
    said = {"shard": asked.shard, "workers": asked.workers, "devices": asked.devices}
    for name, value in said.items():
        if value:
            raise UsageError(f"`accelerate launch` says how many work here, and where; leave `{name}` out")
    if asked.source == "-":
        raise UsageError("jobs that come by - are made by one process; leave out `accelerate launch`, or list them "
                         "in a file")  # fmt: skip
    if asked.engine != HERE:
        raise UsageError(f"`accelerate launch` has begun the workers; leave out the `engine` {asked.engine!r}")
    if ":" in asked.how.device:
        raise UsageError(f"under `accelerate launch` each process has a device of its own; leave out the `device` "
                         f"{asked.how.device!r}")  # fmt: skip


def _with_cluster(asked: Asked) -> Asked:
    """With the address of the cluster. Raises UsageError for what Ray does not let one choose, where it is not
    installed, and where no cluster answers."""
    if asked.devices:
        raise UsageError("the engine `ray` gives each worker a device of its own; say how many `workers`, and leave "
                         "`devices` out")  # fmt: skip
    if asked.how.device not in ONE_OF_ITS_OWN:
        raise UsageError(f"the engine `ray` gives each worker a device of its own, got {asked.how.device}; say how "
                         f"many `workers`, and leave `device` one of {', '.join(ONE_OF_ITS_OWN)}")  # fmt: skip
    address = address_of(asked.address)
    if address is not None:
        check_address(address)
    library()
    return replace(asked, address=address)


def _check_shard(asked: Asked) -> Asked:
    if asked.shard is None:
        raise UsageError("the engine `shards` is one worker of several; say which by `shard`, as 1/4")
    nth, of = asked.shard
    if not 1 <= nth <= of:
        raise UsageError(f"expected a `shard` from 1/{max(of, 1)} to {max(of, 1)}/{max(of, 1)}, got {nth}/{of}")
    if asked.workers is not None or asked.devices:
        raise UsageError("`shard` is one worker, whose others are begun elsewhere, `workers` and `devices` begin "
                         "several here; leave one of them out")  # fmt: skip
    if asked.engine not in (HERE, SHARDS):
        raise UsageError(f"`shard` is an engine of its own; leave out the `engine` {asked.engine!r}, or `shard`")
    if asked.force and not asked.resume:
        raise UsageError("`force` would have each shard begin anew what the others have made; choose another folder, "
                         "or give `resume` as well")  # fmt: skip
    return asked


def _with_workers(asked: Asked) -> Asked:
    count = asked.workers or len(asked.devices)
    if count < max(1, len(asked.devices)):
        raise UsageError(f"{len(asked.devices)} `devices` need at least as many `workers`, got {count}; leave "
                         "`workers` out for one each")  # fmt: skip
    if asked.devices and asked.how.device != "auto":
        raise UsageError("`devices` says where each worker works; leave `device` out")
    return replace(asked, workers=count)
