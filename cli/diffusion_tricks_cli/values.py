"""Kinds of values that the command line reads, beside those of Click. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from diffusion_tricks.errors import UnknownName
from diffusion_tricks.recipes.recipe import MAX_SIDE


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
