"""Typesetting: text into lines that fit a box, at the largest size that does.

Lines are broken greedily and then evened out (the narrowest setting with as many lines), never within what a reader
takes for one sign. Craft, not science: there is no paper behind this. No torch here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import regex
from PIL import ImageFont

from diffusion_tricks.plugin import Typeface, is_invisible

SMALLEST = 5  # px; below it no letter can be told from another
EVENED = 8  # lines; longer paragraphs read as prose and are left as they fall
NO_BREAK = "\u00a0"
# a grapheme cluster; the marks and invisible signs that stand behind one, and what a joiner ties to it, stay with it
CLUSTER = regex.compile(r"\X(?:[\p{M}\p{Cf}\s]|(?<=\u200d)\X)*")

Measure = Callable[[str], float]


def clean(text: str) -> str:
    """`text` composed (NFC), with single spaces, `\\n` between lines, no soft hyphens and no blank edges."""
    text = re.sub("[\u2007\u202f]", NO_BREAK, unicodedata.normalize("NFC", text).replace("\u00ad", ""))
    return "\n".join(re.sub(r"[^\S\u00a0]+", " ", line).strip(" ") for line in text.strip().splitlines())


def clusters(word: str) -> list[str]:
    """The characters of `word` as a reader counts them: grapheme clusters (Unicode, UAX 29), with what is not seen."""
    return CLUSTER.findall(word)


def is_wide(char: str) -> bool:
    """Whether a line may break on either side of `char`, as between Chinese and Japanese characters."""
    return unicodedata.east_asian_width(char[0]) in "WF" and not unicodedata.category(char[0]).startswith("P")


def pieces(paragraph: str) -> list[str]:
    """`paragraph` cut wherever a line may break: at spaces, which begin a piece, after hyphens, between wide signs."""
    found: list[str] = []
    for word in re.findall(r" ?-*[^ -]+-*| ?-+", paragraph):
        found.append("")
        for part in clusters(word):
            before = found[-1].lstrip(" ")
            if before and (is_wide(part) or (is_wide(before[-1]) and part[0].isalnum())):
                found.append(part)
            else:
                found[-1] += part
    return found


def chop(piece: str, width: float, measure: Measure) -> list[str]:
    """A piece too long for a line, in parts that are not; the space before it is kept."""
    parts = [""]
    for cluster in clusters(piece):
        if parts[-1].strip(" ") and measure((parts[-1] + cluster).strip(" ")) > width:
            parts.append(cluster)
        else:
            parts[-1] += cluster
    return parts


def fill(found: list[str], width: float, measure: Measure) -> list[str]:
    """Lines no wider than `width`, each as full as it can be; a piece too long for any line stands alone."""
    lines = [""]
    for piece in found:
        if not lines[-1] or measure((lines[-1] + piece).strip(" ")) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return [line.strip(" ") for line in lines]


def narrowest(found: list[str], width: float, measure: Measure) -> list[str]:
    """As many lines as `fill` gives, as even as they can be: the narrowest width that needs no more."""
    lines = fill(found, width, measure)
    low = math.ceil(max((measure(piece.strip(" ")) for piece in found), default=0)) - 1
    high = math.ceil(width)
    while len(lines) <= EVENED and low + 1 < high:
        middle = (low + high) // 2
        if len(fill(found, middle, measure)) <= len(lines):
            high = middle
        else:
            low = middle
    return fill(found, min(high, width), measure)


def wrap(text: str, width: float, measure: Measure, *, even: bool = True) -> list[str]:
    """`text` in lines no wider than `width`, broken at spaces and hyphens, and inside words that fit on no line.

    `measure` gives the width of a string in the unit of `width`. Newlines are kept. A single character wider than
    `width` is left to stand out. `even` makes the lines of a paragraph about equally long.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        found = [part for piece in pieces(paragraph) for part in whole_or_chopped(piece, width, measure)]
        lines += narrowest(found, width, measure) if even else fill(found, width, measure)
    return lines


def whole_or_chopped(piece: str, width: float, measure: Measure) -> list[str]:
    """The piece itself if a line can hold it, else its parts."""
    return [piece] if measure(piece.strip(" ")) <= width else chop(piece, width, measure)


@dataclass(frozen=True)
class Face:
    """A typeface at one size, with what changes the room its letters take. Lengths in px."""

    typeface: Typeface
    size: int
    stroke: int = 0
    line_spacing: float = 1.0
    direction: str | None = None

    @cached_property
    def font(self) -> ImageFont.FreeTypeFont:
        """Pillow's font at this size."""
        return self.typeface.at(self.size)

    @property
    def pitch(self) -> float:
        """The distance between two baselines."""
        return sum(self.font.getmetrics()) * self.line_spacing

    def visible(self, line: str) -> str:
        """The line as the font can draw it: fonts may lack the no-break space, and plain layout draws joiners."""
        if self.font.layout_engine == ImageFont.Layout.BASIC:
            line = "".join(char for char in line if char.isspace() or not is_invisible(char))
        return line.replace(NO_BREAK, " ")

    def bounds(self, line: str) -> tuple[int, int, int, int]:
        """Left, top, right, bottom around the line's ink and advance, stroke included; the baseline begins at 0, 0."""
        left, top, right, bottom = self.font.getbbox(
            self.visible(line), direction=self.direction, stroke_width=self.stroke, anchor="ls"
        )
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)

    def width(self, line: str) -> int:
        """The width of `bounds`; 0 for an empty line."""
        left, _, right, _ = self.bounds(line) if line else (0, 0, 0, 0)
        return right - left


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


def set_block(text: str, face: Face, box: tuple[int, int], *, even: bool = True, whole: bool = False) -> Block | None:
    """`text` set in `face` within `box` (width, height in px), or None if it does not fit; `whole` breaks no word."""
    width, height = box
    if hopeless(text, face, box):
        return None
    if whole and any(face.width(word.strip(" ")) > width for line in text.split("\n") for word in pieces(line)):
        return None
    block = Block(tuple(wrap(text, width, face.width, even=even)), face)
    return block if block.size[0] <= width and block.size[1] <= height else None


def hopeless(text: str, face: Face, box: tuple[int, int]) -> bool:
    """Whether `text` cannot fit in `box` however it is broken, seen without breaking it; sparing, as signs may join."""
    inks = (face.width(re.sub(r"\s", "", line)) for line in text.split("\n"))
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
