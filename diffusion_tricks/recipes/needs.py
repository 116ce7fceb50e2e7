"""What a picture needs beside diffusion-tricks itself: the plugins from outside that brought what was used. No torch.

A record lists under `needs` each trick, view, scheduler, model, form of masks and scorer that was used and is not built
in, with the distribution and its version, or the file and its SHA-256.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from diffusion_tricks.errors import PluginError, RecipeError
from diffusion_tricks.hosting.host import OWN, Host, host
from diffusion_tricks.hosting.registration import PluginStatus
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.registry.branch import options_in_full
from diffusion_tricks.registry.checked import explain
from diffusion_tricks.registry.entry import TrickEntry

DIGITS = 12  # of a hash, in messages
FORM = re.compile(r"(?<![\w./\\])(\w{2,}):")  # a form of masks, before what it is given
SCORED = ("clip", "scorer")  # options that name a scorer


class Need(BaseModel):
    """One thing that was used, and the plugin that brought it.

    kind, name: as it was registered. origin: the distribution or the file. version: of a distribution. sha256: of a
    file.
    """

    kind: str
    name: str
    plugin: str
    origin: str
    version: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        known = f" {self.version}" if self.version else ""
        return f"{self.origin}{known}"


def needs_of(recipe: Recipe) -> list[dict[str, str]]:
    """What of a recipe's names comes from outside, as plain data for its record."""
    here = host()
    by_name = {status.name: status for status in here.statuses if status.works}
    found = [
        Need(
            kind=kind, name=name, plugin=status.name, origin=status.origin, version=status.version,
            sha256=status.sha256,
        ).model_dump(exclude_none=True)
        for kind, name in dict.fromkeys(_used(recipe))
        if (entry := here.entries(kind).get(name)) is not None
        and (status := by_name.get(entry.plugin)) is not None
        and status.distribution != OWN
    ]  # fmt: skip
    return found


def needs_in(record: Mapping[str, Any]) -> list[Need]:
    """What a record says is needed. Raises RecipeError where that is damaged."""
    try:
        return TypeAdapter(list[Need]).validate_python(record.get("needs") or [])
    except ValidationError as error:
        raise RecipeError(f"the diffusion-tricks record is damaged: needs: {explain(error)}") from None


def check_needs(needs: Iterable[Need], picture: object) -> list[str]:
    """What is other than it was when a picture was made, a sentence each.

    needs: of its record. Raises PluginError for what is not there or is broken.
    """
    return [note for need in needs for note in _checked(need, host(), picture)]


def _checked(need: Need, here: Host, picture: object) -> Iterator[str]:
    status = next((s for s in here.statuses if need.plugin == s.name and s.works), None)
    entry = here.entries(need.kind).get(need.name)
    if status is None or entry is None:
        raise PluginError(f"{picture} needs {need}, {_lacking(need, here.statuses, entry is not None)}")
    if entry.plugin != need.plugin:
        yield f"{picture} was made with the {need.kind} {need.name!r} of {need}, and here it is of {entry.plugin!r}"
    elif need.version != status.version:
        yield f"{picture} was made with {need}, and {status.version or 'another'} is installed; pixels may differ"
    elif need.sha256 != status.sha256:
        was, now = ((one or "")[:DIGITS] for one in (need.sha256, status.sha256))
        yield f"{picture} was made with another {need}, of SHA-256 {was}..., not {now}...; pixels may differ"


def _lacking(need: Need, statuses: Iterable[PluginStatus], named: bool) -> str:
    """Why what is needed is not there."""
    status = next((s for s in statuses if need.plugin == s.name and not s.works), None)
    if status is not None and status.error:
        return f"which is broken: {status.error}"
    if status is not None:
        return f"which is here but {status.skipped}"
    if any(s.works and s.name == need.plugin for s in statuses) and not named:
        return f"and the one that is installed has no {need.kind} {need.name!r}"
    return "which is not loaded; give the file with `files`" if need.sha256 else "which is not installed"


def _used(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The kind and the name of all that a recipe uses by a name."""
    yield "model", recipe.model.partition("@")[0]
    yield from (("scheduler", name) for name in (recipe.scheduler, recipe.upscale_scheduler) if name)
    for entry in recipe.tricks:
        yield from _of_entry(entry)


def _of_entry(entry: TrickEntry) -> Iterator[tuple[str, str]]:
    yield "trick", entry.trick
    for key, value in options_in_full(entry).items():
        yield from _of_views(value) if "view" in key else _of_value(value)
        yield from _said(key, value)


def _said(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """The forms of masks and the scorer that an option names."""
    for one in value if isinstance(value, list | tuple) else [value]:
        if "mask" in key and isinstance(one, str):
            yield from (("mask", form) for form in FORM.findall(one))
        if key in SCORED and isinstance(one, str):
            yield "scorer", one


def _of_views(value: Any) -> Iterator[tuple[str, str]]:
    """What is named in an option that says views, each alone or before what it shows."""
    for one in value if isinstance(value, list | tuple) else [value]:
        view, *shown = one if isinstance(one, list | tuple) else [one]
        yield from (("view", part.partition(":")[0].strip()) for part in str(view).split("|"))
        yield from _of_value(shown)


def _of_value(value: Any) -> Iterator[tuple[str, str]]:
    """The tricks within the value of an option."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, dict) and "trick" in value:
        yield from _of_entry(TrickEntry.model_validate(value))
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _of_value(one)
