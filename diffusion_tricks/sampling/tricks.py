"""The tricks of one run, nested: the manager that calls them in order, and who may not stand beside whom. No torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from diffusion_tricks.errors import PluginError, UnknownName, UsageError
from diffusion_tricks.hosting.host import unspecified
from diffusion_tricks.hosting.host_hooks import PROJECT
from diffusion_tricks.registry.branch import refuse_two_claims
from diffusion_tricks.registry.calls import calls
from diffusion_tricks.sampling.run_hooks import RunHooks

if TYPE_CHECKING:
    from diffusion_tricks.registry.trick import Trick


def run_manager(tricks: Sequence[Trick[Any]]) -> pluggy.PluginManager:
    """A plugin manager with the tricks of one run, called in the order given.

    Raises UsageError for two tricks that fill the same exclusive place, naming both, and PluginError for a hook
    that does not exist.
    """
    refuse_clashes(tricks)
    tricks = [*tricks, *nested(tricks)]
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(RunHooks)
    names = _names(tricks)
    for trick, name in reversed(list(zip(tricks, names, strict=True))):  # pluggy calls the last registered first
        try:
            manager.register(trick, name=name)
        except pluggy.PluginValidationError as error:
            raise PluginError(f"trick {name!r}: {' '.join(str(error).split())}") from error
    known = [n for n, _ in inspect.getmembers(RunHooks, inspect.isfunction)]
    for trick, name in zip(tricks, names, strict=True):
        for hook in unspecified(trick, known):
            raise PluginError(f"trick {name!r}: {UnknownName('hook', hook, known)}")
    return manager


def nested(tricks: Iterable[Trick[Any]]) -> list[Trick[Any]]:
    """The tricks that stand in the place of prompts within others."""
    return [one for trick in tricks for one in trick.nested]


def _names(tricks: Sequence[Trick[Any]]) -> list[str]:
    """A name for each trick; repeated ones are numbered: overlay, overlay 2."""
    labels = [trick.label() for trick in tricks]
    return [f"{n} {labels[:i].count(n) + 1}" if labels[:i].count(n) else n for i, n in enumerate(labels)]


def refuse_clashes(tricks: Sequence[Trick[Any]]) -> None:
    """Raises UsageError when two tricks want the same exclusive place, or one trick stands in two places."""
    everyone = [*tricks, *nested(tricks)]
    if len(set(map(id, everyone))) < len(everyone):
        raise UsageError("the same trick object is given twice; make a new one for each place in the order")
    taken: dict[str, tuple[str, Trick[Any]]] = {}
    for name, trick in zip(_names(tricks), tricks, strict=True):
        if trick.place is None:
            continue
        if trick.place in taken:
            other, first = taken[trick.place]
            if trick.joins and type(first) is type(trick):
                continue
            raise UsageError(
                f"{other!r} and {name!r} both fill the place {trick.place!r} of a run, which holds one; "
                "leave one of them out"
            )
        taken[trick.place] = name, trick
    refuse_two_claims(tricks)


def order(tricks: Sequence[Trick[Any]]) -> list[str]:
    """The names of the tricks that shape the estimate, outermost first, as a run nests them."""
    within = set(map(id, nested(tricks)))
    shaping = calls(run_manager(tricks).hook.estimate_noise)
    return [call.name for call in shaping if id(call.implementation.plugin) not in within]
