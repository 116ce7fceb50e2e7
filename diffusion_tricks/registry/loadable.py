"""What stands behind a registered name must be of its kind. No torch here."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.registration import Entry
from diffusion_tricks.registry.options import TrickOptions, hint
from diffusion_tricks.registry.trick import Trick
from diffusion_tricks.registry.view import View

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

RESERVED = frozenset({"trick", "help"})  # in a recipe the name of a trick, on the command line its help


def checked_trick(entry: Entry, loaded: Any) -> type[Trick[Any]]:
    """The class that an entry stands for. Raises PluginError for what is no trick, or has options that cannot be."""
    name = f"trick {entry.name!r} of plugin {entry.plugin!r}"
    if not isinstance(loaded, type) or not issubclass(loaded, Trick):
        raise PluginError(f"{name}: expected a class that inherits from Trick at {entry.target!r}, got {loaded!r}")
    options: Any = loaded.Options
    if not isinstance(options, type) or not issubclass(options, TrickOptions):
        raise PluginError(f"{name}: expected Options that inherit from TrickOptions, got {options!r}")
    if taken := _taken(options):
        raise PluginError(f"{name} has an option called {taken[0]!r}, which stands for something else; rename it")
    return loaded


@cache
def _taken(options: type[TrickOptions]) -> list[str]:
    """What options are called that stands for something else."""
    return sorted(RESERVED & {flag for field in options.model_fields.items() for flag in _flags(*field)})


def checked_view(entry: Entry, loaded: Any) -> type[View]:
    """The class that an entry stands for. Raises PluginError for what is no view."""
    if not isinstance(loaded, type) or not issubclass(loaded, View):
        name = f"view {entry.name!r} of plugin {entry.plugin!r}"
        raise PluginError(f"{name}: expected a class that inherits from View at {entry.target!r}, got {loaded!r}")
    return loaded


def _flags(name: str, field: FieldInfo) -> tuple[str, str]:
    """The name of an option, and what the command line calls it."""
    return name, hint(field, "flag") or name
