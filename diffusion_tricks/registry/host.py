"""Finds plugins, keeps broken ones apart, refuses clashes. Imports no torch."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from diffusion_tricks.errors import PluginError, UnknownName, UsageError
from diffusion_tricks.registry.host_hooks import PROJECT, HostHooks

if TYPE_CHECKING:
    from types import ModuleType

    from diffusion_tricks.registry.trick import Trick

BUILT_IN = "diffusion_tricks_plugins"
KNOWN_MODELS = "diffusion_tricks.loading.known"  # registers as plugins do
LEFT_OUT = "left out by `without`"
ALLOWED = "DIFFUSION_TRICKS_PLUGINS"  # allow list of plugin names, comma-separated; empty is none


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
        """The registered object itself; for a model, the target as it is. Raises PluginError if it cannot be had."""
        if self.kind == "model":
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise PluginError(
                f"{self.kind} {self.name!r} of plugin {self.plugin!r} cannot be loaded from {self.target!r}: "
                f"{type(error).__name__}: {error}"
            ) from error


@dataclass(frozen=True)
class PluginStatus:
    """One plugin found: `error` is None for one that works, and `skipped` says who left it out."""

    name: str
    origin: str
    version: str | None = None
    error: str | None = None
    skipped: str | None = None


class Clash(PluginError):
    """Two plugins of one name, or two that register the same name."""


class Host:
    """Every plugin of this process and the names they registered."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(HostHooks)
        self.statuses: list[PluginStatus] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._origins: dict[str, str] = {}

    def entries(self, kind: str) -> dict[str, Entry]:
        """Name to entry of one kind: "trick", "view" or "model"; in order of registration."""
        return {name: entry for (k, name), entry in self._entries.items() if k == kind}

    def find(self, kind: str, name: str) -> Entry:
        """The entry of that name. Raises UnknownName, with the nearest one that is registered."""
        entries = self.entries(kind)
        if name not in entries:
            raise UnknownName(kind, name, entries)
        return entries[name]

    def trick(self, name: str) -> type[Trick[Any]]:
        """The trick class of that name."""
        loaded: type[Trick[Any]] = self.find("trick", name).load()
        return loaded

    def add(self, name: str, origin: str, load: Callable[[], Any], version: str | None = None) -> None:
        """Loads one plugin and lets it register; whatever it raises becomes its status, and is not raised.

        A clash of names is the exception: it is raised as PluginError naming both plugins and where they are from.
        """
        if name in self._origins:
            raise Clash(
                f"{self._origins[name]} and {origin} both bring a plugin called {name!r}; uninstall one of them"
            )
        self._origins[name] = origin
        try:
            self._register(name, load())
        except Clash:
            raise
        except (Exception, SystemExit) as error:
            self._forget(name)
            self.statuses.append(PluginStatus(name, origin, version, error=f"{type(error).__name__}: {error}"))
            return
        self.statuses.append(PluginStatus(name, origin, version))

    def _register(self, name: str, plugin: Any) -> None:
        self.manager.register(plugin, name=name)
        _warn_of_misspelt(self.manager, name)
        for kind in ("trick", "view", "model"):
            hook = getattr(self.manager.hook, f"register_{kind}s")
            for implementation in hook.get_hookimpls():
                if implementation.plugin_name == name:
                    implementation.function(register=partial(self._enter, name, kind))

    def add_core(self) -> None:
        """The core's own registrations, which no list of plugins shows: the models it knows by name."""
        self._origins[PROJECT] = "the core"
        self._register(PROJECT, importlib.import_module(KNOWN_MODELS))

    def _enter(self, plugin: str, kind: str, name: str, target: str, *, summary: str = "", **notes: Any) -> None:
        other = self._entries.get((kind, name))
        if other is not None:
            both = " and ".join(f"{p!r} ({self._origins[p]})" for p in (other.plugin, plugin))
            raise Clash(
                f"plugins {both} both register a {kind} called {name!r}; leave one out with `without={[plugin]!r}`"
            )
        self._entries[kind, name] = Entry(kind, name, target, summary, plugin, notes)

    def _forget(self, name: str) -> None:
        if self.manager.has_plugin(name):
            self.manager.unregister(name=name)
        self._entries = {key: entry for key, entry in self._entries.items() if entry.plugin != name}

    def skip(self, name: str, origin: str, why: str) -> None:
        """Notes a plugin that was left out before anything of it was loaded."""
        self.statuses.append(PluginStatus(name, origin, skipped=why))


_host: Host | None = None
_from_files: set[str] = set()  # modules that were loaded from single files


def host(files: Iterable[Path] = (), without: Iterable[str] = ()) -> Host:
    """The host of this process, made at the first call: the built-in tricks, installed plugins, then `files`.

    files: single Python files to load as plugins. without: names of plugins to leave out; they and the allow list
    in the environment variable `DIFFUSION_TRICKS_PLUGINS` are read before anything is loaded. The built-in tricks
    are always there. Later calls with arguments make a new host, which takes the place of the old one.
    Raises UnknownName for a name in `without` that no plugin has, UsageError for a file that cannot be one, and
    PluginError for a clash of names.
    """
    global _host
    files, without = list(files), set(without)
    if _host is None or files or without:
        _host = _made(files, without)
    return _host


def _made(files: list[Path], without: set[str]) -> Host:
    found = sorted(entry_points(group=PROJECT), key=lambda point: point.name)
    names = {point.name for point in found} | {file.stem for file in files}
    if unknown := without - names:
        raise UnknownName("plugin", min(unknown), names)
    for file in files:
        _check_file(file)
    made = Host()
    made.add_core()
    made.add(BUILT_IN, "built in", partial(importlib.import_module, BUILT_IN), _version("diffusion-tricks"))
    for point in found:
        origin = point.dist.name if point.dist else point.value
        if why := _left_out(point.name, without):
            made.skip(point.name, origin, why)
        else:
            made.add(point.name, origin, point.load, point.dist.version if point.dist else None)
    for file in files:
        if file.stem in without:
            made.skip(file.stem, file.name, LEFT_OUT)
        else:
            made.add(file.stem, file.name, partial(_from_file, file))
    return made


def _left_out(name: str, without: set[str]) -> str | None:
    if name in without:
        return LEFT_OUT
    allowed = os.environ.get(ALLOWED)
    if allowed is not None and name not in {part.strip() for part in allowed.split(",")}:
        return f"not in {ALLOWED}"
    return None


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _check_file(file: Path) -> None:
    """Raises UsageError for a file that cannot be a plugin, before anything of it is run."""
    if not file.is_file():
        raise UsageError(f"plugin {file}: no such file; expected a Python file with @hookimpl functions")
    if file.suffix != ".py" or "." in file.stem:
        raise UsageError(f"plugin {file}: expected a Python file, its name ending in .py and with no other dot")
    if file.stem not in _from_files and _is_module(file):
        raise UsageError(f"plugin {file}: there is another module called {file.stem!r}; rename the file")


def _is_module(file: Path) -> bool:
    """Whether the file's name stands for a module that is not the file itself."""
    try:
        spec = importlib.util.find_spec(file.stem)
    except ValueError:  # a module without a specification, such as __main__
        return True
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != file.resolve())


def _from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"plugin {file}: cannot be loaded as a Python file")
    module = importlib.util.module_from_spec(spec)
    _from_files.add(file.stem)
    sys.modules[file.stem] = module  # a trick registered as "file:Class" is found there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[file.stem]
        raise
    return module


def _warn_of_misspelt(manager: pluggy.PluginManager, name: str) -> None:
    """A hook that no specification knows becomes a warning with a suggestion."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError:
        plugin = manager.get_plugin(name)
        specified = [n for n, _ in inspect.getmembers(HostHooks, inspect.isfunction)]
        for hook in unspecified(plugin, specified):
            warnings.warn(f"plugin {name!r}: {UnknownName('hook', hook, specified)}", stacklevel=2)


def unspecified(plugin: object, specified: list[str]) -> list[str]:
    """The names of a plugin's hooks that no specification knows."""
    marked = [n for n, value in inspect.getmembers(plugin) if getattr(value, f"{PROJECT}_impl", None) is not None]
    return [n for n in marked if n not in specified]


def plugin_versions() -> dict[str, str]:
    """Distribution name to version of every plugin that works, for the record in each picture."""
    return {s.origin: s.version for s in host().statuses if s.error is None and not s.skipped and s.version}
