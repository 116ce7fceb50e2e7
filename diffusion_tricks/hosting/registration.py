"""What plugins register: a name, where the object is, and who brought it. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.interrupts import is_interrupt
from diffusion_tricks.io.hashes import sha256

# kind of name: what the object that stands behind it must pass, if anything
KINDS: dict[str, str | None] = {
    "trick": "diffusion_tricks.registry.loadable:checked_trick",
    "view": "diffusion_tricks.registry.loadable:checked_view",
    "model": None,
    "scheduler": None,
    "family": None,
    "scorer": None,
    "mask": None,
    "movement": None,
    "engine": None,
}
PLURALS = {kind: "families" if kind == "family" else f"{kind}s" for kind in KINDS}


@dataclass(frozen=True)
class Entry:
    """A registered name: where the object is, what it is good for, and who registered it."""

    kind: str
    name: str
    target: str
    summary: str
    plugin: str
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def by_code(self) -> bool:
        """Whether the target is the place of an object in a module, `module:name`."""
        module, colon, attribute = self.target.partition(":")
        return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))

    def load(self) -> Any:
        """The registered object itself; of a model that is no code, the target as it is.

        Raises PluginError if it cannot be had, or is not of its kind.
        """
        if self.kind == "model" and not self.by_code:
            return self.target
        try:
            loaded = found_at(self.target)
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise PluginError(
                f"{self.kind} {self.name!r} of plugin {self.plugin!r} cannot be loaded from {self.target!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        check = KINDS[self.kind]
        return found_at(check)(self, loaded) if check else loaded


def found_at(target: str) -> Any:
    """The object at `module:name`, or within it at `module:name.name`. Raises what importing its module raises."""
    module, _, attribute = target.partition(":")
    return attrgetter(attribute)(importlib.import_module(module))


@dataclass(frozen=True)
class PluginStatus:
    """One plugin found: `error` is None for one that works, and `skipped` says who left it out.

    distribution: that it was installed with. file, sha256: that it was read from. seconds: that loading it took.
    """

    name: str
    origin: str
    version: str | None = None
    error: str | None = None
    skipped: str | None = None
    distribution: str | None = None
    file: str | None = None
    sha256: str | None = None
    seconds: float = 0.0

    @property
    def works(self) -> bool:
        """Whether it was loaded and is not broken."""
        return self.error is None and self.skipped is None


@dataclass(frozen=True)
class Found:
    """A plugin that was found: what it is called, where it comes from, and how it is had."""

    name: str
    origin: str
    load: Callable[[], Any]
    version: str | None = None
    distribution: str | None = None
    file: Path | None = None

    def status(self, **more: Any) -> PluginStatus:
        """What became of it."""
        file: dict[str, Any] = {} if self.file is None else {"file": str(self.file), "sha256": sha256(self.file)}
        return PluginStatus(self.name, self.origin, self.version, distribution=self.distribution, **file, **more)


class Clash(PluginError):
    """A plugin registers a name that another has registered."""
