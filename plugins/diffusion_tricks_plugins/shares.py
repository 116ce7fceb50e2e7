"""Weights over the schedule: `1`, or `1@0-0.4,0.5@0.4-1`, a weight for each share of it. No paper: a staircase.

A share is how far the schedule has come, 0 to 1: the weight of `0.5@0.4-1` holds from 0.4 on, up to 1 and without it.
Where no share says one the weight is 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator

NUMBER = r"\s*(\d*\.?\d+(?:e[+-]?\d+)?)\s*"
PIECE = re.compile(f"{NUMBER}(?:@{NUMBER}-{NUMBER})?", re.IGNORECASE)
FORMS = "expected a weight of at least 0, or weights of shares of the schedule as in 1@0-0.4,0.5@0.4-1"
Piece = tuple[float, float, float]  # weight, from and to which share


def pieces_of(weight: float | str) -> list[Piece]:
    """A weight and its share of the schedule, one for each that is said. Raises ValueError for what is no weight."""
    if not isinstance(weight, str):
        return [(weight, 0.0, 1.0)]
    pieces = [_piece(text, weight) for text in weight.split(",")]
    for one, other in pairwise(sorted(pieces, key=lambda piece: piece[1])):
        if other[1] < one[2]:
            raise ValueError(f"{weight!r} says two weights for the share {other[1]:g}-{min(one[2], other[2]):g} of the"
                             " schedule; say one")  # fmt: skip
    return pieces


def _piece(text: str, whole: str) -> Piece:
    found = PIECE.fullmatch(text)
    if found is None:
        raise ValueError(f"{FORMS}, got {whole!r}")
    weight, start, stop = (float(part) if part else None for part in found.groups())
    if start is None or stop is None:
        start, stop = 0.0, 1.0
    if not start < stop <= 1:
        raise ValueError(f"{whole!r}: a share of the schedule goes from 0 up to 1, got {start:g}-{stop:g}")
    return weight or 0.0, start, stop


def weight_at(weight: float | str, fraction: float) -> float:
    """What a weight is where the schedule has come so far, 0 to 1; 1 counts as just before it.

    >>> [weight_at("1@0-0.4,0.5@0.4-1", f) for f in (0, 0.39, 0.4, 0.99)], weight_at("2@0.5-0.6", 0.7)
    ([1.0, 1.0, 0.5, 0.5], 0.0)
    """
    at = min(fraction, math.nextafter(1, 0))
    return sum((value for value, start, stop in pieces_of(weight) if start <= at < stop), 0.0)


def weightless(weights: Sequence[float | str]) -> tuple[float, float] | None:
    """The first share of the schedule in which none of the weights is above 0; None where there is none."""
    edges = sorted({edge for weight in weights for _, *ends in pieces_of(weight) for edge in (0.0, 1.0, *ends)})
    return next((share for share in pairwise(edges) if not any(weight_at(one, share[0]) for one in weights)), None)


def _read(value: Any) -> float | str:
    """A plain number as one, however it is written; all else as the text that it is, once it is checked."""
    text = str(value)
    number = float(text) if PIECE.fullmatch(text) and "@" not in text else None
    if number is not None:
        return number
    if not isinstance(value, str):
        raise ValueError(f"{FORMS}, got {value!r}")
    pieces_of(value)
    return value


Weight = Annotated[float | str, BeforeValidator(_read)]
