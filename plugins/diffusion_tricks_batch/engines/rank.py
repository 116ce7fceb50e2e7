"""A worker that `batch --workers N` has begun: `python -m diffusion_tricks_batch.engines.rank WORK NUMBER`."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from diffusion_tricks.plugin import host
from diffusion_tricks_batch.engines.launch import name_of
from diffusion_tricks_batch.engines.process import end_with_parent
from diffusion_tricks_batch.engines.protocol import Site
from diffusion_tricks_batch.engines.shards import Shards
from diffusion_tricks_batch.groups import group_from
from diffusion_tricks_batch.how import How, how_from
from diffusion_tricks_batch.records import Records


def work(path: Path, number: int) -> None:
    """Works on what lies in a file, as worker `number`, counted from 0, until nothing is left."""
    said = json.loads(path.read_bytes())
    host([Path(file) for file in said["plugins"]], said["without"])
    how = on_device(how_from(said["how"]), number, said["devices"])
    records, name = Records(Path(said["home"])), name_of(number)
    with records.mine(name) as ledger:
        site = Site(how, records, ledger, name=name, shard=(number + 1, said["workers"]))
        with closing(Shards(site)) as engine:
            for group in json.loads(path.read_bytes())["groups"]:  # what has failed before the ledger was read is out
                engine.submit(group_from(group))
            for _ in engine.results():
                pass


def on_device(how: How, number: int, devices: list[str]) -> How:
    """The settings on a worker's own device: one of those named, else of those there are, turn by turn."""
    if devices:
        return replace(how, device=devices[number % len(devices)])
    import torch

    if how.device in ("auto", "cuda") and torch.cuda.is_available():
        return replace(how, device=f"cuda:{number % torch.cuda.device_count()}")
    return how


if __name__ == "__main__":
    end_with_parent()
    work(Path(sys.argv[1]), int(sys.argv[2]))
