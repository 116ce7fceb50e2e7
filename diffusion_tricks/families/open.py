"""Families opened: the class that a row names, on a pipeline."""

from __future__ import annotations

from diffusion_tricks.errors import PluginError
from diffusion_tricks.families.base import Family, parts_of
from diffusion_tricks.families.lookup import described
from diffusion_tricks.families.table import FamilyRow
from diffusion_tricks.hosting.registration import found_at
from diffusion_tricks.types import Pipeline


def family_of(pipe: Pipeline) -> Family:
    """The family that serves a pipeline. Raises ModelError for one that none serves."""
    return opened(described(type(pipe).__name__, parts_of(pipe), type(pipe)))(pipe)


def opened(row: FamilyRow) -> type[Family]:
    """The class that a row names. Raises PluginError for one that is not there."""
    try:
        family: type[Family] = found_at(row.serves.opens)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"family {row.title!r} cannot be loaded from {row.serves.opens!r}: {error}") from error
    return family
