"""Fonts: by file, by installed family name, or Pillow's own; where a system keeps them; and what each cannot draw.

Craft, not science: there is no paper behind this. No torch here.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from PIL import ImageFont, features

from diffusion_tricks.errors import UsageError

SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
FONT_FILES = (*sorted(SUFFIXES), ".woff", ".woff2", ".pfa", ".pfb", ".pcf", ".bdf", ".dfont")
PLAIN_STYLES = ("regular", "book", "roman", "normal", "medium")
SEARCHED = 200  # families looked at for one that has the glyphs wanted
NOT_A_CHARACTER = "\U0010ffff"  # no font may map it, so it is drawn as a missing glyph
INSIDE = Path(__file__).with_name("faces") / "NotoSerif-Bold.ttf"  # Latin, Greek and Cyrillic; see OFL.txt beside it

T = TypeVar("T")

logging.getLogger("fontTools").addHandler(logging.NullHandler())  # what it finds odd in a font is not said


@dataclass(frozen=True)
class Typeface:
    """A font at no size yet. `path` is its file, None for Pillow's built-in font; `index` its place in a collection."""

    name: str
    path: Path | None = None
    index: int = 0

    def at(self, size: int, *, basic: bool = False) -> ImageFont.FreeTypeFont:
        """The font at `size` px; `basic` turns shaping off. Raises `UsageError` for a file that is not a font."""
        engine = ImageFont.Layout.BASIC if basic or not features.check("raqm") else ImageFont.Layout.RAQM
        try:
            font = (
                ImageFont.truetype(str(self.path), size, self.index, layout_engine=engine)
                if self.path
                else ImageFont.load_default(size)
            )
        except (OSError, ImportError) as error:
            raise UsageError(f"{self.name} cannot be used as a font at {size} px ({error}); take another") from None
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise UsageError("this Pillow was built without FreeType; install Pillow from its wheel to draw text")
        return font


SHIPPED = Typeface("Noto Serif Bold", INSIDE)


def find_typeface(font: str | None) -> Typeface:
    """The typeface of a font file, of an installed family ("DejaVu Serif", "dejavu serif bold"), or Pillow's own.

    Raises `UsageError` for a missing file, a file that is not a font, and a family that is not installed.
    """
    if font is None:
        return Typeface("Pillow's built-in font")
    path = Path(os.path.expanduser(font))  # unlike Path's own, no error for an unknown user
    if path.is_file():
        return checked(Typeface(str(font), path))
    if path.suffix.lower() in FONT_FILES or len(path.parts) > 1:
        raise UsageError(f"font file {font!r} does not exist; give a TTF or OTF file, or an installed family")
    return find_family(font, font_folders())


def checked(face: Typeface) -> Typeface:
    """The typeface itself, once its file is known to be a font."""
    try:
        ImageFont.truetype(str(face.path), 16, face.index)
    except OSError as error:
        if "pixel size" not in str(error):  # a font of fixed sizes is a font; the size is judged when it is known
            raise UsageError(f"{face.name!r} is not a font that can be read; give a TTF or OTF file") from None
    return face


def find_family(name: str, folders: tuple[Path, ...]) -> Typeface:
    """The typeface of that family, or "family style", whatever the case, installed or inside; the regular first."""
    installed = (*installed_fonts(folders), ("Noto Serif", "Bold", INSIDE, 0))
    wanted = " ".join(name.split()).casefold()
    found = [row for row in installed if wanted in (row[0].casefold(), f"{row[0]} {row[1]}".casefold())]
    if not found:
        raise UsageError(f"unknown font {name!r}; {advice(wanted, [row[0] for row in installed])}")
    family, style, path, index = min(found, key=plainness)
    return Typeface(f"{family} {style}", path, index)


def plainness(row: tuple[str, str, Path, int]) -> tuple[int, str]:
    """Orders the styles of a family: the regular one first."""
    style = row[1].casefold()
    return (PLAIN_STYLES.index(style) if style in PLAIN_STYLES else len(PLAIN_STYLES), style)


def advice(wanted: str, families: list[str]) -> str:
    """What to write in place of a family that is not installed."""
    by_lower = {family.casefold(): family for family in families}
    (near,) = difflib.get_close_matches(wanted, by_lower, n=1, cutoff=0.0)
    return f"the nearest installed family is {by_lower[near]!r}; or give a font file"


@lru_cache(maxsize=4)
def installed_fonts(folders: tuple[Path, ...]) -> tuple[tuple[str, str, Path, int], ...]:
    """Family, style, file and index of every font below `folders`; files that cannot be read are passed over."""
    files = (Path(top) / name for folder in folders for top, _, names in os.walk(folder) for name in sorted(names))
    return tuple(row for file in files if file.suffix.lower() in SUFFIXES for row in faces(file))


def faces(file: Path) -> Iterator[tuple[str, str, Path, int]]:
    """The faces in one font file: one, or several in a collection."""
    for index in range(64 if file.suffix.lower() in {".ttc", ".otc"} else 1):
        names = names_of(Typeface(file.name, file, index))
        if names is None:
            return
        family, style = names
        if family:
            yield family, style or "", file, index


def names_of(face: Typeface) -> tuple[str | None, str | None] | None:
    """Family and style of a font file, None if it is no font. FreeType reads most, and faster; the table has them all.

    What FreeType leaves are fonts of fixed sizes, and names that are not in Latin letters.
    """
    with contextlib.suppress(OSError):
        family, style = ImageFont.truetype(str(face.path), 16, face.index).getname()
        if family and "?" not in family:
            return family, style
    return from_tables(face, lambda font: (font["name"].getBestFamilyName(), font["name"].getBestSubFamilyName()))


def from_tables(face: Typeface, read: Callable[[Any], T]) -> T | None:
    """What `read` makes of a font's tables (fontTools' TTFont); None for those that cannot be read, as of Type 1."""
    from fontTools.ttLib import TTFont  # here, as help needs no font

    try:
        with TTFont(face.path or face.at(16).path, fontNumber=face.index, lazy=True) as font:
            return read(font)
    except Exception:  # on a broken table it runs into whatever it does, where FreeType may not
        return None


@lru_cache(maxsize=256)
def characters(face: Typeface) -> frozenset[str] | None:
    """The characters that a font has glyphs for, as its table `cmap` says; None where it says nothing of Unicode."""

    def read(font: Any) -> frozenset[str] | None:
        table = font.getBestCmap()
        return table and frozenset(chr(code) for code, glyph in table.items() if font.getGlyphID(glyph) != 0)

    return from_tables(face, read)


def is_invisible(char: str) -> bool:
    """Whether a character needs no glyph: white space, joiners, direction marks, variation selectors."""
    return char.isspace() or unicodedata.category(char) == "Cf" or "\ufe00" <= char <= "\ufe0f"


def missing_glyphs(text: str, face: Typeface) -> list[str]:
    """The characters of `text` that `face` has no glyph for, in order."""
    wanted, found = [char for char in dict.fromkeys(text) if not is_invisible(char)], characters(face)
    return drawn_as_missing(wanted, face) if found is None else [char for char in wanted if char not in found]


def drawn_as_missing(chars: Iterable[str], face: Typeface) -> list[str]:
    """Those of `chars` that `face` draws as it draws a non-character: for fonts without a table of characters."""
    font = face.at(48, basic=True)

    def drawn(char: str) -> tuple[tuple[int, int], bytes, float]:
        mask = font.getmask(char)
        return mask.size, bytes(mask), font.getlength(char)

    absent = drawn(NOT_A_CHARACTER)
    return [char for char in chars if drawn(char) == absent]


def check_glyphs(text: str, face: Typeface) -> None:
    """Raises `UsageError` listing the characters of `text` that `face` cannot draw."""
    missing = missing_glyphs(text, face)
    if missing:
        listed = ", ".join(f"{char} (U+{ord(char):04X})" for char in missing)
        able = font_for(text)
        advice = f"an installed font has: `font={able!r}`" if able else "choose another font or other words"
        raise UsageError(f"{face.name} has no glyph for {listed}; {advice}")


def font_for(text: str) -> str | None:
    """An installed family whose regular style has every glyph of `text`, else the one inside if it has, or None."""
    plain = [row for row in installed_fonts(font_folders()) if row[1].casefold() in PLAIN_STYLES]
    for family, _, path, index in sorted(plain, key=lambda row: len(row[0]))[
        :SEARCHED
    ]:  # short names first: plain fonts
        face = Typeface(family, path, index)
        if can_be_read(face) and not missing_glyphs(text, face):
            return family
    return None if missing_glyphs(text, SHIPPED) else SHIPPED.name


def can_be_read(face: Typeface) -> bool:
    """Whether the typeface comes at any size; fonts of fixed sizes do not."""
    try:
        face.at(48, basic=True)
    except UsageError:
        return False
    return True


def direction_of(text: str) -> str | None:
    """The direction of `text`, "rtl" if its first letter runs right to left, else None.

    Raises `UsageError` where right-to-left letters cannot be set, for want of Pillow's raqm.
    """
    sides = [side for side in map(unicodedata.bidirectional, text) if side in {"L", "R", "AL"}]
    if not {"R", "AL"} & set(sides):
        return None
    if not features.check("raqm"):
        raise UsageError("right-to-left text needs a Pillow with raqm; install Pillow from its wheel, and fribidi")
    return "rtl" if sides[0] != "L" else None


def font_folders() -> tuple[Path, ...]:
    """The folders in which this system keeps its fonts: Linux, macOS or Windows, the user's own first."""
    home = Path.home()
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft/Windows/Fonts"
        return (local, Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts")
    if sys.platform == "darwin":
        return (home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts"))
    own = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    return (own / "fonts", home / ".fonts", *(Path(folder) / "fonts" for folder in shared if folder))
