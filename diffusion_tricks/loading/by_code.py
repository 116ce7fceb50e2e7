"""Models that the code of a plugin makes, by the name that they are registered under. No torch here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import PluginError
from diffusion_tricks.hosting.interrupts import is_interrupt
from diffusion_tricks.hosting.registration import Entry
from diffusion_tricks.loading.known import known_models

if TYPE_CHECKING:
    from diffusion_tricks.families.defaults import Defaults
    from diffusion_tricks.types import Size


def code_of(name: object) -> Entry | None:
    """The entry of a model that code makes; None for any other."""
    entry = known_models().get(name) if isinstance(name, str) else None
    return entry if entry is not None and entry.by_code else None


def made_by(entry: Entry) -> Any:
    """The pipeline that the code of an entry makes. Raises PluginError where it fails."""
    make = entry.load()
    try:
        return make()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise PluginError(f"{_named(entry)} cannot be made: {type(error).__name__}: {error}") from error


def defaults_by(entry: Entry | None, general: Defaults) -> Defaults:
    """How the model is run unless told otherwise, as its entry says. Raises PluginError for what cannot be."""
    said = entry.notes.get("defaults") if entry else None
    try:
        return replace(general, **(said or {}))
    except (ValueError, TypeError) as error:
        raise PluginError(f"{_named(entry)}: expected defaults such as steps and guidance: {error}") from None


def size_by(entry: Entry | None) -> Size | None:
    """(width, height) of the model's pictures, where its entry says it."""
    said = entry.notes.get("size") if entry else None
    return (said[0], said[1]) if said else None


def _named(entry: Entry | None) -> str:
    return f"model {entry.name!r} of plugin {entry.plugin!r}" if entry else "the model"
