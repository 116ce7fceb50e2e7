"""What was measured of a picture: a part, a blurred one, a small one.      arXiv:2209.14687, section 2.2

y = A x0 + n        A is linear; A A^T = c where every value that was measured weighs alike
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import gaussian_blur

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Measurement:
    """How a picture was measured, by one of these; by none of them, as it is.

    known: (1 1 H W), 1 where the picture is known, 0 where it is not. sigma: of a blur, in pixels, > 0. factor: times
    that the sides are made smaller, by the mean of as many pixels a side.
    """

    known: Tensor | None = None
    sigma: float | None = None
    factor: int | None = None

    def of(self, x: Tensor) -> Tensor:
        """A x of pictures (b 3 H W)."""
        import torch.nn.functional as F

        if self.known is not None:
            return x * self.known.to(x)
        if self.sigma is not None:
            taps = min(2 * math.ceil(3 * self.sigma) + 1, 2 * min(x.shape[-2:]) - 1)
            return gaussian_blur(x, taps, self.sigma)
        return x if self.factor is None else F.avg_pool2d(x, self.factor)

    @property
    def power(self) -> float:
        """c, where A A^T = c, as for all but a blur."""
        return 1.0 if self.factor is None else 1 / self.factor**2


__all__ = ["Measurement"]
