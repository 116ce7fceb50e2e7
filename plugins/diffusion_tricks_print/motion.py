"""How a sheet of paper is turned by a view: by quarters, and perhaps over, which a transparency can show.

    seen = rot90^quarters( mirror^mirrored (x) )        the eight symmetries of the square

What is to be read upright through the view stands on the page turned by  mirror^m rot90^-k = rot90^(k or -k) mirror^m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import View

SIDE = 48  # pixels of the noise that tells one motion from another


@dataclass(frozen=True)
class Motion:
    """Mirrored left to right or not, and then turned counter-clockwise, in whole degrees: 0 to 359."""

    degrees: int = 0
    mirrored: bool = False

    @property
    def back(self) -> Motion:
        """The motion that takes it back."""
        return self if self.mirrored else Motion(-self.degrees % 360)

    def moved(self, right: float, down: float) -> tuple[float, float]:
        """Where a point goes, which is given from the middle."""
        right = -right if self.mirrored else right
        cos, sin = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        return right * cos + down * sin, down * cos - right * sin

    def applied(self, x: Tensor) -> Tensor:
        """A picture (b c h w), moved; by quarters alone."""
        return (x.flip(-1) if self.mirrored else x).rot90(self.degrees // 90, (-2, -1))


UPRIGHT = Motion()
MOTIONS = [Motion(degrees, mirrored) for mirrored in (False, True) for degrees in (0, 90, 180, 270)]


def motion_of(views: Sequence[View]) -> Motion | None:
    """What views, one after the other, do to a sheet as a whole; None where they do more than move it."""
    x = _noise()
    seen = _through(views, x)
    return None if seen is None else next((m for m in MOTIONS if m.applied(x).equal(seen)), None)


def is_negative(views: Sequence[View]) -> bool:
    """Whether views, one after the other, leave every pixel in its place and turn its value around."""
    x = _noise()
    seen = _through(views, x)
    return seen is not None and seen.equal(-x)


def _noise() -> Tensor:
    import torch

    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def _through(views: Sequence[View], x: Tensor) -> Tensor | None:
    """x seen through views; None for those that do not fit its size, and so cut it into pieces."""
    try:
        return reduce(lambda seen, view: view.apply(seen), views, x)
    except UsageError:
        return None
