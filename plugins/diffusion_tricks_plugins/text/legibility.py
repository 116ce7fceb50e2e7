"""Legibility: the contrast under every letter, what is laid under them until it suffices, and small copies.

A letter is read against what is under it and around it, as far as its edge blurs. Its contrast is the lesser of two:
that of the mean there, and the one that nineteen pixels in twenty reach.

contrast = (L1 + 0.05) / (L2 + 0.05), L the relative luminance      WCAG 2.2, success criterion 1.4.3

No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion_tricks_plugins.text.color import (
    BLACK,
    WHITE,
    Color,
    contrast,
    contrasts,
    luminance,
    luminances,
    opposite,
)
from diffusion_tricks_plugins.text.inking import Ink

Way = Literal["auto", "scrim", "stroke", "box", "none"]
NORMAL, LARGE = 4.5, 3.0  # contrast that WCAG asks for (level AA)
LARGE_POINTS, POINTS, SCREEN = 18, 72, 96  # pt from which letters are large, pt to an inch, px to an inch of a screen
REACH = 1 / 24  # of the letters' size: how far around a letter its ground is looked at
WORST = 0.05  # of the pixels around a letter may have less
SPARE = 1.02  # of the contrast that is aimed at, for what rounding takes
PALER = 0.8  # of a dark scrim's strength that a light one must not exceed to be taken: dark ones disturb less
THICKEST = 0.6  # of a scrim; where more is needed, a box is clearer
SOLID = 0.55  # of a box at least
THUMBNAIL = 160  # px of the longer side, as in a shop's list
SMALLEST_CAPITALS = 6  # px, of letters that can be told apart


@dataclass(frozen=True)
class Backing:
    """What is laid under letters: its kind, its colour with its strength, and a stroke's width in px."""

    kind: Literal["none", "scrim", "stroke", "box"] = "none"
    color: Color = (0, 0, 0, 0)
    width: int = 0


@dataclass(frozen=True)
class Reading:
    """How well a text is read: the least contrast of its letters, and the letter that has it."""

    contrast: float
    worst: str


Ground = Callable[[Color, Backing], Image.Image]  # what is seen under letters of a colour; see `ground_box`


def needed(size: int, dpi: int | None) -> float:
    """The contrast that letters of `size` px need, by WCAG; large ones, 18 pt and more, need less."""
    return LARGE if size * POINTS >= LARGE_POINTS * (dpi or SCREEN) else NORMAL


def reach_of(size: int) -> int:
    """How many px around letters of `size` px their ground is looked at."""
    return max(round(size * REACH), 1)


def reading(ground: Image.Image, ink: Ink, color: Color, reach: int) -> Reading | None:
    """How well the letters of `ink` in `color` are read on `ground`, RGB, which is `reach` px larger all round.

    None where there are no letters, but signs in colours of their own.
    """
    under, share = luminances(ground), color[3] / 255
    letters = Image.blend(ground, Image.new("RGB", ground.size, color[:3]), share)
    seen = luminances(letters) if share < 1 else np.full_like(under, luminance(color))
    found = list[tuple[float, str]]()
    for text, part, inside in around(ink, reach):
        one, other = seen[part][inside], under[part][inside]
        rank = int(WORST * (len(one) - 1))
        worst = np.partition(contrasts(one, other), rank)[rank]
        found.append((min(contrast(float(one.mean()), float(other.mean())), float(worst)), text))
    return Reading(*min(found)) if found else None


@lru_cache(maxsize=16)
def around(ink: Ink, reach: int) -> list[tuple[str, tuple[slice, slice], NDArray[np.bool_]]]:
    """Of every letter its sign, its part of a ground `reach` px larger all round, and which pixels are near its ink."""
    from scipy.ndimage import maximum_filter  # here, as help needs none of it

    near = maximum_filter(np.pad(np.asarray(ink.letters), reach), 2 * reach + 1) > 127  # (h w)
    found = []
    for glyph in ink.glyphs:
        left, top, right, bottom = glyph.box
        part = np.s_[top : bottom + 2 * reach, left : right + 2 * reach]
        if near[part].any():
            found.append((glyph.text.strip(), part, near[part]))
    return found


def settled(
    ground: Ground, ink: Ink, colors: Sequence[Color], size: int, least: float, way: Way
) -> tuple[Color, Backing]:  # fmt: skip
    """The colour of letters, and what is laid under them so that their contrast is `least`.

    Of the colours that reach it alone the best, else the one that needs the weakest backing, which then gives what
    small letters need; with `way` "none" the best without any.
    """
    reach, bare = reach_of(size), Backing()

    def contrast_with(color: Color, backing: Backing) -> float:
        found = reading(ground(color, backing), ink, color, reach)
        return found.contrast if found else 21.0

    plain = {color: contrast_with(color, bare) for color in colors}
    best = max(plain, key=lambda color: plain[color])
    if plain[best] >= least or way == "none":
        return best, bare
    aim = SPARE * max(least, NORMAL)
    if way == "stroke":
        return best, _stroke(contrast_with, best, reach, size, aim)
    strengths = {color: _strength(contrast_with, color, aim) for color in colors}
    color = min(strengths, key=lambda color: strengths[color] * (PALER if opposite(color) == BLACK else 1))
    return color, _laid(color, strengths[color], way)


def _strength(contrast_with: Callable[[Color, Backing], float], color: Color, aim: float) -> int:
    """The least strength, 1 to 255, of a veil in the opposite colour under letters of `color`, found by halving."""
    low, high = 0, 255
    while low + 1 < high:
        middle = (low + high) // 2
        enough = contrast_with(color, Backing("scrim", (*opposite(color)[:3], middle))) >= aim
        low, high = (low, middle) if enough else (middle, high)
    return high


def _laid(color: Color, strength: int, way: Way) -> Backing:
    boxed = way == "box" or (way == "auto" and strength > 255 * THICKEST)
    if boxed:
        return Backing("box", (*opposite(color)[:3], max(strength, round(255 * SOLID))))
    return Backing("scrim", (*opposite(color)[:3], strength))


def _stroke(
    contrast_with: Callable[[Color, Backing], float], color: Color, reach: int, size: int, aim: float
) -> Backing:  # fmt: skip
    """The thinnest stroke that suffices, or the thickest that suits letters of `size` px."""
    most = max(size // 6, reach + 1)
    for width in range(1, most + 1):
        backing = Backing("stroke", opposite(color), width)
        if contrast_with(color, backing) >= aim:
            break
    return backing


def scrim_mask(ink: Ink, full: int, fade: int) -> tuple[Image.Image, int]:
    """A veil's strength behind letters: full up to `full` px from their ink, then fading out over `fade` px.

    With it by how many px it stands out around the ink on every side.
    """
    from scipy.ndimage import distance_transform_edt  # here, as help needs none of it

    room = full + fade
    far = distance_transform_edt(np.pad(np.asarray(ink.letters), room) < 128)
    share = 1 - np.clip((far - full) / fade, 0, 1)
    return Image.fromarray((255 * share**2 * (3 - 2 * share)).round().astype(np.uint8)), room


def small(image: Image.Image) -> Image.Image:
    """The picture with its longer side at 160 px; a smaller one as it is."""
    scale = min(THUMBNAIL / max(image.size), 1)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.LANCZOS)


def thumbnail(without: Image.Image, lettered: Image.Image, coverage: Image.Image, capitals: int) -> dict[str, object]:
    """How a text does in a small copy: the height of its capitals in px, its contrast there, and whether it is legible.

    without, lettered: the small RGB picture without its letters, and with them. coverage: of the letters, at full
    size. capitals: their height there. The contrast is the mean of the letters' darkest or lightest half against what
    is there without them.
    """
    scale = max(without.size) / max(coverage.size)
    share = np.asarray(coverage.resize(without.size, Image.Resampling.BOX), dtype=np.float64)
    inside = share >= max(float(np.quantile(share[share > 0], 0.5)), 1) if (share > 0).any() else share > 0
    seen, under = luminances(lettered), luminances(without)
    ratio = contrast(float(seen[inside].mean()), float(under[inside].mean())) if inside.any() else 1.0
    height = capitals * scale
    return {
        "capitals": round(height, 1), "contrast": round(ratio, 2),
        "legible": height >= SMALLEST_CAPITALS and ratio >= LARGE,
    }  # fmt: skip


CANDIDATES = (BLACK, WHITE)  # for letters whose colour is not said
