"""The version of what plugins lean on: the hooks, what they are given, and the names of the authors' door. No torch.

A plugin may say which it was written for, in its module: `DIFFUSION_TRICKS_API = "1.0"`. The first number changes where
a plugin must be changed, the second where something is new. What goes is told of for one minor version before:
`deprecated` marks a hook so, and `docs/hooks.md` lists every change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.host_hooks import hookspec

API_VERSION = "1.0"
SAID = "DIFFUSION_TRICKS_API"  # the name that a plugin's module gives its own
F = TypeVar("F", bound=Callable[..., Any])


class Foreign(PluginError):
    """A plugin was written for another version of the hooks."""


class HookDeprecation(FutureWarning):
    """A hook that a plugin fills goes with the next minor version of the hooks."""


def check_api(plugin: Any) -> None:
    """Raises Foreign for a plugin that says it was written for hooks that are not these."""
    said = getattr(plugin, SAID, None)
    if said is None:
        return
    if not isinstance(said, str) or not re.fullmatch(r"\d+\.\d+", said):
        raise Foreign(f"{SAID} must be a text such as {API_VERSION!r}, got {said!r}")
    wanted, here = _numbers(said), _numbers(API_VERSION)
    if wanted[0] == here[0] and wanted[1] <= here[1]:
        return
    advice = "update diffusion-tricks" if wanted > here else "it must be brought up to date, see docs/hooks.md"
    raise Foreign(f"it was written for version {said} of the plugin API, and this is {API_VERSION}; {advice}")


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def deprecated(name: str, since: str, instead: str) -> Callable[[F], F]:
    """A hook that still works, with a warning for each plugin that fills it: from version `since` of the API on.

    name: of the hook. instead: what to fill in its place.
    """
    major, minor = _numbers(since)
    said = f"the hook {name} goes with version {major}.{minor + 1} of the plugin API; fill {instead}"
    return hookspec(warn_on_impl=HookDeprecation(said))
