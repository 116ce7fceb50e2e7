"""Finds plugins, keeps broken ones apart, refuses clashes. Imports no torch."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from time import perf_counter
from typing import Any

import pluggy

from diffusion_tricks.errors import PluginError, UnknownName
from diffusion_tricks.hosting.api import Foreign, check_api
from diffusion_tricks.hosting.host_hooks import PROJECT, HostHooks
from diffusion_tricks.hosting.interrupts import is_interrupt
from diffusion_tricks.hosting.plugin_file import check_file, forgotten, from_file
from diffusion_tricks.hosting.registration import KINDS, PLURALS, Clash, Entry, Found, PluginStatus

BUILT_IN = (
    "diffusion_tricks_plugins", "diffusion_tricks_learn", "diffusion_tricks_print", "diffusion_tricks_search",
    "diffusion_tricks_show", "diffusion_tricks_kit", "diffusion_tricks_batch",
)  # fmt: skip
CORE = (  # they register as plugins do
    "diffusion_tricks.loading.known", "diffusion_tricks.diffusion.schedulers", "diffusion_tricks.families.table",
    "diffusion_tricks.generate.scorers",
)  # fmt: skip
OWN = "diffusion-tricks"  # distribution
LEFT_OUT = "left out by `without`"
ALLOWED = "DIFFUSION_TRICKS_PLUGINS"  # allow list of plugin names, comma-separated; empty is none


class Host:
    """Every plugin of this process and the names they registered. files, without: it was asked for, see `host`."""

    def __init__(self, files: Iterable[Path] = (), without: Iterable[str] = ()) -> None:
        self.files, self.without = tuple(files), frozenset(without)
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(HostHooks)
        self.statuses: list[PluginStatus] = []
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._origins: dict[str, str] = {}

    def entries(self, kind: str) -> dict[str, Entry]:
        """Name to entry of one kind, as `KINDS` names them; in order of registration."""
        return dict(self._entries.get(kind, {}))

    def find(self, kind: str, name: str) -> Entry:
        """The entry of that name. Raises what `unknown` gives."""
        if (entry := self._entries.get(kind, {}).get(name)) is None:
            raise self.unknown(kind, name)
        return entry

    def unknown(self, kind: str, name: str, known: Iterable[str] | None = None) -> UnknownName | PluginError:
        """The error to raise for a name that is not known: the nearest that is, or the plugins that are broken.

        known: names; None is all that are registered.
        """
        known = list(self.entries(kind) if known is None else known)
        broken = [f"{status.name!r} ({status.error})" for status in self.statuses if status.error]
        if not broken or difflib.get_close_matches(name, known, n=1, cutoff=0.5):
            return UnknownName(kind, name, known)
        return PluginError(f"unknown {kind} {name!r}; it may be of a plugin that is broken: {', '.join(broken)}")

    def trick(self, name: str) -> Any:
        """The trick class of that name. Raises UnknownName, and PluginError for one that is none."""
        return self.find("trick", name).load()

    def add(self, found: Found) -> None:
        """Loads one plugin and lets it register; whatever goes wrong in that becomes its status, and is not raised.

        Of two plugins of one name, or that register one name, the later is broken. What it prints goes to stderr.
        """
        if found.name in self._origins:
            other = self._origins[found.name]
            advice = f"; leave one out, as `without={[found.origin]!r}`" if found.origin != other else ""
            error = f"there is already a plugin called {found.name!r}, from {other}{advice}"
            self.statuses.append(found.status(error=error))
            return
        self._origins[found.name] = found.origin
        begun = perf_counter()
        failed: str | None = None
        try:
            with contextlib.redirect_stdout(sys.stderr):
                self._register(found.name, found.load())
        except BaseException as failure:
            if is_interrupt(failure):
                raise
            self._forget(found.name)
            failed = str(failure) if isinstance(failure, Clash | Foreign) else f"{type(failure).__name__}: {failure}"
        self.statuses.append(found.status(error=failed, seconds=perf_counter() - begun))

    def _register(self, name: str, plugin: Any) -> None:
        check_api(plugin)
        self._enter_all(name, plugin, name)

    def _enter_all(self, owner: str, plugin: Any, name: str) -> None:
        """Lets a plugin register all it has; `owner` is who that is known by."""
        self.manager.register(plugin, name=name)
        _warn_of_misspelt(self.manager, name)
        for kind, plural in PLURALS.items():
            hook = getattr(self.manager.hook, f"register_{plural}")
            for implementation in hook.get_hookimpls():
                if implementation.plugin_name == name:
                    enter = partial(self._enter_row, owner) if kind == "family" else partial(self._enter, owner, kind)
                    implementation.function(register=enter)

    def _enter_row(self, plugin: str, row: Any) -> None:
        """Enters a family, whose row says its name itself."""
        if not (hasattr(row, "title") and hasattr(row, "serves")):
            raise TypeError(f"expected a FamilyRow, got {row!r}")
        self._enter(plugin, "family", row.title, row.serves.opens, row=row)

    def add_core(self) -> None:
        """The core's own registrations, which no list of plugins shows: models, schedulers, families, scorers."""
        self._origins[PROJECT] = "the core"
        for module in CORE:
            self._enter_all(PROJECT, importlib.import_module(module), module)

    def _enter(self, plugin: str, kind: str, name: str, target: str, *, summary: str = "", **notes: Any) -> None:
        if not (isinstance(name, str) and isinstance(target, str)):
            raise TypeError(f"expected the name of a {kind} and where it is, as texts, got {name!r} and {target!r}")
        if other := self._entries[kind].get(name):
            raise Clash(
                f"there is already a {kind} called {name!r}, from {other.plugin!r} ({self._origins[other.plugin]})"
            )
        self._entries[kind][name] = Entry(kind, name, target, summary, plugin, notes)

    def _forget(self, name: str) -> None:
        if self.manager.has_plugin(name):
            self.manager.unregister(name=name)
        self._entries = {kind: {n: e for n, e in of.items() if e.plugin != name} for kind, of in self._entries.items()}

    def but(self, found: Found) -> Host:
        """A host that has one plugin more, which takes the place of another one of its name that is not built in.

        Raises PluginError for a plugin that is broken.
        """
        made = Host(self.files, self.without)
        for name, plugin in self.manager.list_name_plugin():
            made.manager.register(plugin, name=name)
        made.statuses, made._origins = list(self.statuses), dict(self._origins)
        made._entries = {kind: dict(entries) for kind, entries in self._entries.items()}
        made._add_asked_for(found)
        if error := made.statuses[-1].error:
            raise PluginError(f"plugin {found.name!r} is broken: {error}")
        return made

    def _add_asked_for(self, found: Found) -> None:
        if found.name not in {*BUILT_IN, PROJECT}:
            self._forget(found.name)
            self._origins.pop(found.name, None)
            self.statuses = [status for status in self.statuses if status.name != found.name]
        self.add(found)

    def skip(self, found: Found, why: str) -> None:
        """Notes a plugin that was left out before anything of it was loaded."""
        self.statuses.append(found.status(skipped=why))


_host: Host | None = None
_for_a_while: list[Found] = []  # plugins that every host has besides, see `with_plugin`


def host(files: Iterable[Path] = (), without: Iterable[str] = ()) -> Host:
    """The host of this process, made at the first call: the built-in plugins, installed ones, then `files`.

    files: single Python files to load as plugins. without: names of plugins to leave out, or of the distribution or
    the file of one, where several share a name; they and the allow list in the environment variable
    `DIFFUSION_TRICKS_PLUGINS` are read before anything is loaded. The built-in plugins are always there. Later calls
    with arguments make a new host, which takes the place of the old one.
    A file outranks an installed plugin of its name. Raises UnknownName for a name in `without` that no plugin has, and
    UsageError for a file that cannot be one.
    """
    global _host
    files, without = list(files), set(without)
    if _host is None or files or without:
        _host = _made(files, without)
    return _host


@contextlib.contextmanager
def with_plugin(found: Found) -> Iterator[Host]:
    """The host with one plugin more, in this process and in hosts made anew within; all is as it was behind it.

    Raises PluginError for a plugin that is broken.
    """
    global _host
    before = host()
    _host = before.but(found)
    _for_a_while.append(found)
    try:
        yield _host
    finally:
        _for_a_while.remove(found)
        _host = before


@contextlib.contextmanager
def made_anew() -> Iterator[None]:
    """No host at first, as in a new process; what was there, and the modules of its files, is back behind it."""
    global _host
    before, _host = _host, None
    try:
        with forgotten():
            yield
    finally:
        _host = before


def _made(files: list[Path], without: set[str]) -> Host:
    installed = [_installed(point) for point in sorted(entry_points(group=PROJECT), key=lambda point: point.name)]
    given = [Found(f.stem, f.name, partial(from_file, f), file=f) for f in files]
    names = {name for found in (*installed, *given) for name in (found.name, found.origin)}
    if unknown := without - names:
        raise UnknownName("plugin", min(unknown), names)
    for file in files:
        check_file(file)
    made = Host(files, without)
    made.add_core()
    for name in BUILT_IN:
        load = partial(importlib.import_module, name)
        made.add(Found(name, "built in", load, _version(OWN), OWN))
    outranked = {found.name: found.origin for found in given}
    for found in installed:
        why = _left_out(found, without)
        if why is None and found.name in outranked:
            why = f"{outranked[found.name]} takes its place"
        if why:
            made.skip(found, why)
        else:
            made.add(found)
    for found in given:
        if without.intersection((found.name, found.origin)):
            made.skip(found, LEFT_OUT)
        else:
            made.add(found)
    for found in _for_a_while:
        made._add_asked_for(found)
    return made


def _installed(point: EntryPoint) -> Found:
    if point.dist is None:
        return Found(point.name, point.value, point.load)
    return Found(point.name, point.dist.name, point.load, point.dist.version, point.dist.name)


def _left_out(found: Found, without: set[str]) -> str | None:
    if without.intersection((found.name, found.origin)):
        return LEFT_OUT
    allowed = os.environ.get(ALLOWED)
    if allowed is not None and found.name not in {part.strip() for part in allowed.split(",")}:
        return f"not in {ALLOWED}"
    return None


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


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
    return {
        s.origin if s.distribution is None else s.distribution: s.version
        for s in host().statuses
        if s.works and s.version
    }
