"""What an experiment found: a figure, a table, numbers, and what these say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from PIL.Image import Image

Row = dict[str, Any]  # column, with its unit, to a text or a number


@dataclass(frozen=True)
class Findings:
    """What an experiment has found so far; experiments give one after each part, each with all that is known by then.

    draw: makes the figure. table: rows with the same keys. numbers: what else was measured; units stand in the keys.
    says: what the numbers say, a sentence each. made: pictures to keep beside the figure, by the name of their file.
    done: the share of the experiment, 0 to 1.
    """

    draw: Callable[[], Image]
    table: list[Row] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)
    made: dict[str, Image] = field(default_factory=dict)
    done: float = 1.0

    @cached_property
    def figure(self) -> Image:
        """The figure, drawn when it is first asked for."""
        return self.draw()


def last(findings: Iterable[Findings]) -> Findings:
    """What an experiment has found when it ends.

    >>> found = last(forward(Session(seed=0), "photo.png"))
    """
    *_, found = findings
    return found
