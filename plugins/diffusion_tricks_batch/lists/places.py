"""What stands in braces: `{animal}`, `{prompt:slug}`, `{seed:04}`; `{{` and `}}` are braces themselves. No torch here.

What follows a colon says how: `slug` for names of files, or the format of a number, as Python's own.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from diffusion_tricks.plugin import UsageError

PLACE = re.compile(r"\{\{|\}\}|\{(\w[\w.-]*)(?::([^{}]*))?\}")
BRACES = re.compile(r"[{}]")
NUMBER = re.compile(r"[ +]?0?\d{0,2}(?:\.\d{1,2})?[dfge]?")  # a format of one
FIRST_MARK = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")  # accents of Latin letters, taken apart
LONGEST = 60  # characters of a slug


def places(text: str) -> Iterator[str]:
    """The names that stand in braces."""
    return (found[1] for found in PLACE.finditer(text) if found[1])


def filled(text: str, value: Callable[[str], Any]) -> str:
    """The text with what `value` gives for each name. Raises UsageError for a format that does not fit, and its own."""

    def one(found: re.Match[str]) -> str:
        return formed(value(found[1]), found[2] or "", found[1]) if found[1] else found[0][0]

    return PLACE.sub(one, text)


def escaped(text: str) -> str:
    """The text that `filled` gives back as it is."""
    return BRACES.sub(lambda found: found[0] * 2, text)


def formed(value: Any, form: str, name: str) -> str:
    """A value as text: as it is, as a slug, or in the format of a number. Raises UsageError."""
    if form == "slug":
        return slug(plain(value))
    if not form:
        return plain(value)
    if not NUMBER.fullmatch(form):
        raise UsageError(f"{{{name}:{form}}}: expected `slug`, or the format of a number such as 04 or .2f")
    try:
        return format(_number(value), form)
    except (TypeError, ValueError):
        whole = "a whole number" if form.endswith("d") else "a number"
        raise UsageError(f"{{{name}:{form}}}: expected {whole}, got {plain(value)[:80]!r}") from None


def plain(value: Any) -> str:
    """A value as text; of what is neither text nor number, its JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: Any) -> Any:
    """The number that a value is, or that its text says; else None."""
    if isinstance(value, str):
        value = next((kind(value) for kind in (int, float) if _reads(kind, value)), None)
    whole = isinstance(value, float) and value.is_integer()
    return None if isinstance(value, bool) else int(value) if whole else value


def _reads(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def slug(text: str) -> str:
    """A text as part of a file's name: lower case, letters and digits of any script, the rest dashes.

    1 to 60 characters: Latin letters lose their accents, signs such as emoji stand by their names in Unicode, and what
    has nothing of that is told apart by its SHA-256.
    """
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    letters = unicodedata.normalize("NFKC", FIRST_MARK.sub("", apart))
    said = _dashed(letters) or _dashed(" ".join(unicodedata.name(one, "") for one in text if _is_sign(one)).lower())
    return said or "x" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _dashed(text: str) -> str:
    kept = "".join(one if unicodedata.category(one)[0] in "LMN" else " " for one in text)
    return "-".join(kept.split())[:LONGEST].strip("-")


def _is_sign(one: str) -> bool:
    return unicodedata.category(one) in {"So", "Sm", "Sc"}
