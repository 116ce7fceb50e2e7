"""A view for anagrams: what is in the corners comes to the centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.plugin import View

if TYPE_CHECKING:
    from torch import Tensor


class Crosswise(View):
    """The four quarters of the picture, each in the place of the one diagonally across."""

    def apply(self, x: Tensor) -> Tensor:
        """Shifted by half the picture in both directions, around the edge."""
        return x.roll((x.shape[-2] // 2, x.shape[-1] // 2), (-2, -1))

    def invert(self, x: Tensor) -> Tensor:
        """Shifted back."""
        return x.roll((-(x.shape[-2] // 2), -(x.shape[-1] // 2)), (-2, -1))
