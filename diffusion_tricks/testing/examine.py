"""What is wrong with a plugin, found without using it in earnest: `diffusion-tricks plugins --check`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from diffusion_tricks.errors import DiffusionTricksError, PluginError, UnknownName
from diffusion_tricks.hosting.host import OWN, host, unspecified
from diffusion_tricks.hosting.host_hooks import PROJECT, HostHooks
from diffusion_tricks.hosting.interrupts import is_interrupt
from diffusion_tricks.hosting.registration import KINDS, Entry, PluginStatus
from diffusion_tricks.registry.checked import explain
from diffusion_tricks.sampling.run_hooks import RunHooks
from diffusion_tricks.testing.slow_imports import slowest_import
from diffusion_tricks.testing.stand_ins import NoValue, values_for

if TYPE_CHECKING:
    from diffusion_tricks.registry.options import TrickOptions
    from diffusion_tricks.registry.trick import Trick

NAME = re.compile(r"[^\W_][\w.-]*")  # that a chain of tricks, a recipe and a view with parameters all can hold


@dataclass
class Findings:
    """What is wrong with a plugin, and what could not be tried, each a sentence."""

    faults: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)


def examine(status: PluginStatus) -> Findings:
    """All that can be found wrong with a plugin of the host: its hooks, what it registers, what it requires.

    Every trick and view is made, with values that fit where it must be told some, and put through `check_trick` or
    `check_view` on a tiny model; those that are built in are but loaded, as their own tests do the rest.
    """
    found = Findings()
    if status.skipped:
        return found
    found.faults += [*misfits_of(status)]
    if status.error:
        return found
    plugin = host().manager.get_plugin(status.name)
    found.faults += _misspelt(plugin, hooks_in(HostHooks), "")
    if status.distribution != OWN and (slow := slowest_import(plugin, status.file)):
        found.faults.append(
            f"it takes {slow.seconds:.1f} s to import {slow.module}, for which every help waits; import it where it"
            " is used"
        )
    for kind in KINDS:
        for entry in host().entries(kind).values():
            if entry.plugin == status.name:
                _examine_entry(entry, found, tried=status.distribution != OWN)
    return found


def misfits_of(status: PluginStatus) -> Iterator[str]:
    """What the plugin's distribution requires and is not installed, or is of another version."""
    if status.distribution in (None, OWN):
        return
    try:
        needed = [Requirement(text) for text in requires(str(status.distribution)) or ()]
    except (PackageNotFoundError, InvalidRequirement) as error:
        yield f"what {status.distribution} requires cannot be read: {error}"
        return
    for need in needed:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            here = version(need.name)
        except PackageNotFoundError:
            yield f"{status.distribution} requires {need}, which is not installed"
            continue
        if not need.specifier.contains(here, prereleases=True):
            yield f"{status.distribution} requires {need}, and {need.name} {here} is installed"
    if OWN not in {need.name.lower().replace("_", "-") for need in needed}:
        yield f"{status.distribution} does not require {OWN}; add it to its dependencies"


def hooks_in(specification: type) -> dict[str, list[str]]:
    """The hooks of a specification, each with the names of what it is given."""
    functions = inspect.getmembers(specification, inspect.isfunction)
    return {name: list(inspect.signature(function).parameters)[1:] for name, function in functions}


def _misspelt(plugin: Any, known: dict[str, list[str]], called: str) -> list[str]:
    return [f"{called}{UnknownName('hook', name, known)}" for name in unspecified(plugin, list(known))]


def _examine_entry(entry: Entry, found: Findings, tried: bool) -> None:
    called = f"{entry.kind} {entry.name!r}"
    if entry.kind not in ("family", "model") and not NAME.fullmatch(entry.name):
        found.faults.append(f"{called}: expected a name of letters, digits, - and _")
    if entry.kind == "model" and not entry.by_code:
        return
    try:
        loaded = _quiet(lambda: _loaded(entry))
    except BaseException as error:
        if is_interrupt(error):
            raise
        found.faults.append(str(error) if isinstance(error, DiffusionTricksError) else f"{called}: {_said(error)}")
        return
    if entry.kind == "trick":
        found.faults += [f"{called}: {fault}" for fault in _statically(loaded)]
    if tried and entry.kind in TRIED and not any(fault.startswith(called) for fault in found.faults):
        _try(entry, loaded, called, found)


def _loaded(entry: Entry) -> Any:
    """What stands behind an entry: of a scheduler the class of diffusers, of a scorer a directory, as it may be."""
    if entry.kind == "scheduler":
        from diffusion_tricks.diffusion.schedulers import class_at

        return class_at(entry.target)
    return entry.target if entry.kind == "scorer" and not entry.by_code else entry.load()


def _statically(trick: type[Trick[Any]]) -> Iterator[str]:
    """What the code of a trick's class alone shows: its hooks and the defaults of its options."""
    known = hooks_in(RunHooks)
    yield from _misspelt(trick, known, "")
    for name, given in known.items():
        function = inspect.getattr_static(trick, name, None)
        if not inspect.isfunction(function):
            continue
        if getattr(function, f"{PROJECT}_impl", None) is None:
            yield f"{name} is no hook without @hookimpl"
        elif strange := [p for p in _taken(function) if p not in given]:
            yield f"{name} takes {', '.join(strange)}, which it is not given; expected {name}({', '.join(given)})"
    yield from _defaults(trick.Options)


def _taken(function: Callable[..., Any]) -> list[str]:
    return [
        name for name, p in inspect.signature(function).parameters.items() if name != "self" and p.default is p.empty
    ]


def _defaults(options: type[TrickOptions]) -> Iterator[str]:
    """Defaults that the options themselves would refuse."""
    said = {name: f.get_default(call_default_factory=True) for name, f in options.model_fields.items()}
    given = {name: value for name, value in said.items() if value is not PydanticUndefined}
    lacking = {name for name, f in options.model_fields.items() if f.is_required()}
    try:
        options.model_validate(given)
    except ValidationError as error:
        wrong = [row for row in error.errors() if row["type"] != "missing" and row["loc"]]
        if any(row["loc"][0] not in lacking for row in wrong):
            yield f"its defaults do not fit its own options: {explain(error)}"


def _try(entry: Entry, loaded: Any, called: str, found: Findings) -> None:
    """Makes a trick or a view, and puts it through its check."""
    try:
        _quiet(lambda: TRIED[entry.kind](loaded))
    except NoValue as error:
        found.untried.append(f"{called} is not tried: {error}")
    except (AssertionError, PluginError) as error:
        found.faults.append(f"{called}: {error}")
    except DiffusionTricksError as error:
        found.untried.append(f"{called} is not tried on the tiny model: {error}")
    except BaseException as error:
        if is_interrupt(error):
            raise
        found.faults.append(f"{called}: {_said(error)}")


def _try_trick(kind: type[Trick[Any]]) -> None:
    from diffusion_tricks.testing.checks import check_trick

    with values_for(kind.Options) as values:
        check_trick(kind(**values))


def _try_view(kind: Any) -> None:
    from diffusion_tricks.testing.checks import check_view

    with values_for(kind) as values:
        check_view(kind(**values))


TRIED: dict[str, Callable[[Any], None]] = {"trick": _try_trick, "view": _try_view}


def _quiet(call: Callable[[], Any]) -> Any:
    """What a call gives; what a plugin prints in it goes to stderr."""
    with redirect_stdout(sys.stderr):
        return call()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
