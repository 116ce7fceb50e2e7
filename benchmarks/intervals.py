"""How sure a mean over pairs is: the bootstrap."""

from __future__ import annotations

import torch
from torch import Tensor

DRAWS = 4000
SEED = 180


def bootstrap(values: Tensor) -> tuple[float, float]:
    """The 95 % interval of the mean of values (n), by drawing n of them again and again (Efron 1979, percentiles)."""
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.randint(len(values), (DRAWS, len(values)), generator=generator)
    low, high = values.double()[chosen].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
