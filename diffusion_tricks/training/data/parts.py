"""A source seen otherwise: a part of it, the same with other random numbers, the same in gray or in colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.data.captions import named
from diffusion_tricks.training.data.squares import in_channels
from diffusion_tricks.training.data.stream import Batch, Source

HELD_OUT = 20  # one picture in so many is never trained on


class Part:
    """The pictures of a source at `places`."""

    def __init__(self, source: Source, places: Sequence[int]):
        self.source, self.places = source, places
        self.channels, self.size, self.classes = source.channels, source.size, source.classes

    def __len__(self) -> int:
        """The places."""
        return len(self.places)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """The source's pictures at the places with these numbers."""
        return self.source.draw([self.places[i] for i in indices], random)


def part(source: Source, held_out: bool) -> Source:
    """Every twentieth picture, the first among them, or all others; a source of one picture is both."""
    count = len(source)
    places = [i for i in range(count) if (i % HELD_OUT == 0) == held_out]
    return Part(source, places) if places else source


@dataclass
class Redrawn:
    """A generated source whose pictures are others than with the same random numbers elsewhere; a twentieth as long."""

    source: Source
    seed: int

    def __post_init__(self) -> None:
        self.channels, self.size, self.classes = self.source.channels, self.source.size, self.source.classes

    def __len__(self) -> int:
        """A twentieth, at least one."""
        return max(1, len(self.source) // HELD_OUT)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """The source's pictures, drawn by a generator that `random` and the seed settle."""
        return self.source.draw(indices, np.random.default_rng([int(random.integers(1 << 62)), self.seed]))


@dataclass
class Labelled:
    """A source whose classes go by other names, in captions too. Raises UsageError for too few or too many names."""

    source: Source
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        self.channels, self.size = self.source.channels, self.source.size
        if len(self.classes) != len(self.source.classes):
            raise UsageError(
                f"expected {len(self.source.classes)} `labels`, one for each class of the data in order "
                f"({', '.join(self.source.classes[:3])}, ...), got {len(self.classes)}: {', '.join(self.classes)}"
            )

    def __len__(self) -> int:
        """As long as the source."""
        return len(self.source)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """The source's pictures; those without a class keep their caption."""
        batch = self.source.draw(indices, random)
        told = zip(batch.captions, batch.classes.tolist(), strict=True)
        return replace(batch, captions=[named(self.classes[c], random) if c >= 0 else text for text, c in told])


@dataclass
class InChannels:
    """A source in gray (1 channel) or in colour (3)."""

    source: Source
    channels: int

    def __post_init__(self) -> None:
        self.size, self.classes = self.source.size, self.source.classes

    def __len__(self) -> int:
        """As long as the source."""
        return len(self.source)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """The source's pictures (b channels h w)."""
        batch = self.source.draw(indices, random)
        return replace(batch, pictures=in_channels(batch.pictures, self.channels))
