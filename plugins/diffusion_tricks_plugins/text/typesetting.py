"""Typesetting: text into lines that fit a box, at the largest size that does.

Craft, not science: there is no paper behind this; for where lines end see `breaking`. No torch here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Literal

import regex
from PIL import ImageFont

from diffusion_tricks.plugin import Stack, Typeface, clusters, is_invisible, strike_of
from diffusion_tricks_plugins.text.breaking import UNDIVIDED, hyphenated, pieces, shown, wrap

SMALLEST = 5  # px; below it no letter can be told from another
NO_BREAK = "\u00a0"
JOINED = regex.compile(r"[\p{Arabic}\p{Syriac}\p{Mongolian}\p{Nko}\p{Devanagari}\p{Bengali}]")  # never spaced out
GRAPHEME = regex.compile(r"\X")
NO_LIGATURES = ["-liga", "-clig"]
Breaks = Literal["words", "hyphens", "letters"]  # where lines may be broken at most; see `set_block`
Bounds = tuple[float, float, float, float]  # left, top, right, bottom


def clean(text: str) -> str:
    """`text` composed (NFC), with single spaces, `\\n` between lines (also where it is written so), no blank edges."""
    text = re.sub(r"\\(\\|n)", lambda said: "\n" if said[1] == "n" else "\\", text)
    text = re.sub("[\u2007\u202f]", NO_BREAK, unicodedata.normalize("NFC", text))
    return "\n".join(re.sub(r"[^\S\u00a0]+", " ", line).strip(" ") for line in text.strip().splitlines())


def capitals(text: str, language: str) -> str:
    """`text` in capitals, as its language has them: Greek loses its accents, Turkish keeps its dot."""
    if language.startswith(UNDIVIDED):
        text = text.replace("i", "\u0130")
    parts = (_without_tonos(sign) if regex.match(r"\p{Greek}", sign) else sign.upper() for sign in clusters(text))
    return unicodedata.normalize("NFC", "".join(parts))


def _without_tonos(sign: str) -> str:
    kept = (char for char in unicodedata.normalize("NFD", sign.upper()) if char not in "\u0301\u0300\u0342\u0313\u0314")
    return "".join(kept)


@dataclass(frozen=True)
class Letters:
    """A typeface at a size; one of coloured bitmaps is scaled from them. Lengths in px."""

    typeface: Typeface
    size: int

    @property
    def coloured(self) -> bool:
        """Whether its signs have colours of their own."""
        return strike_of(self.typeface) is not None

    @cached_property
    def font(self) -> ImageFont.FreeTypeFont:
        """Pillow's font, at the size of its bitmaps where it has them."""
        return _font(self.typeface, strike_of(self.typeface) or self.size)

    @property
    def scale(self) -> float:
        """From the font's size to this one."""
        return self.size / (strike_of(self.typeface) or self.size)

    def visible(self, text: str) -> str:
        """`text` as the font can draw it: fonts may lack the no-break space, and plain layout draws joiners."""
        if self.font.layout_engine == ImageFont.Layout.BASIC:
            text = "".join(char for char in text if char.isspace() or not is_invisible(char))
        return text.replace(NO_BREAK, " ")

    def advance(self, text: str, direction: str | None, *, ligatures: bool = True) -> float:
        """How far `text` moves the pen."""
        shaped = self.font.layout_engine == ImageFont.Layout.RAQM
        features = None if ligatures or not shaped else NO_LIGATURES
        return self.scale * self.font.getlength(self.visible(text), direction=direction, features=features)

    def bounds(self, text: str, direction: str | None, stroke: int) -> Bounds:
        """Around the ink and advance of `text`, whose baseline begins at 0, 0; `stroke` is not of coloured signs."""
        stroke = 0 if self.coloured else stroke
        box = self.font.getbbox(self.visible(text), direction=direction, stroke_width=stroke, anchor="ls")
        left, top, right, bottom = (self.scale * side for side in box)
        return left, top, right, bottom


@lru_cache(maxsize=512)
def _font(typeface: Typeface, size: int) -> ImageFont.FreeTypeFont:
    return typeface.at(size)


@dataclass(frozen=True)
class Span:
    """Signs that are drawn together, `x` px right of where their line begins."""

    text: str
    letters: Letters
    x: float


@dataclass(frozen=True)
class Face:
    """A stack of typefaces at one size, with what changes the room its letters take. Lengths in px.

    letter_spacing: between signs, in sizes.
    """

    stack: Stack
    size: int
    stroke: int = 0
    line_spacing: float = 1.0
    direction: str | None = None
    letter_spacing: float = 0.0

    @property
    def pitch(self) -> float:
        """The distance between two baselines."""
        first = Letters(self.stack.first, self.size)
        return first.scale * sum(first.font.getmetrics()) * self.line_spacing

    @property
    def cap_height(self) -> int:
        """The height of a capital H, or of what stands for it."""
        _, top, _, bottom = Letters(self.stack.first, self.size).bounds("H", None, 0)
        return round(bottom - top)

    def spans(self, line: str) -> tuple[Span, ...]:
        """The line in spans from left to right."""
        return _spans(self, line)

    def bounds(self, line: str) -> tuple[int, int, int, int]:
        """Left, top, right, bottom around the line's ink and advance, stroke included; the baseline begins at 0, 0."""
        return _bounds(self, line)

    def width(self, line: str) -> int:
        """The width of `bounds`; 0 for an empty line."""
        left, _, right, _ = self.bounds(line) if line else (0, 0, 0, 0)
        return right - left


@lru_cache(maxsize=4096)
def _spans(face: Face, line: str) -> tuple[Span, ...]:
    runs = face.stack.runs(line)
    found, x = list[Span](), 0.0
    for run in runs[::-1] if face.direction == "rtl" else runs:
        letters = Letters(run.face, face.size)
        gap = 0.0 if face.direction or JOINED.search(run.text) else face.letter_spacing * face.size
        signs = GRAPHEME.findall(run.text) if gap else [run.text]  # without the spaces behind them, which count too
        starts = starts_of(signs, letters, ligatures=False)
        found += [Span(sign, letters, x + starts[i] + i * gap) for i, sign in enumerate(signs)]
        x += letters.advance(run.text, face.direction, ligatures=not gap) + gap * len(signs)
    return tuple(found)


def starts_of(
    signs: Sequence[str], letters: Letters, direction: str | None = None, *, ligatures: bool = True
) -> list[float]:  # fmt: skip
    """How far from where the text of the signs begins each of them begins, and where the last ends."""
    return [0.0, *(letters.advance(text, direction, ligatures=ligatures) for text in accumulate(signs))]


@lru_cache(maxsize=4096)
def _bounds(face: Face, line: str) -> tuple[int, int, int, int]:
    boxes = [(span.x, *span.letters.bounds(span.text, face.direction, face.stroke)) for span in face.spans(line)]
    return (
        math.floor(min((x + left for x, left, _, _, _ in boxes), default=0)),
        math.floor(min((top for _, _, top, _, _ in boxes), default=0)),
        math.ceil(max((x + right for x, _, _, right, _ in boxes), default=0)),
        math.ceil(max((bottom for *_, bottom in boxes), default=0)),
    )


@dataclass(frozen=True)
class Block:
    """Lines of text in one face."""

    lines: tuple[str, ...]
    face: Face

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in px within which all ink stays."""
        rows = [(index, *self.face.bounds(line)) for index, line in enumerate(self.lines) if line]
        top = min(round(index * self.face.pitch) + top for index, _, top, _, _ in rows)
        bottom = max(round(index * self.face.pitch) + bottom for index, _, _, _, bottom in rows)
        return max(self.face.width(line) for line in self.lines), bottom - top


def set_block(
    text: str, face: Face, box: tuple[int, int], *, even: bool = True, breaks: Breaks = "letters", language: str = ""
) -> Block | None:
    """`text` set in `face` within `box` (width, height in px), or None if it does not fit.

    breaks: where lines may be broken at most: between words; at the hyphens of `language` too; or anywhere between
    signs, where no line can hold a word. language: see `hyphenated`; empty for no hyphens.
    """
    width, height = box
    if hopeless(text, face, box):
        return None
    if language and breaks != "words":
        text = hyphenated(text, language)
    parts = (part for line in text.split("\n") for part in pieces(line))
    if breaks != "letters" and any(face.width(shown(part)) > width for part in parts):
        return None
    block = Block(tuple(wrap(text, width, face.width, even=even, hyphens=bool(language))), face)
    return block if block.size[0] <= width and block.size[1] <= height else None


def hopeless(text: str, face: Face, box: tuple[int, int]) -> bool:
    """Whether `text` cannot fit in `box` however it is broken, seen without breaking it; sparing, as signs may join."""
    inks = (face.width(re.sub(r"[\s\u00ad]", "", line)) for line in text.split("\n"))
    lines = sum(max(math.ceil(0.9 * ink / max(box[0], 1)), 1) for ink in inks)
    return (lines - 2) * face.pitch > box[1]


def largest(low: int, high: int, attempt: Callable[[int], Block | None]) -> Block | None:
    """The block of the largest size from `low` to `high` px that `attempt` can set, found by halving; or None."""
    best: Block | None = None
    while low <= high:
        middle = (low + high + 1) // 2
        block = attempt(middle)
        if block is None:
            high = middle - 1
        else:
            best, low = block, middle + 1
    return best
