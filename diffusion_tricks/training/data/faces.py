"""Installed fonts whose digits look like digits. Craft, not science: there is no paper behind this."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

DIGITS = "0123456789"
SUFFIXES = {".ttf", ".otf"}
LOOKED_AT = 120  # font files, spread evenly over those installed
FACES = 24
LIKE = 0.55  # least overlap with the built-in font's digits: leaves out symbols and ornaments
PIXELS = 48


@cache
def digit_faces(folders: tuple[Path, ...], most: int = FACES) -> tuple[np.ndarray, ...]:
    """The digits of up to `most` faces, each as ink (10 48 48) of 0 or 1 that fills its square, Pillow's own first.

    Where no font is installed it is Pillow's own alone, with a warning that says so.
    """
    own = digits_of(ImageFont.load_default(PIXELS))
    assert own is not None, "Pillow's built-in font draws digits"
    installed = (digits_of(font) for font in _fonts(folders))
    usable = [ink for ink in installed if ink is not None and _alike(ink, own)]
    if not usable:
        warnings.warn("no usable fonts are installed; all digits come from Pillow's built-in font", stacklevel=2)
    return (own, *usable[: most - 1])


def digits_of(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> np.ndarray | None:
    """The ten digits of a font as ink (10 48 48), the longer side of each filling the square; None where one is blank.

    A zero with a dot or a stroke in it counts as blank: nobody writes one by hand.
    """
    glyphs = [_glyph(font, digit) for digit in DIGITS]
    if any(glyph is None for glyph in glyphs):
        return None
    ink = np.stack([glyph for glyph in glyphs if glyph is not None])
    middle = slice(PIXELS * 7 // 16, PIXELS * 9 // 16)
    return None if ink[0, middle, middle].any() else ink


def _glyph(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, digit: str) -> np.ndarray | None:
    mask = font.getmask(digit, mode="L")
    picture = Image.frombytes("L", mask.size, bytes(mask))
    box = picture.getbbox()
    if box is None:
        return None
    tight = picture.crop(box)
    zoom = PIXELS / max(tight.size)
    tight = tight.resize((max(1, round(tight.width * zoom)), max(1, round(tight.height * zoom))))
    square = Image.new("L", (PIXELS, PIXELS))
    square.paste(tight, ((PIXELS - tight.width) // 2, (PIXELS - tight.height) // 2))
    return np.asarray(square) > 127


def _alike(ink: np.ndarray, other: np.ndarray) -> bool:
    shared = (ink & other).sum((1, 2)) / np.minimum(ink.sum((1, 2)), other.sum((1, 2)))
    return bool(shared.mean() > LIKE)


def _fonts(folders: tuple[Path, ...]) -> Iterator[ImageFont.FreeTypeFont]:
    found = (Path(top) / name for folder in folders for top, _, names in os.walk(folder) for name in names)
    files = sorted(file for file in found if file.suffix.lower() in SUFFIXES)
    for file in files[:: max(1, len(files) // LOOKED_AT)]:
        try:
            yield ImageFont.truetype(str(file), PIXELS)
        except OSError:  # damaged, or of fixed sizes
            continue
