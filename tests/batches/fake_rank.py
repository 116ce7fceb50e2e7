"""A worker as `engines.rank`, but that makes nothing; what its jobs do is said by FAKED, as JSON.

kill: jobs that end it, whenever they are begun. slow: seconds that each job takes, by worker. exits: with that code at
once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from batches.faked import Faked
from diffusion_tricks_batch.engines import shards
from diffusion_tricks_batch.engines.process import end_with_parent
from diffusion_tricks_batch.engines.rank import work
from diffusion_tricks_batch.groups import Item

said: dict[str, Any] = json.loads(os.environ.get("FAKED", "{}"))


def doing(item: Item) -> None:
    time.sleep(said.get("slow", {}).get(sys.argv[2], 0.02))
    if item.key in said.get("kill", ()):
        os.kill(os.getpid(), signal.SIGKILL)


def made(*args: Any) -> Faked:
    return Faked(*args, doing=doing)


if __name__ == "__main__":
    end_with_parent()
    if said.get("exits"):
        print("no such device", file=sys.stderr)
        sys.exit(said["exits"])
    sys.modules["diffusion_tricks_batch.work"] = SimpleNamespace(Worker=made)  # type: ignore[assignment]
    shards.PAUSE = 0.02
    work(Path(sys.argv[1]), int(sys.argv[2]))
