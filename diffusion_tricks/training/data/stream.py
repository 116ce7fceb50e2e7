"""`Source`, what every data set is; `Stream`, its batches in an order that the seed and a position settle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Pictures in -1..1 (b c h w), their captions (b), and their classes (b), -1 where there is none.

    enlarged: for an upscaler, the same pictures as seen in a small one (b c h w).
    """

    pictures: Tensor
    captions: list[str]
    classes: Tensor
    enlarged: Tensor | None = None


class Source(Protocol):
    """Pictures of one size that a model can be trained on.

    channels: 1 (gray) or 3.  size: side in pixels.  classes: their names; empty where the data has none.
    """

    channels: int
    size: int
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """How many pictures an epoch has."""

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """The pictures at `indices`, augmented by `random` alone: the same arguments give the same batch."""


@runtime_checkable
class Paced(Source, Protocol):
    """A source that shows more as a training goes on."""

    def after(self, seen: int) -> Source:
        """The source as it is once so many pictures were seen."""


@dataclass
class Stream:
    """Batches of a source without end, shuffled anew each epoch and shared out over `world` processes.

    Batch number k of process `rank` depends on (seed, rank, k) alone, so `position`, the number of the next batch,
    is all that a checkpoint needs.
    """

    source: Source
    batch: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    position: int = 0
    before: int = 0  # pictures that were seen before the first batch

    def __iter__(self) -> Iterator[Batch]:
        """The batches from `position` on."""
        while True:
            yield self.next()

    def next(self) -> Batch:
        """The batch at `position`, which moves on by one."""
        first = (self.position * self.world + self.rank) * self.batch
        indices = [self._index(first + i) for i in range(self.batch)]
        random = np.random.default_rng([self.seed, 1, self.rank, self.position])
        self.position += 1
        source = self.source.after(self.before + first) if isinstance(self.source, Paced) else self.source
        return source.draw(indices, random)

    @property
    def epoch(self) -> float:
        """How many epochs lie behind, as a fraction."""
        return self.position * self.world * self.batch / len(self.source)

    def _index(self, place: int) -> int:
        epoch, offset = divmod(place, len(self.source))
        return int(self._order(epoch)[offset])

    def _order(self, epoch: int) -> np.ndarray:
        if getattr(self, "_known", (None, None))[0] != epoch:
            order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.source))
            self._known = epoch, order
        order_: np.ndarray = self._known[1]
        return order_
