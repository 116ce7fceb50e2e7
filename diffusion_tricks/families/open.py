"""Families opened: the class that a row names, on a pipeline."""

from __future__ import annotations

import importlib

from diffusion_tricks.families.base import Family, parts_of
from diffusion_tricks.families.lookup import described
from diffusion_tricks.families.table import FamilyRow
from diffusion_tricks.types import Pipeline


def family_of(pipe: Pipeline) -> Family:
    """The family that serves a pipeline. Raises ModelError for one that none serves."""
    return opened(described(type(pipe).__name__, parts_of(pipe), type(pipe)))(pipe)


def opened(row: FamilyRow) -> type[Family]:
    """The class that a row names."""
    module, _, name = row.serves.opens.partition(":")
    family: type[Family] = getattr(importlib.import_module(module), name)
    return family
