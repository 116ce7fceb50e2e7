"""What plugins register: a name, where the object is, and who brought it. Imports no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import PluginError
from diffusion_tricks.registry.calls import is_interrupt

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from diffusion_tricks.registry.trick import Trick

RESERVED = frozenset({"trick", "help"})  # in a recipe the name of a trick, on the command line its help


@dataclass(frozen=True)
class Entry:
    """A registered name: where the object is, what it is good for, and who registered it."""

    kind: str
    name: str
    target: str
    summary: str
    plugin: str
    notes: dict[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """The registered object itself; for a model, the target as it is.

        Raises PluginError if it cannot be had, or is no trick where it should be.
        """
        if self.kind == "model":
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            loaded = getattr(importlib.import_module(module), attribute)
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise PluginError(
                f"{self.kind} {self.name!r} of plugin {self.plugin!r} cannot be loaded from {self.target!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return checked_trick(self, loaded) if self.kind == "trick" else loaded


@dataclass(frozen=True)
class PluginStatus:
    """One plugin found: `error` is None for one that works, and `skipped` says who left it out."""

    name: str
    origin: str
    version: str | None = None
    error: str | None = None
    skipped: str | None = None


class Clash(PluginError):
    """A plugin registers a name that another has registered."""


def checked_trick(entry: Entry, loaded: Any) -> type[Trick[Any]]:
    """The class that an entry stands for. Raises PluginError for what is no trick, or has options that cannot be."""
    from diffusion_tricks.registry.options import TrickOptions
    from diffusion_tricks.registry.trick import Trick

    name = f"trick {entry.name!r} of plugin {entry.plugin!r}"
    if not isinstance(loaded, type) or not issubclass(loaded, Trick):
        raise PluginError(f"{name}: expected a class that inherits from Trick at {entry.target!r}, got {loaded!r}")
    options: Any = loaded.Options
    if not isinstance(options, type) or not issubclass(options, TrickOptions):
        raise PluginError(f"{name}: expected Options that inherit from TrickOptions, got {options!r}")
    if taken := sorted(RESERVED & {flag for field in options.model_fields.items() for flag in _flags(*field)}):
        raise PluginError(f"{name} has an option called {taken[0]!r}, which stands for something else; rename it")
    return loaded


def _flags(name: str, field: FieldInfo) -> tuple[str, str]:
    """The name of an option, and what the command line calls it."""
    from diffusion_tricks.registry.options import hint

    return name, hint(field, "flag") or name
