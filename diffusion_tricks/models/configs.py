"""What a model's files say it is, without its weights: its pipeline, the configuration of each component, a family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import ModelError
from diffusion_tricks.models.files import INDEX_FILE

if TYPE_CHECKING:
    from diffusion_tricks.families.table import Parts

CONFIGS = ("config.json", "scheduler_config.json")  # of a network, of a scheduler


def described_in(folder: Path) -> tuple[str, Parts]:
    """The class name of a pipeline in a directory, and the configuration of each component, as `parts_of` gives it."""
    index = config_in(folder / INDEX_FILE) or {}
    found = {name: next(filter(None, (config_in(folder / name / file) for file in CONFIGS)), None) for name in index}
    parts = {name: config for name, config in found.items() if config is not None}
    return str(index.get("_class_name")), parts | {"model_index": index}


def config_in(file: Path) -> dict[str, Any] | None:
    """What a file of settings says, None where there is none. Raises ModelError for one that is not valid."""
    if not file.is_file():
        return None
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return config
    except json.JSONDecodeError as error:
        raise ModelError(f"{file} is not valid JSON: {error}") from None


def dtype_in(folder: Path) -> str:
    """The precision that the family of the model in a directory runs in on an accelerator: float16 or bfloat16."""
    from diffusion_tricks.families.table import row_for

    row = row_for(*described_in(folder))
    return row.dtype if row else "float16"


__all__ = ["config_in", "described_in", "dtype_in"]
