"""Calls into plugins: the implementations of a hook in order, and failures that name the plugin. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pluggy

from diffusion_tricks.devices.oom import memory_is_full
from diffusion_tricks.errors import DiffusionTricksError, PluginError
from diffusion_tricks.hosting.interrupts import is_interrupt

T = TypeVar("T")


def guarded(name: str, place: str, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """What `function` gives; a failure of its own becomes a PluginError that names the trick and the place.

    The project's own errors pass, and so do Ctrl-C and a full memory, which is the model's to explain.
    """
    try:
        return function(*arguments, **named)
    except (DiffusionTricksError, GeneratorExit):
        raise
    except BaseException as error:
        if is_interrupt(error) or (isinstance(error, Exception) and memory_is_full(error)):
            raise
        raise PluginError(f"trick {name!r} failed in {place}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Call:
    """One trick's implementation of a hook, ready to be called with keywords; it may take fewer than it is given."""

    name: str
    place: str
    implementation: pluggy.HookImpl

    def __call__(self, **arguments: Any) -> Any:
        """What the trick gives. Raises PluginError when it fails."""
        optional = (key for key in self.implementation.kwargnames if key in arguments)  # pluggy would leave them out
        wanted = {key: arguments[key] for key in (*self.implementation.argnames, *optional)}
        return guarded(self.name, self.place, self.implementation.function, **wanted)

    def broken(self, problem: str) -> PluginError:
        """The error to raise for an answer that is no use."""
        return PluginError(f"trick {self.name!r} failed in {self.place}: {problem}")


def calls(hook: pluggy.HookCaller) -> list[Call]:
    """The implementations of a hook in the order they are called: pluggy lists them the other way round.

    Raises PluginError for pluggy's wrappers: tricks nest by asking, not by wrapping calls.
    """
    for impl in hook.get_hookimpls():
        if impl.wrapper or impl.hookwrapper:
            raise PluginError(f"trick {impl.plugin_name!r}: {hook.name} must be a plain @hookimpl, not a wrapper")
    implementations = list(reversed(hook.get_hookimpls()))
    last = [impl for impl in implementations if impl.trylast]  # these alone pluggy keeps in order of registration
    ordered = [*(impl for impl in implementations if not impl.trylast), *reversed(last)]
    return [Call(impl.plugin_name, hook.name, impl) for impl in ordered]
