"""A picture in the mode and at the depth of its file, so that what is not changed stays what it was.

What is made anew is 8-bit RGB, and is brought to that depth: v * top / 255, which of 16 bit is v * 257.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from diffusion_tricks.io.colour import from_srgb, to_srgb

Samples = NDArray[Any]
CHANNELS = {"1": 1, "L": 1, "RGB": 3, "CMYK": 4}


@dataclass(frozen=True)
class Raster:
    """A picture as its file holds it, upright.

    samples: (h w c), read-only: the colours, then the alpha if there is one; of "1" they are 0 and 255.
    mode: of the colours: "1", "L", "RGB" or "CMYK".  top: the value of white, or of most ink; `1.0` or more of floats.
    icc: the profile that describes the colours.
    """

    samples: Samples
    mode: str
    top: float = 255
    icc: bytes | None = None

    def __post_init__(self) -> None:
        self.samples.setflags(write=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.samples.shape[1], self.samples.shape[0]

    @property
    def alpha(self) -> bool:
        """Whether the last channel is alpha, 0 for transparent and `top` for opaque."""
        return bool(self.samples.shape[2] > CHANNELS[self.mode])

    @property
    def deep(self) -> bool:
        """Whether a sample is more than 8 bit."""
        return bool(self.samples.dtype != np.uint8)

    def named(self) -> str:
        """What it is, such as "16-bit RGBA"."""
        names = {255: "8-bit", 4095: "12-bit", 65535: "16-bit"}
        if self.mode == "1":
            return "1-bit black and white"
        depth = {"f": "floating-point", "i": "32-bit"}.get(self.samples.dtype.kind) or names[int(self.top)]
        return f"{depth} {'gray' if self.mode == 'L' else self.mode}{' with alpha' if self.alpha else ''}"

    def shown(self) -> Image.Image:
        """The picture as 8-bit RGB or RGBA: of RGB in its own space, of gray and inks in sRGB."""
        colours = eight_bit(self.samples, self.top)
        alpha = Image.fromarray(np.ascontiguousarray(colours[..., -1])) if self.alpha else None
        image = _image(colours[..., : CHANNELS[self.mode]], self.mode)
        if self.mode != "RGB":
            image = to_srgb(image, self.icc).convert("RGB")
        if alpha:
            image.putalpha(alpha)
        return image

    def values_of(self, image: Image.Image) -> Samples:
        """The colours (h w c) of an 8-bit RGB picture, as `shown` gives them, in this one's mode and depth."""
        if self.mode != "RGB":
            image = from_srgb(image.convert("RGB"), self.icc, "L" if self.mode == "1" else self.mode)
        values = np.asarray(image if self.mode != "RGB" else image.convert("RGB"))
        return self.promoted(values.reshape(*values.shape[:2], -1))

    def promoted(self, values: Samples) -> Samples:
        """8-bit values at this depth."""
        return promoted(values, self.samples.dtype, self.top)

    def with_part(self, part: Samples, corner: tuple[int, int]) -> Raster:
        """A copy with `part` (h w c) in it, whose left top corner is (x, y)."""
        samples = self.samples.copy()
        x, y = corner
        samples[y : y + part.shape[0], x : x + part.shape[1]] = part
        return replace(self, samples=samples)

    def drawn(self, finished: Image.Image) -> Raster:
        """What became of the picture: where `finished` differs from `shown`, its values; all else by index as it was.

        One of another size, or that has alpha where this has none, is taken whole.
        """
        before = self.shown()
        if finished.mode not in {"RGB", "RGBA"}:
            finished = finished.convert("RGBA" if finished.has_transparency_data else "RGB")
        if finished.size != before.size or finished.mode != before.mode:
            return self.whole(finished)
        box = ImageChops.difference(finished, before).getbbox(alpha_only=False)
        if box is None:
            return self
        left, top, right, bottom = box
        changed = _differs(np.asarray(finished.crop(box)), np.asarray(before.crop(box)))
        new, old = self.whole(finished.crop(box)).samples, self.samples[top:bottom, left:right]
        return self.with_part(np.where(changed[..., None], new, old), (left, top))

    def whole(self, image: Image.Image) -> Raster:
        """Another 8-bit picture (RGB or RGBA), in this one's mode, depth and space."""
        values = self.values_of(image)
        if image.mode == "RGBA":
            values = np.concatenate([values, self.promoted(np.asarray(image)[..., 3:])], axis=2)
        return replace(self, samples=values)


@dataclass(frozen=True)
class Repainted:
    """A picture that was changed in part: what became of it, and where (h w) it was kept as it was."""

    raster: Raster
    kept: NDArray[np.bool_]


def raster_of(image: Image.Image, icc: bytes | None) -> Raster:
    """An 8-bit picture (L, LA, RGB or RGBA) as it is."""
    values = np.asarray(image)
    return Raster(values.reshape(*values.shape[:2], -1), image.mode.rstrip("A"), icc=icc)


def eight_bit(samples: Samples, top: float) -> NDArray[np.uint8]:
    """Samples 0..top as 0..255, rounded to the nearest."""
    if samples.dtype == np.uint8 and top == 255:
        return samples
    if samples.dtype.kind == "f":
        return (samples * (255 / top)).clip(0, 255).round().astype(np.uint8)
    whole = int(top)
    return ((samples.astype(np.uint32) * 255 + whole // 2) // whole).astype(np.uint8)


def promoted(values: Samples, dtype: np.dtype[Any], top: float) -> Samples:
    """8-bit values as 0..top."""
    if dtype == np.uint8 and top == 255:
        return values
    if top == 65535 and dtype.kind != "f":
        return np.multiply(values, 257, dtype=dtype)
    scaled = values * (top / 255)
    return np.asarray(scaled if dtype.kind == "f" else scaled.round(), dtype)


def changed_pixels(before: Raster, after: Raster) -> NDArray[np.bool_]:
    """Where (h w) two pictures differ, in any channel, at the greater depth of both; everywhere, if in their sizes.

    What one of them lacks counts as what it stands for: gray as three equal colours, no alpha as opaque.
    """
    if before.size != after.size:
        return np.ones(before.samples.shape[:2], np.bool_)
    if before.mode != after.mode and "CMYK" in (before.mode, after.mode):
        before, after = raster_of(before.shown(), None), raster_of(after.shown(), None)
    if before.samples.shape == after.samples.shape and _depth(before) == _depth(after):
        return _differs(before.samples, after.samples)
    channels = max(CHANNELS[before.mode], CHANNELS[after.mode])
    differs = np.zeros(before.samples.shape[:2], np.bool_)
    for i in range(channels + (before.alpha or after.alpha)):
        differs |= _channel(before, i, channels) != _channel(after, i, channels)
    return differs


def _depth(raster: Raster) -> tuple[object, float]:
    return raster.samples.dtype, raster.top


def _differs(one: Samples, other: Samples) -> NDArray[np.bool_]:
    """Where (h w) two arrays (h w c) differ in any channel; by channels, which is quicker than along the last axis."""
    differs: NDArray[np.bool_] = np.asarray(one[..., 0] != other[..., 0])
    for i in range(1, one.shape[2]):
        differs |= one[..., i] != other[..., i]
    return differs


def _channel(raster: Raster, i: int, channels: int) -> Samples:
    """Channel `i` (h w) as if there were so many of colour, in 0..1, where equal shares are equal."""
    own = CHANNELS[raster.mode]
    if i == channels:
        values = raster.samples[..., own] if raster.alpha else np.array(raster.top)
    else:
        values = raster.samples[..., min(i, own - 1)]
    return values.astype(np.float64) / raster.top


def _image(colours: NDArray[np.uint8], mode: str) -> Image.Image:
    colours = np.ascontiguousarray(colours)
    if mode == "CMYK":
        return Image.frombytes("CMYK", (colours.shape[1], colours.shape[0]), colours.tobytes())
    return Image.fromarray(colours if mode == "RGB" else colours[..., 0])
