"""Numbers with commas between them, as an option of the command line."""

from __future__ import annotations

from typing import Any

import click


class Numbers(click.ParamType[tuple[float, ...]]):
    """A list of numbers, as in 250,500,750."""

    name = "numbers"

    def __init__(self, whole: bool = True):
        self.whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers, at least one."""
        if not isinstance(value, str):
            return tuple(value)
        try:
            found = tuple((int if self.whole else float)(word) for word in value.split(","))
        except ValueError:
            kind = "whole numbers" if self.whole else "numbers"
            self.fail(f"expected {kind} with commas between them, as in 1,2,3, got {value!r}", param, ctx)
        return found
