"""Masks that are pictures: white is made new, or what is painted where colour says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion_tricks.plugin import UsageError, alpha_of, flatten, read_picture
from diffusion_tricks_plugins.masks.mask import Canvas, Weights, settled

LOSSY = {".jpg", ".jpeg"}
ALIKE = 4  # of 255: how far a copy of the picture may be from it, in the mean, and still be taken for one


@dataclass(frozen=True)
class MaskFile:
    """A picture file: white is made new, black and what is transparent is kept, gray is a blend."""

    text: str
    path: str

    def draw(self, canvas: Canvas) -> Weights:
        """Raises UsageError for a file of another size, PictureError for one that cannot be read."""
        image = sized(self.path, canvas)
        weights = painted_in_alpha(self.path, image, canvas)
        if weights is None:
            weights = np.asarray(flatten(image, (0, 0, 0)).convert("L"))
        clean = settled(weights)
        if Path(self.path).suffix.lower() in LOSSY and (specks := int(np.count_nonzero(clean != weights))):
            canvas.notes.append(
                f"the mask {self.path} is a JPEG, which blurs its edges: {specks:,} pixels next to black or white were"
                " taken for that; save masks as PNG"
            )
        return clean


def sized(path: str, canvas: Canvas) -> Image.Image:
    """The picture at `path`, of the canvas's size. Raises UsageError that names both sizes."""
    image = read_picture(path).image
    if image.size != canvas.size and not canvas.fit:
        raise UsageError(
            f"mask {path} is {image.width} x {image.height} pixels, expected {canvas.size[0]} x {canvas.size[1]} as"
            f" {canvas.name}; make them equal, or resize the mask with `mask_fit=True`"
        )
    return image if image.size == canvas.size else image.resize(canvas.size, Image.Resampling.BILINEAR)


def painted_in_alpha(path: str, image: Image.Image, canvas: Canvas) -> Weights | None:
    """The weights of a mask that is painted in its own alpha, which is noted; None for one that is black and white.

    That is one colour on a transparent ground, of which the paint is made new; or the picture itself with holes rubbed
    into it, of which the holes are.
    """
    alpha = alpha_of(image)
    if alpha is None or alpha.getextrema()[0] == 255:
        return None
    cover, pixels = np.asarray(alpha), np.asarray(image.convert("RGB"))
    seen = pixels[cover > 0]  # (n 3)
    if not len(seen):
        return None
    if (seen == seen[0]).all() and seen[0].max() < 255:  # white on black says the same anyway
        canvas.notes.append(f"the mask {path} is painted in its alpha: what is opaque in it is made new")
        return cover
    if _is_copy(pixels, cover, canvas):
        canvas.notes.append(f"the mask {path} is the picture with holes in it: what is transparent in it is made new")
        return 255 - cover
    return None


def _is_copy(pixels: NDArray[np.uint8], cover: Weights, canvas: Canvas) -> bool:
    """Whether what is opaque looks as the picture does."""
    if canvas.picture is None:
        return False
    opaque = cover == 255
    original = np.asarray(canvas.picture.image.convert("RGB"))
    differs = np.abs(pixels[opaque].astype(np.int16) - original[opaque])
    return bool(opaque.any() and differs.mean() <= ALIKE)
