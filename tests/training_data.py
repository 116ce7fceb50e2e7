"""Tiny pictures and tiny trainings, for the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion_tricks.training.data.stream import Batch
from diffusion_tricks.training.loop import Trained
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.run import train

TINY = {"width": 8, "levels": 2, "batch": 4, "sheet_count": 0, "device": "cpu", "report": 3, "held_out": 8, "ema": 0.9}


class Stripes:
    """Upright or flat stripes of random brightness. seen: called with the number of pictures drawn so far."""

    classes = ("upright", "flat")

    def __init__(self, channels: int = 1, size: int = 8, seen: Callable[[int], None] = lambda count: None):
        self.channels, self.size, self.seen, self.drawn = channels, size, seen, 0

    def __len__(self) -> int:
        return 20

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        self.drawn += len(indices)
        self.seen(self.drawn)
        classes = torch.tensor([i % 2 for i in indices])
        rows = torch.tensor(random.uniform(0.3, 1, len(indices)), dtype=torch.float32)[:, None] * self._wave()
        upright = rows[:, None, None, :].expand(-1, self.channels, self.size, -1)
        pictures = torch.where(classes[:, None, None, None] == 0, upright, upright.transpose(2, 3))
        return Batch(pictures, [f"{self.classes[k]} stripes" for k in classes], classes)

    def _wave(self) -> torch.Tensor:
        return torch.where(torch.arange(self.size) % 4 < 2, 1.0, -1.0)


def trained(out: Path, source: Any = None, **options: Any) -> Trained:
    """A tiny training."""
    asked = TrainOptions(**{**TINY, "out": str(out), **options})
    return train(asked, quiet=True, data=data(source))


def data(source: Any = None) -> tuple[Any, Any]:
    """To train on, and to measure on."""
    learned = source or Stripes()
    return learned, Stripes(learned.channels, learned.size)
