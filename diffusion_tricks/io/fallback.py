"""Font fallback: for every sign of a text the first font of a stack that has it, emoji in colour.

A sign is a grapheme cluster (Unicode, UAX 29). The stack is what was asked for, then the font that ships inside, then
whatever installed fonts have what these lack. Craft, not science: there is no paper behind this. No torch here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import regex

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.fonts import (
    PLAIN_STYLES,
    SEARCHED,
    SHIPPED,
    Typeface,
    can_be_read,
    font_folders,
    from_tables,
    installed_fonts,
    is_invisible,
    missing_glyphs,
)

# a grapheme cluster; the marks and invisible signs that stand behind one, and what a joiner ties to it, stay with it
CLUSTER = regex.compile(r"\X(?:[\p{M}\p{Cf}\s]|(?<=\u200d)\X)*")
SHOWN_IN_COLOUR = regex.compile(r"\p{Emoji_Presentation}|\p{Emoji}.*[\ufe0f\u20e3]", regex.DOTALL)
GRAPHEME = regex.compile(r"\X")
KEEPS_ITS_NEIGHBOURS_FONT = regex.compile(r"[\p{P}\p{Z}\p{Cf}]+")
AS_TEXT = "\ufe0e"


def clusters(text: str) -> list[str]:
    """The signs of `text` as a reader counts them: grapheme clusters, with what is not seen."""
    return CLUSTER.findall(text)


def is_emoji(cluster: str) -> bool:
    """Whether a sign is shown in colour: by itself, or by the selector or keycap behind it (Unicode, UTS 51)."""
    return AS_TEXT not in cluster and SHOWN_IN_COLOUR.match(cluster) is not None


@lru_cache(maxsize=256)
def strike_of(face: Typeface) -> int | None:
    """The size in px of a colour font's bitmaps, 0 where it comes at any size, None where it has no colours.

    Read are the tables CBDT and sbix, and COLR of version 0; that of version 1 Pillow cannot draw.
    """

    def read(font: Any) -> int | None:
        tables = set(font.keys())
        if "CBLC" in tables:
            return max(int(strike.bitmapSizeTable.ppemX) for strike in font["CBLC"].strikes)
        if "sbix" in tables:
            return int(max(font["sbix"].strikes))
        return 0 if "COLR" in tables and font["COLR"].version == 0 else None

    return from_tables(face, read)


@dataclass(frozen=True)
class Run:
    """Neighbouring signs that are set in one font."""

    text: str
    face: Typeface


@dataclass(frozen=True)
class Stack:
    """Fonts in the order in which they are asked for a sign; the first is what the text is set in."""

    faces: tuple[Typeface, ...]

    @property
    def first(self) -> Typeface:
        """What the text is set in where it can be."""
        return self.faces[0]

    def runs(self, text: str) -> list[Run]:
        """`text` in runs of one font each. Raises UsageError listing the signs that no font of the stack has."""
        found: list[Run] = []
        for cluster in GRAPHEME.findall(text):
            face = self._for(cluster, found[-1].face if found else None)
            if face is None:
                raise lacking(self.first, [cluster])
            if found and found[-1].face == face:
                found[-1] = Run(found[-1].text + cluster, face)
            else:
                found.append(Run(cluster, face))
        return found

    def fonts_of(self, text: str) -> list[Typeface]:
        """The fonts that `text` is set in, each once, in order."""
        return list(dict.fromkeys(run.face for line in text.splitlines() for run in self.runs(line)))

    def _for(self, cluster: str, before: Typeface | None) -> Typeface | None:
        stays = before and strike_of(before) is None and KEEPS_ITS_NEIGHBOURS_FONT.fullmatch(cluster)
        if before and stays and has(before, cluster):
            return before
        return next((face for face in in_order(self.faces, cluster) if has(face, cluster)), None)


def in_order(faces: Iterable[Typeface], cluster: str) -> list[Typeface]:
    """The fonts in the order in which they are asked for a sign: for emoji those in colour first, else last."""
    coloured = is_emoji(cluster)
    return sorted(faces, key=lambda face: (strike_of(face) is not None) != coloured)


@lru_cache(maxsize=4096)
def has(face: Typeface, cluster: str) -> bool:
    """Whether a font has a sign: all that is seen of it, composed or in its parts (NFD), which shaping joins."""
    return not missing_glyphs(cluster, face) or not missing_glyphs(unicodedata.normalize("NFD", cluster), face)


def stack_for(text: str, asked: Iterable[Typeface]) -> Stack:
    """A stack that has every sign of `text`: those asked for, the one inside, and as few installed ones as suffice.

    Signs come in colour where they are emoji and a font has them so, and else without. Raises UsageError listing the
    signs that no font here has.
    """
    faces = list(dict.fromkeys([*asked, SHIPPED]))
    signs = list(dict.fromkeys(clusters(text)))
    for fits in (suits, has):  # what suits a sign first, then whatever has it
        left = [sign for sign in signs if not any(fits(face, sign) for face in faces)]
        for face in _most_first(left, fits) if left else ():
            if served := [sign for sign in left if fits(face, sign)]:
                faces.append(face)
                left = [sign for sign in left if sign not in served]
    if left:
        raise lacking(faces[0], left)
    return Stack(tuple(faces))


def suits(face: Typeface, sign: str) -> bool:
    """Whether a font has a sign, in colour just where it is an emoji."""
    return has(face, sign) and (strike_of(face) is not None) == is_emoji(sign)


def _most_first(signs: list[str], fits: Callable[[Typeface, str], bool]) -> list[Typeface]:
    """Installed fonts that have some of the signs, those first that have most of them."""
    able = {face: sum(fits(face, sign) for sign in signs) for face in _installed(font_folders())}
    return sorted((face for face, many in able.items() if many), key=lambda face: -able[face])


def _installed(folders: tuple[Path, ...]) -> Iterator[Typeface]:
    """The plain faces of installed families that can be drawn; short names first, which are plain fonts."""
    plain = [row for row in installed_fonts(folders) if row[1].casefold() in PLAIN_STYLES]
    for family, style, path, index in sorted(plain, key=lambda row: (len(row[0]), row[0]))[:SEARCHED]:
        face = Typeface(f"{family} {style}", path, index)
        if strike_of(face) or can_be_read(face):
            yield face


def lacking(face: Typeface, signs: Iterable[str]) -> UsageError:
    """The error that lists signs which no font has."""
    chars = dict.fromkeys(char for sign in signs for char in sign if not is_invisible(char))
    listed = ", ".join(f"{char} (U+{ord(char):04X})" for char in chars)
    emoji = any(map(is_emoji, signs))
    advice = "install a colour font, such as Noto Color Emoji" if emoji else "install or give a font that has it"
    return UsageError(
        f"{face.name} has no glyph for {listed}; nor has any font that is inside or installed here; {advice}, or "
        "choose other words"
    )
