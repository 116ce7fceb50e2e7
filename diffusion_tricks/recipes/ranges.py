"""Ranges of numbers, as axes of grids and sweeps say them: 0.2:0.9:0.1, and of whole numbers 0-99. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from diffusion_tricks.errors import UsageError

DIGITS = r"[+-]?(?:\d+\.?\d*|\.\d+)"
RANGE = re.compile(rf"({DIGITS}):({DIGITS})(?::({DIGITS}))?")
WHOLE = re.compile(r"(\d{1,19})-(\d{1,19})")


def range_in(text: str, what: str, most: int, *, whole: bool = True) -> Iterator[str] | None:
    """The numbers of a range as texts; None for a text that is none.

    what: the range is of. most: numbers there may be. whole: whether first-last is a range. Raises UsageError for one
    that leads nowhere, or is longer.
    """
    found = RANGE.fullmatch(text) or (WHOLE.fullmatch(text) if whole else None)
    if found is None:
        return None
    first, last, *step = found.groups()
    return _counted_out(what, first, last, step[0] if step and step[0] else "1", most)


def _counted_out(what: str, first: str, last: str, step: str, most: int) -> Iterator[str]:
    """From the first to the last, which is one of them where the step leads there, exactly as decimals."""
    start, stop, by = (Decimal(number) for number in (first, last, step))
    count = (stop - start) // by + 1 if by else Decimal(0)
    if not 1 <= count <= most:
        raise UsageError(f"{what} goes from {first} to {last} by {step}: that is no way of at most {most:,} steps; "
                         "expected from:to:by, as 0.2:0.9:0.1, or first-last")  # fmt: skip
    for i in range(int(count)):
        yield f"{(start + i * by).normalize():f}"
