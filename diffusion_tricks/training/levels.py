"""The loss by noise level: a running mean for each tenth of the schedule."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BINS = 10
KEPT = 0.98  # of a mean, where a new error comes


class Levels:
    """Running means of the error, in `BINS` equal parts of the timesteps 0..total, the least noisy first."""

    def __init__(self, total: int):
        self.total, self.means = total, torch.full((BINS,), torch.nan, dtype=torch.float64)

    def note(self, t: Tensor, errors: Tensor) -> None:
        """Takes in the errors (b) at timesteps (b)."""
        bins = (t.detach().cpu().double() / self.total * BINS).long().clamp(0, BINS - 1)
        for place, error in zip(bins.tolist(), errors.detach().cpu().double(), strict=True):
            known = self.means[place]
            self.means[place] = error if known.isnan() else KEPT * known + (1 - KEPT) * error

    def rounded(self) -> list[float | None]:
        """The means; None where nothing was noted yet."""
        return [None if mean != mean else round(mean, 5) for mean in self.means.tolist()]

    def restore(self, means: Sequence[float | None]) -> None:
        """Goes on from what `rounded` gave."""
        self.means = torch.tensor([torch.nan if mean is None else mean for mean in means], dtype=torch.float64)
