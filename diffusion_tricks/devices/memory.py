"""A full memory: what is given up for it, rung by rung, so that the work goes on from where it stood.

    auto     everything is on the device; where memory gets full, the next rung of the ladder is taken, with a note
    low      models are on the device only while they work, and pictures are decoded one by one
    lowest   so is every layer of them, and rows are computed one by one: slowest, and least

The rungs are in `rungs`. But for the decoding in tiles, which says so, none changes a picture beyond rounding.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from diffusion_tricks.devices.oom import memory_is_full
from diffusion_tricks.errors import OutOfMemory, UnknownName
from diffusion_tricks.types import MEMORY

if TYPE_CHECKING:
    from diffusion_tricks.types import Size

T = TypeVar("T")


@dataclass
class Memory:
    """How one pipeline saves memory, and what it has given up.

    mode: one of MEMORY. own: the pipeline was loaded here, so what of it is thrown away can be loaded again. lent: it
    is an object of the caller's, which is left as it is unless `mode` says otherwise. quantize: its weights are kept in
    "int8" or "nf4". channels_last: convolutions are laid out channels last on a CPU as well. rows, pictures: at most so
    many in one call, by the size of the pictures; None is no limit. offloaded: "models" or "layers" are on the device
    only while they work. tiles: pictures are decoded and encoded in tiles. beside: networks that are no part of the
    pipeline, and are offloaded with its own. thrown: text encoders are thrown away once they have worked. elsewhere:
    where the weights lie of those that were, or were not loaded yet. given_up: the rungs taken, in words. notes: what
    is to be told of loading. taken: of the rungs, what was not yet told, by the thread that took them: others finish
    earlier pictures meanwhile. cuts: the fewest rows that a lack of memory, and not the caller, cut a call down to,
    likewise.
    """

    mode: str = "auto"
    own: bool = False
    lent: bool = False
    quantize: str | None = None
    channels_last: bool = False
    rows: dict[Size, int | None] = field(default_factory=dict)
    pictures: dict[Size, int | None] = field(default_factory=dict)
    offloaded: str | None = None
    tiles: bool = False
    beside: list[torch.nn.Module] = field(default_factory=list)
    thrown: bool = False
    elsewhere: dict[str, Path] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    taken: dict[int, list[str]] = field(default_factory=dict)
    cuts: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UnknownName for a mode that is none."""
        if self.mode not in MEMORY:
            raise UnknownName("memory", self.mode, MEMORY)

    def told(self) -> tuple[list[str], int | None]:
        """What this thread gave up since it last asked, in words, and the fewest rows; both are forgotten."""
        thread, loading = threading.get_ident(), self.notes
        self.notes = []
        return [*loading, *self.taken.pop(thread, ())], self.cuts.pop(thread, None)

    def gave_up(self, rung: str, doing: str) -> None:
        """Notes a rung that was taken in this thread, and what was being done, in words."""
        self.given_up.append(rung)
        note = f"memory was full {doing}; went on with {rung}"
        self.taken.setdefault(threading.get_ident(), []).append(note)

    def cut_to(self, rows: int) -> None:
        """Notes to how many rows a call in this thread was cut down."""
        thread = threading.get_ident()
        self.cuts[thread] = min(rows, self.cuts.get(thread, rows))


class Holder(Protocol):
    """What has a pipeline on a device: a model, or one that is about to be."""

    pipe: Any
    device: torch.device
    memory: Memory


@dataclass
class Placing:
    """A pipeline on its way to a device."""

    pipe: Any
    device: torch.device
    memory: Memory


@dataclass
class Work:
    """What is being computed, for whoever has to make it smaller.

    doing: in words, behind "memory was full". size: of the pictures in pixels. rows: computed at once.
    """

    doing: str = ""
    size: Size = (0, 0)
    rows: int = 1


Rung = Callable[[Any, Work], str | None]  # what it did, in words, or None where it has nothing to give


def persisting(holder: Holder, ladder: Sequence[Rung], call: Callable[[Work], T]) -> T:
    """What `call` gives. Where memory gets full in it, the next rung that has something to give is taken, and it is
    called again.

    call: is given the work, to say there what it does. Raises OutOfMemory where the ladder ends.
    """
    while True:
        work = Work()
        try:
            return call(work)
        except (RuntimeError, MemoryError) as error:
            if not memory_is_full(error):
                raise
            full = error.with_traceback(None)  # lets go of all that the failed call held
        _step_down(holder, ladder, work, full)
        emptied(holder.device)


def _step_down(holder: Holder, ladder: Sequence[Rung], work: Work, full: Exception) -> None:
    memory = holder.memory
    for rung in ladder:
        if done := rung(holder, work):
            memory.gave_up(done, work.doing)
            return
    tried = f", also with {' and '.join(dict.fromkeys(memory.given_up))}" if memory.given_up else ""
    raise OutOfMemory(f"{holder.device} ran out of memory {work.doing}{tried}; {advice(holder.device)}") from full


def advice(device: torch.device) -> str:
    """What to try where nothing is left to give up."""
    smaller = '`dtype="bfloat16"`' if device.type == "cpu" else '`quantize="nf4"`'
    return f"try a smaller `size`, `count=1`, or {smaller}"


@dataclass(frozen=True)
class Job:
    """Rows that may be computed in parts.

    size: of the pictures in pixels. total: rows. limit: gives how many may go at a time, None is all. compute: gives
    the output (n ...) of some of them. doing: in words, for so many rows.
    """

    size: Size
    total: int
    limit: Callable[[], int | None]
    compute: Callable[[slice], Tensor]
    doing: Callable[[int], str]

    def part(self, first: int, work: Work) -> Tensor:
        """As many rows as may go at a time, from `first` on."""
        work.rows = min(self.limit() or self.total, self.total - first)
        work.size, work.doing = self.size, self.doing(work.rows)
        return self.compute(slice(first, first + work.rows))


def in_parts(holder: Holder, ladder: Sequence[Rung], job: Job) -> Tensor:
    """The output (total ...) of all rows of a job. Where memory gets full, parts that are done stay done."""
    parts: list[Tensor] = []
    done = 0
    while done < job.total:
        parts.append(persisting(holder, ladder, partial(job.part, done)))
        done += len(parts[-1])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def emptied(device: torch.device) -> None:
    """Gives what an accelerator's allocator keeps for later back to it."""
    if device.type == "cpu":
        return
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextlib.contextmanager
def memory_explained(device: torch.device, doing: str) -> Iterator[None]:
    """Turns a full memory inside into OutOfMemory, which says what to try."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory_is_full(error):
            raise
        raise OutOfMemory(f"{device} ran out of memory {doing}; {advice(device)}") from error
