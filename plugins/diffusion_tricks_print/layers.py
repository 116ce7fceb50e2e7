"""Transparencies that add up to a picture when they are laid over one another in front of a light.

    T_1 = g_1 p_1,   T_i = g_i p_i / p_(i-1),   so that   T_1 T_2 ... T_n = g p_n,   g = g_1 g_2 ... g_n

Films multiply what light they let pass, so p are linear intensities, the coarsest picture first, the whole one last;
g_i <= 1 keeps each film at or below clear film. p is lifted to a floor, as no film is wholly black.
sRGB: IEC 61966-2-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FLOOR = 0.02  # of the light that clear film lets pass
CLIPPED = 0.005  # share of the values of a film that may come out as clear film where it should be clearer still

Light = NDArray[np.float64]  # (h w 3), 0..1, linear


def films(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """One film for each of pictures of one size, RGB, the coarsest first and the whole one last."""
    lights = [FLOOR + (1 - FLOOR) * linear(picture) for picture in pictures]
    return [encoded(lights[0]), *(encoded(_dimmed(fine / coarse)) for coarse, fine in pairwise(lights))]


def _dimmed(passing: Light) -> Light:
    """Scaled so that all but the brightest `CLIPPED` fit below clear film."""
    return passing / max(float(np.quantile(passing, 1 - CLIPPED)), 1.0)


def linear(image: Image.Image) -> Light:
    """The light of an sRGB picture."""
    x = np.asarray(image, dtype=np.float64) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def encoded(light: Light) -> Image.Image:
    """Light as an sRGB picture."""
    x = light.clip(0, 1)
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return Image.fromarray((srgb * 255).round().astype(np.uint8))
