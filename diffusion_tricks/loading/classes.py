"""The classes that a pipeline's directory is made of, imported by name: these modules of the libraries, no others."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

from diffusion_tricks.lazy import importing
from diffusion_tricks.loading.checks import LIBRARIES, read_index
from diffusion_tricks.loading.files import components_of


def import_classes(folder: Path) -> None:
    """Imports the pipeline's class and those of its components, which loading it would do one by one.

    One that there is not is left to the loading, which says so. Raises ModelError for what is no pipeline's directory.
    """
    index = read_index(folder)
    named = [("diffusers", str(index["_class_name"])), *components_of(index).values()]
    with importing():
        for library, name in named:
            if library in LIBRARIES:
                with contextlib.suppress(AttributeError, ImportError, RuntimeError):
                    getattr(importlib.import_module(library), name)
