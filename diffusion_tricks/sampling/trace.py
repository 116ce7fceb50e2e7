"""Whose values were the first that are no numbers: noted in the loop as sums, read only when a picture fails."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MODEL, SCHEDULER, START = object(), object(), object()
Who = object  # one of these, or the name of a trick


class Trace:
    """What each gave in each step, as one sum: a value that is no number shows in it, and nothing waits for it."""

    def __init__(self) -> None:
        self.sums: list[tuple[Who, int, Tensor]] = []

    def note(self, who: Who, index: int, x: Tensor) -> None:
        """Notes values (b c h w) that somebody gave in step `index`."""
        import torch  # here, as runs are described without it

        self.sums.append((who, index, x.detach().sum(dtype=torch.float32)))

    def first(self) -> tuple[Who, int] | None:
        """Who gave the first value that is no number, and in which step. Waits for the device."""
        import torch

        sums = torch.stack([each for _, _, each in self.sums]).tolist() if self.sums else []
        found = (noted for noted, value in zip(self.sums, sums, strict=True) if not math.isfinite(value))
        return next(((who, index) for who, index, _ in found), None)
