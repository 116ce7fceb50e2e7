"""Words on sheets and figures: in Pillow's own font, so that they look the same everywhere; what it lacks, in another.

That is an installed font that has every character, or the one inside; where neither has, see `writable`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from diffusion_tricks.io.fonts import Typeface, find_typeface, font_for, missing_glyphs

INK, FAINT, LIGHT = (32, 32, 36), (120, 120, 128), (228, 228, 232)
PLAIN = {
    "\u2013": "-", "\u2014": "-", "\u00d7": "x", "\u2192": "->", "\u2248": "~", "\u221a": "sqrt ", "\u00df": "ss",
    "\u2260": "!=",
}  # fmt: skip
JOINING = re.compile("[\u200d\ufe00-\ufe0f]")  # joiners and variation selectors
SPACE = 0.28  # between words, in sizes of the letters, at the least; Pillow's own 0.2 is lost between small letters
SIDES = {"l": 0.0, "m": 0.5, "r": 1.0}  # how much of a line is left of where it is drawn
LEADING = 1.3  # from one line to the next, in sizes of the letters
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]


def font(size: int) -> Font:
    """Pillow's own font at `size` pixels."""
    return ImageFont.load_default(size)


@dataclass(frozen=True)
class Block:
    """A text in lines, its letters `size` pixels high."""

    lines: tuple[str, ...]
    size: int
    letters: Font

    @property
    def width(self) -> int:
        """Of its longest line, in pixels."""
        return math.ceil(max((_length(line, self.letters) for line in self.lines), default=0))

    @property
    def height(self) -> int:
        """Of all lines, in pixels."""
        return round(len(self.lines) * self.size * LEADING)

    def draw(self, page: Image.Image, at: tuple[float, float], side: str = "l", colour: Colour = INK) -> None:
        """Draws it downwards from `at`, which is the left, middle or right of its lines, as `side` is l, m or r."""
        draw = ImageDraw.Draw(page)
        for row, line in enumerate(self.lines):
            x, y = at[0] - SIDES[side] * _length(line, self.letters), at[1] + row * self.size * LEADING
            for word, right in _placed(line, self.letters):
                draw.text((x + right, y), word, colour, self.letters, anchor="la")


def block(text: str, size: int, width: float) -> Block:
    """The text in lines of at most `width` pixels; nothing of it is left out. See `wrapped`."""
    said, letters = _set_in(text, size)
    return Block(tuple(wrapped(said, letters, width)), size, letters)


def wrapped(text: str, lettering: Font, width: float) -> list[str]:
    """The text in lines of at most `width` pixels, broken between words and at its own line ends.

    A word that is wider is broken within, and a letter that is wider stands alone.
    """
    return [line for part in text.splitlines() for line in _lines(part.split(), lettering, width)]


def length(text: str, size: int) -> float:
    """How long the text is in one line, in pixels."""
    said, letters = _set_in(text, size)
    return _length(" ".join(said.split()), letters)


def widest_word(text: str, size: int) -> float:
    """The width in pixels below which a word of the text would be broken; 0 where it has none."""
    said, letters = _set_in(text, size)
    return max(map(letters.getlength, said.split()), default=0.0)


def _length(line: str, letters: Font) -> float:
    """Of a line as it is drawn, in pixels."""
    return letters.getlength(line) + line.count(" ") * _more_space(letters)


def _placed(line: str, letters: Font) -> Iterator[tuple[str, float]]:
    """What is drawn together, and how far right: words where they stand farther apart, else the line at once."""
    words = line.split(" ") if _more_space(letters) else [line]
    for i, word in enumerate(words):
        yield word, _length("".join(f"{one} " for one in words[:i]), letters)


def _more_space(letters: Font) -> int:
    """Pixels between words beyond the font's own, in letters that are not shaped: those run from left to right."""
    if not isinstance(letters, ImageFont.FreeTypeFont) or letters.layout_engine != ImageFont.Layout.BASIC:
        return 0
    return max(0, round(SPACE * letters.size - letters.getlength(" ")))


def _set_in(text: str, size: int) -> tuple[str, Font]:
    """The text as it is written, and the letters for it."""
    said, face = writable(text)
    return said, face.at(size)


@lru_cache(maxsize=1024)
def writable(text: str) -> tuple[str, Typeface]:
    """The text as it can be written, and a typeface that has every character of it, as far as there is one here.

    Where none has all, what says how a sign is to look goes; then signs such as emoji are in words, and characters that
    no font has are numbers, so that the others find one; at last letters are without their marks.
    """
    own = find_typeface(None)
    if text.isascii() or not (missing := missing_glyphs(text, own)):
        return text, own
    if installed := font_for(text):
        return text, find_typeface(installed)
    if JOINING.search(text):
        return writable(JOINING.sub("", text))
    plain = {char: _plainly(char) for char in missing}
    strange = [char for char in missing if missing_glyphs(plain[char], own)]
    named = {char: f"({unicodedata.name(char).lower()})" for char in strange if _is_sign(char)}
    numbers = {char: f"(U+{ord(char):04X})" for char in strange if char not in named}
    nowhere = named | {char: said for char, said in numbers.items() if not font_for(char)}
    if nowhere:
        return writable(_said(text, nowhere))
    return _said(text, plain | numbers), own


def _said(text: str, instead: Mapping[str, str]) -> str:
    """The text with other words in the place of some of its characters."""
    return text.translate({ord(char): said for char, said in instead.items()})


def _is_sign(char: str) -> bool:
    """Whether it is no letter and has a name (Unicode's general categories S)."""
    return unicodedata.category(char).startswith("S") and bool(unicodedata.name(char, ""))


def _plainly(char: str) -> str:
    """A character in plain letters: a letter without its marks, a Greek one by its name, a dash as a hyphen."""
    name = unicodedata.name(char, "")
    if name.startswith("GREEK") and "LETTER" in name:
        return name.split("LETTER ")[1].split()[0].lower()
    parts = unicodedata.normalize("NFKD", char)
    bare = "".join(part for part in parts if not unicodedata.category(part).startswith("M"))
    return PLAIN.get(char, bare)


def _lines(words: list[str], lettering: Font, width: float) -> Iterator[str]:
    line = ""
    for word in words:
        longer = f"{line} {word}".lstrip()
        if _length(longer, lettering) <= width:
            line = longer
            continue
        if line:
            yield line
        *whole, line = _broken(word, lettering, width)
        yield from whole
    if line:
        yield line


def _broken(word: str, lettering: Font, width: float) -> Iterator[str]:
    while len(word) > 1 and lettering.getlength(word) > width:
        most = next((n for n in range(len(word) - 1, 1, -1) if lettering.getlength(word[:n]) <= width), 1)
        yield word[:most]
        word = word[most:]
    yield word


def upwards(text: str, lettering: Font, colour: Colour) -> Image.Image:
    """The text turned a quarter to the left, on white."""
    box = lettering.getbbox(text)
    page = Image.new("RGB", (int(box[2]) + 2, int(box[3]) + 4), "white")
    ImageDraw.Draw(page).text((1, 1), text, colour, lettering)
    return page.transpose(Image.Transpose.ROTATE_90)
