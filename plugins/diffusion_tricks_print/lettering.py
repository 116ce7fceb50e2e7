"""Words in millimetres: the typeface that has every letter, and lines that fit.

Craft, not science: there is no paper behind this.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import Typeface, UsageError, check_glyphs, find_typeface, font_for

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

MEASURED = 200  # px: the size at which letters are measured
SMALLEST, STEP = 1.4, 0.2  # mm
PITCH = 1.3  # from line to line, in sizes


def typeface_for(text: str, font: str | None) -> Typeface:
    """The typeface that is asked for; else the built-in one, or an installed one for letters that this lacks.

    Raises UsageError for an unknown font, and for letters that no font at hand has.
    """
    face = find_typeface(font)
    try:
        check_glyphs(text, face)
    except UsageError:
        able = None if font else font_for(text)
        if able is None:
            raise
        return find_typeface(able)
    return face


@lru_cache(maxsize=8)
def _measuring(face: Typeface) -> FreeTypeFont:
    return face.at(MEASURED)


def width_of(text: str, face: Typeface, size: float) -> float:
    """How wide a line is, in the unit of `size`."""
    return _measuring(face).getlength(text) / MEASURED * size


def wrapped(text: str, face: Typeface, size: float, width: float) -> list[str]:
    """The words in lines no wider than `width`, but for a word that is wider."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if width_of(longer, face, size) <= width or not lines[-1] else [lines[-1], word]
    return lines


def fitted(text: str, face: Typeface, size: float, width: float, height: float) -> tuple[list[str], float]:
    """The lines in which text fits into `width` and `height`, and their size: `size`, or less where that is too large.

    Raises UsageError for a text that does not fit at all.
    """
    for smaller in _sizes(size):
        lines = wrapped(text, face, smaller, width)
        low = len(lines) * smaller * PITCH <= height
        if low and all(width_of(line, face, smaller) <= width for line in lines):
            return lines, smaller
    raise UsageError(f"the caption {text[:40]!r}... does not fit at {SMALLEST} mm; say a shorter one with `views`")


def _sizes(size: float) -> Iterator[float]:
    while size > SMALLEST:
        yield size
        size -= STEP
    yield SMALLEST
