"""Public names that are imported when they are first used, so that a door costs no torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Door = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def opening(door: str, homes: Mapping[str, Sequence[str]]) -> Door:
    """`__getattr__`, `__dir__` and `__all__` of the module `door`.

    homes: module of the core, without its first name, to the names that it gives.
    """
    home = {name: module for module, names in homes.items() for name in names}
    names = sorted(home)

    def getattribute(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {door!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"diffusion_tricks.{home[name]}"), name)
        setattr(sys.modules[door], name, value)
        return value

    return getattribute, lambda: names, names
