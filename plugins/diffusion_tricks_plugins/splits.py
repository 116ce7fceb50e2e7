"""The splits that there are: blurs, motion, colours, shares, places, and bands of any number. No torch here.

`split_named("gaussian:4,across=1,angle=30")` names one, with its parameters in order or by name. Lengths are in pixels
of a side of 64, and scale with what is taken apart.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from PIL import Image
from pydantic import BeforeValidator, Field

from diffusion_tricks.plugin import UnknownName, UsageError, from_words
from diffusion_tricks_plugins.masks import mask_for
from diffusion_tricks_plugins.split import Canvas, Low, Split, as_it_is, times

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks_plugins.filters import Filter
    from diffusion_tricks_plugins.hybrid_frames import Way

REFERENCE_SIDE = 64
SIGMA, LENGTH = 2.0, 7.0  # of a blur and of a line, at that side
LEAST = 1e-12  # a colour that is none
MOST = 10  # vanishing moments of a wavelet


class Gaussian(Low):
    """A Gaussian blur, as by distance; with `across` and `angle` one that blurs more along the angle than across it.

    sigma: along the angle; across: across it, None is sigma; angle: in degrees, counter-clockwise from the right.
    """

    sigma: float = Field(SIGMA, gt=0, le=64)
    across: float | None = Field(None, gt=0, le=64)
    angle: float = 0.0

    def names(self, count: int) -> list[str]:
        """Far and near."""
        return ["blurred", "sharp"]

    def low(self, canvas: Canvas) -> Filter:
        """The blur."""
        from diffusion_tricks_plugins.kernels import filtering, oriented_gaussian

        across = self.sigma if self.across is None else self.across
        return filtering(oriented_gaussian(self.sigma, across, self.angle, canvas.side).to(canvas.device))

    def blurs(self, count: int, canvas: Canvas) -> list[float | None]:
        """Sigma, where it is the same in all directions."""
        return [self.sigma / REFERENCE_SIDE if self.even else None, None]

    @property
    def even(self) -> bool:
        """Whether it is the same in all directions."""
        return self.across in {None, self.sigma}

    def way(self, image: Image.Image, seen: Image.Image) -> Way:
        """Far away and back, where it is the same in all directions."""
        from diffusion_tricks_plugins.hybrid_frames import fading, shrunk, way_through

        return way_through(image, seen, shrunk if self.even else fading)


class Line(Low):
    """The mean along a line, as by motion; length: in pixels; angle: in degrees, counter-clockwise from the right."""

    length: float = Field(LENGTH, gt=1, le=64)
    angle: float = 0.0

    def names(self, count: int) -> list[str]:
        """In motion, and at rest."""
        return ["moving", "still"]

    def low(self, canvas: Canvas) -> Filter:
        """The blur."""
        from diffusion_tricks_plugins.kernels import filtering, line

        return filtering(line(self.length, self.angle, canvas.side).to(canvas.device))

    def way(self, image: Image.Image, seen: Image.Image) -> Way:
        """Shaken along the line."""
        from diffusion_tricks_plugins.hybrid_frames import swung, way_through

        return way_through(image, seen, partial(swung, self.angle))


class Gray(Low):
    """The mean of the channels, and the colour that it leaves."""

    coloured: ClassVar[bool] = True

    def names(self, count: int) -> list[str]:
        """In dim light, and in bright."""
        return ["gray", "colour"]

    def low(self, canvas: Canvas) -> Filter:
        """The mean."""
        from diffusion_tricks_plugins.filters import gray

        return gray

    def in_gamut(self, bands: Sequence[Filter], pictures: Sequence[Tensor]) -> Tensor:
        """With as much of its colour as fits."""
        low, colour = (band(picture) for band, picture in zip(bands, pictures, strict=True))
        room = (1 - low * colour.sign()) / colour.abs().clamp(min=LEAST)  # in shares of the colour
        return low + room.amin(1, keepdim=True).clamp(0, 1) * colour


class Lab(Split):
    """Lightness, and the colours a and b, of CIELAB; which is not linear, so that clean pictures are taken apart."""

    linear: ClassVar[bool] = False
    coloured: ClassVar[bool] = True

    def names(self, count: int) -> list[str]:
        """In dim light, and in bright."""
        return ["lightness", "colour"]

    def bands(self, count: int, canvas: Canvas) -> list[Filter]:
        """Of L, a, b."""
        return [partial(_channels, [1.0, 0.0, 0.0]), partial(_channels, [0.0, 1.0, 1.0])]

    def whole(self, bands: Sequence[Filter], pictures: Sequence[Tensor]) -> Tensor:
        """The sum in Lab."""
        from diffusion_tricks_plugins.lab import from_lab, to_lab

        return from_lab(super().whole(bands, [to_lab(picture) for picture in pictures]))

    def in_gamut(self, bands: Sequence[Filter], pictures: Sequence[Tensor]) -> Tensor:
        """With as much of its colour as fits."""
        from diffusion_tricks_plugins.lab import from_lab, most_colour, to_lab

        low, colour = (band(to_lab(picture)) for band, picture in zip(bands, pictures, strict=True))
        return most_colour(lambda share: from_lab(low + share * colour), low)

    def component(self, i: int, count: int, canvas: Canvas) -> Filter:
        """The gray of that lightness; or the colour on a middle gray."""
        return partial(_in_lab, [0.0, 50.0][i], self.bands(count, canvas)[i])

    def seen(self, count: int, canvas: Canvas) -> list[Filter]:
        """Without colour, and as it is."""
        return [self.component(0, count, canvas), as_it_is]


def _ratio(value: Any) -> Any:
    """2/1 as 2 and 1."""
    return value.split("/") if isinstance(value, str) else value


class Scale(Split):
    """A share of the whole for each: `scale:2/1` is two thirds and one third; alone, equal shares."""

    parts: ClassVar[int | None] = None
    shares: Annotated[list[Annotated[float, Field(gt=0)]], BeforeValidator(_ratio)] = Field([])

    def names(self, count: int) -> list[str]:
        """By their shares."""
        return [f"share {i + 1}" for i in range(count)]

    def bands(self, count: int, canvas: Canvas) -> list[Filter]:
        """Shares that add up to 1."""
        shares = self.shares or [1.0] * count
        if len(shares) != count:
            raise UsageError(f"split scale: expected {count} shares, one for each part, got {len(shares)}")
        return [partial(times, share / sum(shares)) for share in shares]

    def seen(self, count: int, canvas: Canvas) -> list[Filter]:
        """Always all at once."""
        return [as_it_is] * count


class Mask(Low):
    """Inside a mask, and outside; it may be soft. where: a file (white is inside), `box:` or `ellipse:`."""

    placed: ClassVar[bool] = True
    where: str

    def names(self, count: int) -> list[str]:
        """Inside and outside."""
        return ["inside", "outside"]

    def low(self, canvas: Canvas) -> Filter:
        """The inside."""
        return partial(times, self.weights(canvas))

    def weights(self, canvas: Canvas) -> Tensor:
        """The mask (1 1 h w) of 0..1; where a pixel stands for many, their mean."""
        import torch
        import torch.nn.functional as F

        weights = torch.from_numpy(mask_for(self.where, canvas.size, fit=True).weights.astype("float32") / 255)
        return F.interpolate(weights[None, None], canvas.shape[1:], mode="area").to(canvas.device)

    def seen(self, count: int, canvas: Canvas) -> list[Filter]:
        """With the rest covered by white paper."""
        mask = self.weights(canvas)
        return [lambda x: 1 + mask * (x - 1), lambda x: 1 + (1 - mask) * (x - 1)]


class Levels(Split):
    """Coarse to fine, a band for each part."""

    parts: ClassVar[int | None] = None

    @abstractmethod
    def approximation(self, levels: int, canvas: Canvas) -> Filter:
        """What so many halvings leave."""

    def names(self, count: int) -> list[str]:
        """The coarsest first."""
        return [f"band {i + 1}" for i in range(count)]

    def halvings(self, count: int, canvas: Canvas) -> list[int]:
        """How often what all bands but the finest are made of was halved: at a side of 128 once more than at 64."""
        more = max(0, round(math.log2(canvas.side / REFERENCE_SIDE)))
        return [k + more for k in range(count - 1, 0, -1)]

    def bands(self, count: int, canvas: Canvas) -> list[Filter]:
        """The coarsest first."""
        from diffusion_tricks_plugins.pyramids import bands, check_levels

        halvings = self.halvings(count, canvas)
        check_levels(halvings[0], canvas.side, count)
        return bands([self.approximation(k, canvas) for k in halvings])

    def seen(self, count: int, canvas: Canvas) -> list[Filter]:
        """From afar, and ever nearer."""
        return [*(self.approximation(k, canvas) for k in self.halvings(count, canvas)), as_it_is]

    def way(self, image: Image.Image, seen: Image.Image) -> Way:
        """Far away and back."""
        from diffusion_tricks_plugins.hybrid_frames import shrunk, way_through

        return way_through(image, seen, shrunk)


class Pyramid(Levels):
    """A Laplacian pyramid."""

    def approximation(self, levels: int, canvas: Canvas) -> Filter:
        """Blurred and halved, and brought back to size."""
        from diffusion_tricks_plugins.pyramids import pyramid

        return pyramid(levels)

    def blurs(self, count: int, canvas: Canvas) -> list[float | None]:
        """As wide as a Gaussian of the same variance."""
        from diffusion_tricks_plugins.pyramids import pyramid_sigma

        return [*(pyramid_sigma(k) / canvas.side for k in self.halvings(count, canvas)), None]


class Wavelet(Levels):
    """A wavelet transform: `wavelet:db2`, Daubechies' with two vanishing moments; haar and db1 are the same."""

    placed: ClassVar[bool] = True
    name: str = Field("db2", pattern=rf"^(haar|db([1-9]|{MOST}))$")

    def approximation(self, levels: int, canvas: Canvas) -> Filter:
        """Without the details of so many levels."""
        from diffusion_tricks_plugins.pyramids import wavelet

        moments = 1 if self.name == "haar" else int(self.name.removeprefix("db"))
        return wavelet(moments, levels, *canvas.shape[1:], canvas.device)


SPLITS: dict[str, type[Split]] = {
    "pyramid": Pyramid, "wavelet": Wavelet, "gaussian": Gaussian, "line": Line, "gray": Gray, "lab": Lab,
    "scale": Scale, "mask": Mask,
}  # fmt: skip


def split_named(text: str, mask: str | None = None) -> Split:
    """The split that `name:value,...,parameter=value,...` stands for; mask: that of `mask`, which takes no other.

    Raises UnknownName for an unknown one, UsageError for parameters that it does not take.
    """
    return Mask(where=mask) if text == "mask" and mask is not None else from_words("split", text, _found)


def _found(name: str) -> type[Split]:
    if name not in SPLITS:
        raise UnknownName("split", name, SPLITS)
    return SPLITS[name]


def _channels(weights: Sequence[float], x: Tensor) -> Tensor:
    return x * x.new_tensor(weights)[:, None, None]


def _in_lab(lightness: float, band: Filter, x: Tensor) -> Tensor:
    from diffusion_tricks_plugins.lab import from_lab, to_lab

    return from_lab(band(to_lab(x)) + x.new_tensor((lightness, 0.0, 0.0))[:, None, None])
