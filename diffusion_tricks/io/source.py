"""The picture a run starts from or edits, and the part of it that the model sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diffusion_tricks.io.pictures import Picture
from diffusion_tricks.io.pixels import fit, flatten, to_tensor
from diffusion_tricks.types import Box, Fit

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


@dataclass(frozen=True)
class Source:
    """A picture, the region of it the model works on (None: all), and how that is fitted to the model's size."""

    picture: Picture
    region: Box | None = None
    how: Fit = "crop"

    def on(self, region: Box) -> Source:
        """The same picture seen through another region, which is stretched to the model's size."""
        return replace(self, region=region, how="stretch")

    @property
    def part(self) -> Image:
        """The region at its own size, as RGB in sRGB."""
        image = self.picture.srgb
        return flatten(image.crop(self.region) if self.region else image)

    def seen(self, size: tuple[int, int]) -> Image:
        """The region at `size` (width, height), as RGB in sRGB."""
        return fit(self.part, size, self.how)

    def tensor(self, size: tuple[int, int]) -> Tensor:
        """The region at `size`: (1 3 h w) in -1..1."""
        return to_tensor(self.seen(size))
