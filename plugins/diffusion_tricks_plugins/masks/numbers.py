"""Lengths in a mask: pixels, or a share of a side."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

LENGTH = r"[+-]?\d+(?:\.\d+)?\s*(?:%|px)?"
WHOLE = re.compile(rf"\s*({LENGTH})\s*")
BETWEEN_POINTS = re.compile(r"(?<=[\d%x])\s+(?=[-+\d])")


class Malformed(ValueError):
    """A value that is none; the message goes on from what it stands in, `at` is where in the value it went wrong."""

    def __init__(self, message: str, at: int = 0):
        super().__init__(message)
        self.at = at


@dataclass(frozen=True)
class Length:
    """So many pixels, or so many percent of a side."""

    value: float
    percent: bool = False

    def px(self, side: int) -> float:
        """In pixels, where 100 % is `side` pixels."""
        return self.value * side / 100 if self.percent else self.value


def length(text: str, at: int = 0) -> Length:
    """The length that a text says: 12, 12px or 5%. Raises Malformed."""
    value = float(text.strip().removesuffix("%").removesuffix("px")) if WHOLE.fullmatch(text) else math.inf
    if math.isinf(value):
        raise Malformed(f"expected pixels or percent, as 12 or 5%, got {text.strip()!r}", at)
    return Length(value, text.rstrip().endswith("%"))


def lengths(text: str) -> list[Length]:
    """Lengths with commas or spaces between them. Raises Malformed, which says where."""
    found, at = [], 0
    for part in BETWEEN_POINTS.sub(lambda gap: ",".ljust(len(gap[0])), text).split(","):
        found.append(length(part, at + len(part) - len(part.lstrip())))
        at += len(part) + 1
    return found
