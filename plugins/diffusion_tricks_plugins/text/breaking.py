"""Line breaking: where a line may end, how full it may be, and how lines become equally long.

Lines may end where Unicode says (UAX 14), which keeps closing brackets and small kana from the beginning of a line
(kinsoku), and at soft hyphens, which `hyphenated` adds by the patterns of Liang (Word Hy-phen-a-tion by Com-put-er,
1983). No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import regex

from diffusion_tricks.plugin import UsageError, clusters

if TYPE_CHECKING:
    from pyphen import Pyphen

Measure = Callable[[str], float]

EVENED = 8  # lines; longer paragraphs read as prose and are left as they fall
SOFT_HYPHEN = "\u00ad"
SHORTEST = 6  # letters of a word that is hyphenated
UNDIVIDED = ("tr", "az")  # languages known for their capitals alone
LEFT = 3  # letters that stay together on either side of a hyphen
LANGUAGE_OF = {"Latin": "en_US", "Cyrillic": "ru", "Greek": "el"}  # where none is said
WORD = regex.compile(rf"[\p{{L}}\p{{M}}]{{{SHORTEST},}}")
LETTER = regex.compile(r"[\p{L}--[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]]", regex.V1)


@lru_cache(maxsize=512)
def pieces(paragraph: str) -> tuple[str, ...]:
    """`paragraph` cut wherever a line may end (UAX 14); spaces end a piece."""
    from uniseg.linebreak import line_break_units  # here, as help needs none of it

    return tuple(line_break_units(paragraph))


def shown(line: str) -> str:
    """A line as it is read: without the spaces at its ends, and of soft hyphens the last alone, as a hyphen."""
    line = line.strip(" ")
    hyphen = "-" if line.endswith(SOFT_HYPHEN) else ""
    return line.replace(SOFT_HYPHEN, "") + hyphen


@lru_cache(maxsize=512)
def hyphenated(text: str, language: str) -> str:
    """`text` with soft hyphens wherever a word of it may be divided.

    language: as "de" or "pt_BR"; "auto" is English for Latin letters, Russian for Cyrillic, Greek for Greek. Words in
    Turkish and Azerbaijani stay whole.
    Raises `UsageError` for a language without patterns.
    """
    if language.startswith(UNDIVIDED):
        return text
    if language != "auto":
        patterns_of(language)
    return WORD.sub(lambda word: _hyphenated(word[0], language), text)


def _hyphenated(word: str, language: str) -> str:
    if language == "auto":
        script = next((name for name in LANGUAGE_OF if regex.match(rf"\p{{{name}}}", word)), None)
        if script is None:
            return word
        language = LANGUAGE_OF[script]
    return str(patterns_of(language).inserted(word, SOFT_HYPHEN))


@lru_cache(maxsize=16)
def patterns_of(language: str) -> Pyphen:
    """The patterns of a language. Raises `UsageError` where there are none."""
    import pyphen  # here, as help needs none of it

    known = pyphen.language_fallback(language)
    if known is None:
        raise UsageError(
            f"no patterns for hyphens in {language!r}; expected auto or one of {', '.join(languages())}, "
            "or turn hyphens off"
        )
    return pyphen.Pyphen(lang=known, left=LEFT, right=LEFT)


def languages() -> list[str]:
    """The languages that have patterns, by their two or three letters."""
    import pyphen

    return sorted({name.split("_")[0] for name in pyphen.LANGUAGES})


def chop(piece: str, width: float, measure: Measure, *, hyphens: bool = False) -> list[str]:
    """A piece too long for a line, in parts that are not, never within a sign; `hyphens` between letters."""
    parts, signs = [""], clusters(piece)
    for before, cluster in zip(["", *signs], signs, strict=False):
        if parts[-1].strip(" ") and measure(shown(parts[-1] + cluster + _end(hyphens, cluster, cluster))) > width:
            parts[-1] += _end(hyphens, before, cluster)
            parts.append(cluster)
        else:
            parts[-1] += cluster
    return parts


def _end(hyphens: bool, before: str, after: str) -> str:
    """The soft hyphen that ends a part between two letters, if hyphens are wanted."""
    divided = hyphens and LETTER.match(before[-1:]) and LETTER.match(after[:1])
    return SOFT_HYPHEN if divided else ""


def fill(found: Sequence[str], width: float, measure: Measure) -> list[str]:
    """Lines no wider than `width`, each as full as it can be; a piece too long for any line stands alone."""
    lines = [""]
    for piece in found:
        if not lines[-1] or measure(shown(lines[-1] + piece)) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return lines


def balanced(found: Sequence[str], width: float, measure: Measure) -> list[str]:
    """As many lines as `fill` gives, first as narrow and then as even as can be.

    Of all ways to break into n lines within the narrowest width it takes the one of the least sum of squared widths,
    which is the most even, as their sum hardly changes.
    """
    lines = fill(found, width, measure)
    if not 1 < len(lines) <= EVENED:
        return lines
    limit = _narrowest(found, width, len(lines), measure)
    ends = _least_squares([*found], len(lines), limit, measure)
    return ["".join(found[start:end]) for start, end in ends] if ends else fill(found, limit, measure)


def _narrowest(found: Sequence[str], width: float, lines: int, measure: Measure) -> float:
    low, high = math.ceil(max(measure(shown(piece)) for piece in found)) - 1, math.ceil(width)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(fill(found, middle, measure)) <= lines else (middle, high)
    return min(high, width)


def _least_squares(found: list[str], lines: int, limit: float, measure: Measure) -> list[tuple[int, int]] | None:
    """Where each of so many lines begins and ends, none wider than `limit`; None where a piece alone is wider."""
    best: dict[int, tuple[float, list[tuple[int, int]]]] = {0: (0.0, [])}
    for _ in range(lines):
        further: dict[int, tuple[float, list[tuple[int, int]]]] = {}
        for start, (cost, ends) in best.items():
            for end in range(start + 1, len(found) + 1):
                line = measure(shown("".join(found[start:end])))
                if line > limit:
                    break
                if end not in further or cost + line**2 < further[end][0]:
                    further[end] = (cost + line**2, [*ends, (start, end)])
        best = further
    return best[len(found)][1] if len(found) in best else None


def wrap(text: str, width: float, measure: Measure, *, even: bool = True, hyphens: bool = False) -> list[str]:
    """`text` in lines no wider than `width`, broken where Unicode lets them, and inside words that fit on no line.

    `measure` gives the width of a string in the unit of `width`. Newlines are kept. A single sign wider than
    `width` is left to stand out. `even` makes the lines of a paragraph about equally long; `hyphens` sets one where a
    word is broken.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        found = [part for piece in pieces(paragraph) for part in whole_or_chopped(piece, width, measure, hyphens)]
        lines += map(shown, balanced(found, width, measure) if even else fill(found, width, measure))
    return lines


def whole_or_chopped(piece: str, width: float, measure: Measure, hyphens: bool) -> list[str]:
    """The piece itself if a line can hold it, else its parts."""
    return [piece] if measure(shown(piece)) <= width else chop(piece, width, measure, hyphens=hyphens)
