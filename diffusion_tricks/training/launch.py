"""Several processes for one training, as torchrun starts them: each is `python -m diffusion_tricks.training`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from diffusion_tricks import errors
from diffusion_tricks.errors import DiffusionTricksError
from diffusion_tricks.training.interrupts import Interrupted, heeded

if TYPE_CHECKING:
    from diffusion_tricks.training.loop import Trained
    from diffusion_tricks.training.options import TrainOptions

PATIENCE = 20.0  # seconds that the others get to end, once one has failed


def launched() -> bool:
    """Whether this process is one of several already: accelerate launch and torchrun say so."""
    return "LOCAL_RANK" in os.environ


def is_first() -> bool:
    """Whether this process is the only one of its training, or the first of several."""
    return not launched() or os.environ.get("RANK", os.environ["LOCAL_RANK"]) == "0"


def accelerator_for(options: TrainOptions) -> Accelerator:
    """Of this process, which is one of several where it was launched as such; processes without a GPU meet on the CPU.

    accelerate lets them meet there only if it is told that they stay on it, and else has each train alone.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    alone = found is None or found.type == "mps"
    return Accelerator(cpu=options.device == "cpu" or (launched() and alone))


def launch(work: Mapping[str, Any], count: int) -> Trained:
    """Does `work` in `count` processes, and gives what the first says came of it, or raises what it raised."""
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "answer.json"
        told = json.dumps({**work, "answer": str(answer)})
        command = [sys.executable, "-m", "diffusion_tricks.training", told]
        shared = {
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": _free_port(),
        }
        with _passed_on() as started:
            for rank in range(count):
                own = {**shared, "RANK": rank, "LOCAL_RANK": rank}
                environment = {"OMP_NUM_THREADS": "1", **os.environ, **{k: str(v) for k, v in own.items()}}
                started.append(subprocess.Popen(command, env=environment))
            codes = _ended(started)
        said = json.loads(answer.read_text()) if answer.is_file() else {}
    return _outcome(said, codes)


def _outcome(said: Mapping[str, Any], codes: list[int]) -> Trained:
    from diffusion_tricks.training.loop import Trained

    if "trained" in said:
        return Trained(**{**said["trained"], "folder": Path(said["trained"]["folder"])})
    if said.get("error") == "Interrupted":
        raise Interrupted(said["message"])
    if "error" in said:
        kind = getattr(errors, said["error"], DiffusionTricksError)
        made: DiffusionTricksError = kind.__new__(kind)
        made.args = (said["message"],)
        raise made
    if any(code in (-signal.SIGINT, 130) for code in codes):
        raise KeyboardInterrupt
    raise DiffusionTricksError(f"a process of the training ended by itself, with codes {codes}; see above what it said")


def _ended(started: list[subprocess.Popen[bytes]]) -> list[int]:
    """The exit codes of all; when one has failed, the others are waiting for it and are ended."""
    while any(process.poll() is None for process in started):
        if any(process.poll() not in (None, 0) for process in started):
            for process in started:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
                process.kill()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    return [process.returncode for process in started]


@contextlib.contextmanager
def _passed_on() -> Iterator[list[subprocess.Popen[bytes]]]:
    """While it lasts, Ctrl-C and its like reach the processes and not this one; none outlives it."""
    started: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: object) -> None:
        for process in started:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in heeded()}
    try:
        yield started
    finally:
        for process in started:
            process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
