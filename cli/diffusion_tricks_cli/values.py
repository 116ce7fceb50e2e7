"""Kinds of values that the command line reads, beside those of Click. No torch here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from diffusion_tricks.errors import UnknownName
from diffusion_tricks.recipes.recipe import MAX_SIDE

MOST_SEEDS = 100_000
RANGE = re.compile(r"\s*([0-9]{1,19})(?:\s*-\s*([0-9]{1,19}))?\s*")


class Size(click.ParamType):  # type: ignore[type-arg]
    """`64` or `64x48`, as (width, height) in pixels."""

    name = "size"

    def text(self, value: Sequence[int]) -> str:
        """The size as a word: 64x48."""
        return "x".join(map(str, value))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """One number is a square."""
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if len(parts) not in {1, 2} or not all(part.isascii() and part.isdigit() and int(part) for part in parts):
            self.fail(f"expected a side in pixels, as 64, or width and height, as 64x48, got {value!r}", param, ctx)
        if any(int(part) > MAX_SIDE for part in parts):
            self.fail(f"expected sides of 1 to {MAX_SIDE} pixels, got {value!r}", param, ctx)
        return int(parts[0]), int(parts[-1])


class Seeds(click.ParamType):  # type: ignore[type-arg]
    """`3`, or several with commas between them, `1-8,20`, as one number or a list."""

    name = "seeds"

    def text(self, value: int | Sequence[int]) -> str:
        """The seeds as a word, those that count up as a range: 1-8,20."""
        runs: list[list[int]] = []
        for seed in [value] if isinstance(value, int) else value:
            if runs and seed == runs[-1][-1] + 1:
                runs[-1] = [runs[-1][0], seed]
            else:
                runs.append([seed])
        return ",".join("-".join(map(str, run)) for run in runs)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | list[int]:
        """A list of one is a number."""
        if isinstance(value, int | list):
            return value
        seeds: list[int] = []
        for part in str(value).split(","):
            if not (found := RANGE.fullmatch(part)):
                self.fail(f"expected a seed of at least 0, as 3, or several, as 1-8,20, got {value!r}", param, ctx)
            first = int(found[1])
            last = first if found[2] is None else int(found[2])
            if last < first:
                self.fail(f"{part.strip()!r} counts down; write {last}-{first}", param, ctx)
            if len(seeds) + last - first >= MOST_SEEDS:
                self.fail(f"expected at most {MOST_SEEDS:,} seeds, got {value!r}", param, ctx)
            seeds += range(first, last + 1)
        return seeds if len(seeds) > 1 else seeds[0]


class Name(click.ParamType):  # type: ignore[type-arg]
    """One of the registered names of a kind; an unknown one is answered with the nearest.

    names: called when they are needed, as finding them may load plugins.
    """

    def __init__(self, kind: str, names: Callable[[], Iterable[str]]):
        self.name = kind
        self.names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name itself."""
        if value not in self.names():
            self.fail(str(UnknownName(self.name, str(value), self.names())), param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so."""
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]
