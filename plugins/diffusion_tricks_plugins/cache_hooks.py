"""The hooks of a step cache of diffusers: put on a network and taken off again; what they keep can be exchanged.

No paper: this is plumbing around `diffusers.hooks`; what the caches compute is in `cache`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from diffusion_tricks.plugin import quiet_libraries

STATES = ("state_manager", "state")  # where diffusers' hooks keep what they keep


@dataclass
class Unit:
    """A block or an attention with a hook of diffusers.

    original: its `forward` without the hook. before: what stood in its place on the instance, None for nothing; then
    `hooked` did. had_hooks: of diffusers, other ones.
    """

    module: torch.nn.Module
    hook: Any
    name: str
    original: Any
    before: Any
    hooked: Any
    had_hooks: bool

    @property
    def place(self) -> str:
        """The name of what the hook keeps."""
        return next(name for name in STATES if hasattr(self.hook, name))

    def take_off(self) -> None:
        """The module as it was; where other hooks, as of offloading, have wrapped this one, it goes from these."""
        own = vars(self.module)
        if self.had_hooks:
            self.hook.fn_ref.original_forward = self.original
            _registry(self.module).remove_hook(self.name, recurse=False)
            if self.before is None and own.get("forward") == self.original:  # left there by the removal
                own.pop("forward")
            return
        own.pop("_diffusers_hook", None)
        if own.get("_old_forward") is self.hooked:
            own["_old_forward"] = self.before or self.original
        elif own.get("forward") is self.hooked:
            own.pop("forward")
            own.update({"forward": self.before} if self.before else {})


class CacheHooks:
    """A cache on a network; `apply` hangs it there, one of the functions of `diffusers.hooks`.

    parts: blocks or attentions that may be skipped. computed: how many of them were not, since it was last set to 0.
    """

    def __init__(self, network: torch.nn.Module, apply: Callable[[torch.nn.Module], None]):
        before = {module: (_registry(module), vars(module).get("forward")) for module in network.modules()}
        known = {module: set(registry.hooks) if registry else set() for module, (registry, _) in before.items()}
        with quiet_libraries():
            apply(network)
        self.units: list[Unit] = []
        for module, (registry, forward) in before.items():
            now = _registry(module)
            for name in [name for name in (now.hooks if now else ()) if name not in known[module]]:
                hook, hooked = now.hooks[name], vars(module)["forward"]
                original = hook.fn_ref.original_forward
                self.units.append(Unit(module, hook, name, original, forward, hooked, registry is not None))
        inside = [unit for unit in self.units if unit.module is not network]
        for unit in inside:
            unit.hook.fn_ref.original_forward = self._counted(unit.original)
        self.parts, self.computed = len(inside), 0
        self._pristine = [getattr(unit.hook, unit.place) for unit in self.units]

    def _counted(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            self.computed += 1
            return forward(*args, **named)

        return counted

    def fresh(self) -> list[Any]:
        """States in which nothing is kept yet, one for each hook: with them, all is computed."""
        states: list[Any] = copy.deepcopy(self._pristine)  # in one, as hooks may share them
        return states

    def use(self, states: list[Any]) -> None:
        """Lets the hooks keep what they keep in these from now on."""
        from diffusers.hooks.hooks import CacheContext

        for unit, state in zip(self.units, states, strict=True):
            setattr(unit.hook, unit.place, state)
            if hasattr(state, "set_context"):
                state.set_context(CacheContext("rows"))

    def take_off(self) -> None:
        """The network as it was."""
        for unit in reversed(self.units):
            unit.take_off()


def _registry(module: torch.nn.Module) -> Any:
    return getattr(module, "_diffusers_hook", None)


__all__ = ["CacheHooks"]
