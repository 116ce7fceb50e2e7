"""Every failure a user may meet, as one small tree.

    DiffusionTricksError          exit code 1: the picture could not be made
    |-- OutOfMemory               1: the device's memory is full
    |-- OutputFailed              1: the picture could not be written (disk full, ...)
    |-- NotANumber                1: a training came apart
    |-- UsageError                2: what was asked for cannot be done as asked
    |   |-- UnknownName           2: no trick, view, scheduler or model of that name
    |   |-- PictureError          2: an input picture cannot be used
    |   |-- OutputError           2: the output may not be written there
    |   `-- RecipeError           2: a recipe is not valid
    |-- ModelError                3: a model cannot be loaded or run
    `-- PluginError               3: a plugin is broken, or failed in a run

A message says what was expected, what came, and what to do. No torch here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

E = TypeVar("E", bound=Exception)


class DiffusionTricksError(Exception):
    """The root of the project's errors; `exit_code` is what the command line ends with.

    about: `path` and `seed` of the picture that failed, where they are known.
    """

    exit_code = 1
    about: Mapping[str, object] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Past `__init__`, whose arguments are not the message everywhere: so errors cross from process to process."""
        return _made_again, (type(self), self.args, vars(self).copy())


def _made_again(kind: type[E], arguments: tuple[object, ...], known: dict[str, object]) -> E:
    error = kind.__new__(kind, *arguments)
    vars(error).update(known)
    return error


class OutOfMemory(DiffusionTricksError):
    """The device has too little memory for what was asked."""


class OutputFailed(DiffusionTricksError):
    """A picture could not be written, for a reason outside the request (a full disk)."""


class NotANumber(DiffusionTricksError):
    """A training has come apart: its loss or its weights are no numbers."""


class UsageError(DiffusionTricksError):
    """The request itself cannot be met as it stands."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not registered; the message offers the nearest one that is."""

    def __init__(self, kind: str, name: object, known: Iterable[str]):
        known = sorted(known)
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known) or 'none'}"
        if kind == "trick" and not near:
            advice += "; one from a file is known once that is loaded, by `files`"
        if kind == "upscaler":
            advice += " (or a directory, or owner/name at the hub)"
        super().__init__(f"unknown {kind} {name!r}; {advice}")


class PictureError(UsageError):
    """An input picture that is missing, damaged, too large or of a kind that is not read."""


class OutputError(UsageError):
    """An output path that may not or cannot be written."""


class RecipeError(UsageError):
    """A recipe with an unknown key, a wrong type, a newer version or a path that leaves its folder."""


class ModelError(DiffusionTricksError):
    """A model that cannot be loaded or run here."""

    exit_code = 3


class PluginError(DiffusionTricksError):
    """A plugin that cannot be loaded, clashes with another, or failed in a run."""

    exit_code = 3
