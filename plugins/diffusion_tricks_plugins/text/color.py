"""Colours and how well one is read on another.

contrast = (L1 + 0.05) / (L2 + 0.05), L the relative luminance      WCAG 2.2, a standard; there is no paper behind this

No torch here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

Color = tuple[int, int, int, int]
Floats = NDArray[np.float64]
BLACK: Color = (0, 0, 0, 255)
WHITE: Color = (255, 255, 255, 255)
SHARES = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue in what is seen


def parse_color(name: str) -> Color:
    """RGBA of a colour name or code as Pillow reads it ("navy", "#0008", "hsl(30, 100%, 50%)")."""
    red, green, blue, *alpha = ImageColor.getrgb(name)
    return red, green, blue, alpha[0] if alpha else 255


def named(color: Color) -> str:
    """`#rrggbb`, or `#rrggbbaa` where something shines through."""
    return "#" + bytes(color[:3] if color[3] == 255 else color).hex()


def _linear(value: Floats) -> Floats:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


PARTS = (SHARES[:, None] * _linear(np.arange(256) / 255)).astype(np.float32)  # of luminance, by channel and value


def relative_luminance(rgb: Floats) -> Floats:
    """WCAG's relative luminance, 0 (black) to 1 (white), of sRGB values 0 to 255 (..., 3)."""
    return np.asarray(_linear(rgb / 255) @ SHARES, dtype=np.float64)


def luminances(image: Image.Image) -> NDArray[np.float32]:
    """The relative luminance of every pixel of an 8-bit RGB picture (h w)."""
    red, green, blue = (part[np.asarray(band)] for part, band in zip(PARTS, image.split(), strict=True))
    return np.asarray(red + green + blue)


def luminance(color: Color) -> float:
    """The relative luminance of one colour, whatever shines through it."""
    return float(relative_luminance(np.array(color[:3], dtype=np.float64)))


def contrast(one: float, other: float) -> float:
    """WCAG's contrast ratio of two luminances: 1 (none) to 21 (black on white)."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def contrasts(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """WCAG's contrast ratios of luminances, pixel by pixel."""
    return np.asarray((np.maximum(one, other) + 0.05) / (np.minimum(one, other) + 0.05))


def opposite(color: Color) -> Color:
    """Black or white, whichever sets off `color` better: for strokes, shadows, and what is laid under letters."""
    light = luminance(color)
    return BLACK if contrast(0.0, light) > contrast(1.0, light) else WHITE


def on_paper(image: Image.Image) -> Image.Image:
    """The picture as RGB, seen on white paper where it is transparent."""
    page = Image.new("RGBA", image.size, WHITE)
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")
