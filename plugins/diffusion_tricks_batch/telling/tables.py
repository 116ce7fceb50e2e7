"""Values and tables as text. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WIDEST = 48  # characters of a value in a table


def columns(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table: what is a number in all rows stands on the right."""
    table = [list(names), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = [all(map(_is_number, one[1:])) and set(one[1:]) != {"-"} for one in zip(*table, strict=True)]
    return ["  ".join(_placed(*cell) for cell in zip(row, widths, right, strict=True)).rstrip() for row in table]


def _placed(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _is_number(text: str) -> bool:
    return text == "-" or text.lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdecimal()


def counted(number: int, thing: str) -> str:
    """As 1 job, or 2 jobs."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def said(value: Any) -> str:
    """A value of a field, in words: a list of views as `identity: a rabbit; flip: a duck`."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        trick = value.get("trick")
        rest = ", ".join(f"{key} {said(one)}" for key, one in value.items() if key != "trick")
        return f"{trick}({rest})" if trick else rest
    if isinstance(value, list | tuple):
        return "; ".join(map(_said_pair, value)) if any(isinstance(one, list | tuple) for one in value) else (
            ", ".join(map(said, value)))  # fmt: skip
    return f"{value:g}" if isinstance(value, float) else str(value)


def _said_pair(value: Any) -> str:
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{said(value[0])}: {said(value[1])}"
    return said(value)


def short(text: str, most: int = WIDEST) -> str:
    """A text in one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
