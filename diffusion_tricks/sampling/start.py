"""Where a run starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Start:
    """Where a run starts: latents (b c h w) at the level before step `index`."""

    latents: Tensor
    index: int = 0
