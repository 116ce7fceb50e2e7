"""Scorers by name. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.host import host
from diffusion_tricks.hosting.host_hooks import hookimpl

if TYPE_CHECKING:
    from diffusion_tricks.generate.score import Scorer

EMBEDDED = "embedded"


@hookimpl
def register_scorers(register: Callable[..., None]) -> None:
    """The one inside."""
    register(EMBEDDED, f"{__name__}:embedded", summary="a small CLIP, which knows emoji")


def embedded(device: str) -> Scorer:
    """The scorer inside the package."""
    from diffusion_tricks.generate.score import Scorer

    return Scorer(None, device)


def scorer_named(name: str | None = None, device: str = "cpu") -> Scorer:
    """The scorer of that name: a registered one, or the directory or hub name of a CLIP model; None is the one inside.

    Raises ModelError for what is no CLIP model, and PluginError for a scorer that is none.
    """
    from diffusion_tricks.generate.score import Scorer

    entry = host().entries("scorer").get(name or EMBEDDED)
    if entry is None or not entry.by_code:
        return Scorer(entry.target if entry else name, device)
    made = entry.load()(device)
    if not isinstance(made, Scorer):
        raise PluginError(f"scorer {entry.name!r} of plugin {entry.plugin!r}: expected a Scorer, got {made!r}")
    return made
