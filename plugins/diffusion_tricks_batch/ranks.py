"""The processes of `accelerate launch -m diffusion_tricks_cli batch ...`, on one host or many: each is one worker.

The first plans, and speaks; the others go on with what it has begun. No torch here where there is but one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import DiffusionTricksError
from diffusion_tricks_batch.asked import Asked

if TYPE_CHECKING:
    from accelerate import PartialState


def ranked() -> bool:
    """Whether this process is one of several: accelerate launch and torchrun say so."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def speaks() -> bool:
    """Whether this process says what is to be said: the first of several, or the only one."""
    return not ranked() or os.environ.get("RANK", "0") == "0"


class Ranks:
    """All processes of a batch, seen from one of them. device: that was asked for.

    main: whether this is the first, or the only one.
    """

    def __init__(self, device: str):
        self._state = _state(device) if ranked() else None
        self.main = self._state is None or self._state.is_main_process

    def own(self, asked: Asked) -> Asked:
        """What this process is asked: on its device, and, unless it is the first, to go on with what that has begun."""
        if self._state is None:
            return asked
        own = asked if self.main else replace(asked, resume=True)
        if self._state.device.type == "cpu":
            return own
        return replace(own, how=replace(own.how, device=str(self._state.device)))

    def worker(self, asked: Asked) -> Asked:
        """What is asked, with this process as one of as many workers as there are processes."""
        if self._state is None:
            return asked
        return replace(asked, engine="shards", shard=(self._state.process_index + 1, self._state.num_processes))

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The first does what is within, then the others."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def wait(self) -> None:
        """Waits until all have come so far. Raises DiffusionTricksError where another has ended instead."""
        if self._state is None:
            return
        try:
            self._state.wait_for_everyone()
        except RuntimeError as error:
            if not self.main:
                raise SystemExit(1) from None  # the first says why
            raise DiffusionTricksError("another process of this batch has ended; go on with `resume`") from error

    def part(self) -> None:
        """Lets go of the others."""
        if self._state is not None:
            self._state.destroy_process_group()


def _state(device: str) -> PartialState:
    """By the means of the devices that there are, which on a CPU is gloo."""
    import torch
    from accelerate import PartialState

    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return PartialState(cpu=device == "cpu" or found is None or found.type == "mps")
