"""A mask shown on its picture: what is made new in colour, its edge and its box as lines."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from diffusion_tricks.plugin import flatten
from diffusion_tricks_plugins.masks.mask import Mask

TINT = (255, 32, 96)
STRENGTH = 0.45  # of the tint where all is made new
BOX = (255, 214, 0)


def preview(image: Image.Image, mask: Mask) -> Image.Image:
    """The picture (RGB) at its own size with the mask over it."""
    share = mask.weights[..., None].astype(np.float32) / 255 * STRENGTH  # (h w 1)
    tinted = np.asarray(flatten(image)) * (1 - share) + np.array(TINT, np.float32) * share
    width = max(1, round(min(image.size) / 400))  # px of a line
    tinted[_rim(mask, width)] = 255
    tinted[_rim(mask, 2 * width) & ~_rim(mask, width)] = 0
    shown = Image.fromarray(tinted.round().astype(np.uint8))
    left, top, right, bottom = mask.bounds
    ImageDraw.Draw(shown).rectangle((left, top, right - 1, bottom - 1), outline=BOX, width=width)
    return shown


def _rim(mask: Mask, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The pixels in the mask that are at most `width` px from one that is kept."""
    from scipy.ndimage import binary_erosion

    inside = mask.weights > 0
    return inside & ~np.asarray(binary_erosion(inside, iterations=width, border_value=1))
