"""Public names that are imported when they are first used, so that a door costs no torch, and imports in less time."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Imports inside are not looked through by Python's garbage collector, which takes a fifth of their time.

    What they bring stays to the end of the process. Where some things are set aside for good (`gc.freeze`), as the
    command line does it at its start, they are set aside, too, and no later collection looks through them.
    """
    if not gc.isenabled():
        yield
        return
    aside = gc.get_freeze_count() > 0
    if aside:
        gc.collect()  # what is garbage by now is not to be kept
    gc.disable()
    try:
        yield
    finally:
        if aside:
            gc.freeze()
        gc.enable()
