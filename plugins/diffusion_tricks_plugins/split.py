"""What takes a picture apart into components that add up to it, each to show a thing of its own. No torch here.

    x = sum_i f_i(x)        Factorized Diffusion, arXiv:2404.11615, sections 3.2 and 3.4

What all splits are; `splits` has those that there are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from PIL import Image
from pydantic import BaseModel, ConfigDict

from diffusion_tricks.plugin import Size

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffusion_tricks_plugins.filters import Filter
    from diffusion_tricks_plugins.hybrid_frames import Way


class Canvas(NamedTuple):
    """What is taken apart: its shape (c h w), the size of the picture that it is or stands for, and its device."""

    shape: tuple[int, int, int]
    size: Size
    device: torch.device | str = "cpu"

    @property
    def side(self) -> int:
        """The shorter side."""
        return min(self.shape[1:])


def canvas_of(image: Image.Image) -> Canvas:
    """That of a picture itself."""
    return Canvas((3, image.height, image.width), image.size)


class Split(BaseModel):
    """Base of every split: its fields are its parameters.

    linear: it may act on estimates as they are; else on their clean pictures. coloured: it is of colours, of which
    latents have none. placed: it is of places or of the size of the whole, so that a part of that has another. parts:
    how many there are; None leaves it to what is asked.
    """

    linear: ClassVar[bool] = True
    coloured: ClassVar[bool] = False
    placed: ClassVar[bool] = False
    parts: ClassVar[int | None] = 2
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @abstractmethod
    def names(self, count: int) -> list[str]:
        """What each component is called."""

    @abstractmethod
    def bands(self, count: int, canvas: Canvas) -> list[Filter]:
        """What takes each component. Raises UsageError for a canvas that has not so many."""

    def whole(self, bands: Sequence[Filter], pictures: Sequence[Tensor]) -> Tensor:
        """The picture (b c h w) that has every component from a picture of its own."""
        return reduce(add, [band(picture) for band, picture in zip(bands, pictures, strict=True)])

    def in_gamut(self, bands: Sequence[Filter], pictures: Sequence[Tensor]) -> Tensor:
        """As `whole`, of which the first component is to be kept, with the others weakened until it is within -1..1.

        By default they are not: less colour leaves the gray as it is, but for splits of other kinds there is no such
        way.
        """
        return self.whole(bands, pictures)

    def component(self, i: int, count: int, canvas: Canvas) -> Filter:
        """Component i as values of a picture, to be compared."""
        return self.bands(count, canvas)[i]

    @abstractmethod
    def seen(self, count: int, canvas: Canvas) -> list[Filter]:
        """What is seen of a picture where each component is looked for."""

    def blurs(self, count: int, canvas: Canvas) -> list[float | None]:
        """The sigma of the Gaussian through which each is seen, as a share of the shorter side; None is no blur."""
        return [None] * count

    def way(self, image: Image.Image, seen: Image.Image) -> Way:
        """The frames from a picture to what is seen of it: see `Shown`."""
        from diffusion_tricks_plugins.hybrid_frames import fading, way_through

        return way_through(image, seen, fading)


class Low(Split):
    """What passes a filter, and what it leaves."""

    @abstractmethod
    def low(self, canvas: Canvas) -> Filter:
        """The filter."""

    def bands(self, count: int, canvas: Canvas) -> list[Filter]:
        """The filter and its residual."""
        from diffusion_tricks_plugins.filters import two_bands

        return two_bands(self.low(canvas))

    def seen(self, count: int, canvas: Canvas) -> list[Filter]:
        """Through the filter, and as it is."""
        return [self.low(canvas), as_it_is]


def as_it_is(x: Tensor) -> Tensor:
    """The whole."""
    return x


def times(share: float | Tensor, x: Tensor) -> Tensor:
    """A share of the whole."""
    return share * x
