"""All harnesses."""

from __future__ import annotations

from faults.batch import BATCH
from faults.data import RECIPES, RECORDS
from faults.harness import Harness
from faults.many import MANY
from faults.models import MODELS
from faults.names import NAMES
from faults.pictures import PICTURES
from faults.plugins import BAD_PLUGINS
from faults.streams import STREAMS
from faults.trainings import FOLDERS, KILLED_TRAININGS
from faults.writes import FULL, KILLS

HARNESSES: tuple[Harness, ...] = (
    KILLS, FULL, PICTURES, RECIPES, RECORDS, MODELS, NAMES, STREAMS, BAD_PLUGINS, KILLED_TRAININGS, FOLDERS,
    MANY, BATCH,
)  # fmt: skip

__all__ = ["HARNESSES", "Harness"]
