"""Whose values were the first that are no numbers: noted in the loop as sums, read only when a picture fails."""

from __future__ import annotations

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
