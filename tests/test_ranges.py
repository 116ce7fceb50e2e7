"""Ranges of numbers as grids and sweeps say them (`recipes/ranges.py`)."""

from __future__ import annotations

import pytest

from diffusion_tricks import UsageError
from diffusion_tricks.recipes.ranges import range_in


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.2:0.5:0.1", ["0.2", "0.3", "0.4", "0.5"]),
        ("0:1:0.4", ["0", "0.4", "0.8"]),
        ("3:1:-1", ["3", "2", "1"]),
        ("-1:1", ["-1", "0", "1"]),
        ("8-11", ["8", "9", "10", "11"]),
        ("5-5", ["5"]),
    ],
)
def test_they_are_counted_out_exactly(text: str, numbers: list[str]) -> None:
    found = range_in(text, "the axis", 10)
    assert found is not None
    assert list(found) == numbers


@pytest.mark.parametrize("text", ["a-b", "1", "1:", "1-2-3", "a 1-2", ""])
def test_other_texts_are_none(text: str) -> None:
    assert range_in(text, "the axis", 10) is None


def test_first_to_last_may_be_a_text_and_no_range() -> None:
    assert range_in("8-11", "the axis", 10, whole=False) is None
    assert range_in("8:11", "the axis", 10, whole=False) is not None


@pytest.mark.parametrize("text", ["3:1", "0:1:0", "0-10", "2-1"])
def test_those_that_lead_nowhere_or_too_far_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"the axis goes from .* at most {10} steps"):
        list(range_in(text, "the axis", 10) or ())
