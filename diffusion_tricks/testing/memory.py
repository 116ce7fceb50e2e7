"""Plugins that are registered as they stand in a test, without a file of their own."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from diffusion_tricks.hookspecs import hookimpl
from diffusion_tricks.hosting.host import Host, with_plugin
from diffusion_tricks.hosting.registration import Found
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.registry.view import View

ORIGIN = "in memory"


@contextmanager
def registered(plugin: Any, name: str = "") -> Iterator[Host]:
    """Registers a plugin for as long as the `with` lasts; behind it all is as it was.

        with registered(Vignette):
            outcome = run_command("make", "-p", "a rose", "-o", "rose.png", "vignette")

    plugin: an object or a module with `@hookimpl` functions; or a class of a trick, known by its `label()`, or of a
    view, known by its name in small letters: `InnerCircle` as "inner_circle". name: what it is known by instead.
    Raises PluginError for a plugin that is broken, as one that takes a name which is taken.
    """
    if isinstance(plugin, type) and issubclass(plugin, Trick | View):
        with _module_of(plugin, name or _known_by(plugin)) as module, registered(module) as made:
            yield made
        return
    called = name or str(getattr(plugin, "__name__", type(plugin).__name__))
    with with_plugin(Found(called, ORIGIN, lambda: plugin)) as made:
        yield made


@contextmanager
def _module_of(kind: type[Trick[Any] | View], name: str) -> Iterator[ModuleType]:
    """A module that registers one class, and where it is found by its name."""
    module = ModuleType(f"{name.replace('-', '_')}_in_memory")
    hook = "register_tricks" if issubclass(kind, Trick) else "register_views"

    def register_it(register: Callable[..., None]) -> None:
        register(name, f"{module.__name__}:{kind.__name__}", summary=(inspect.getdoc(kind) or "").partition("\n")[0])

    register_it.__name__ = hook
    setattr(module, hook, hookimpl(register_it))
    setattr(module, kind.__name__, kind)
    sys.modules[module.__name__] = module
    try:
        yield module
    finally:
        sys.modules.pop(module.__name__, None)


def _known_by(kind: type[Trick[Any] | View]) -> str:
    if issubclass(kind, Trick):
        return kind.label()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
