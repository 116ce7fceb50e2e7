"""What a model's files say it is, without its weights: its pipeline, the configuration of each component, a family."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion_tricks.errors import ModelError
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.loading.files import INDEX_FILE

if TYPE_CHECKING:
    from diffusion_tricks.types import Parts

CONFIGS = ("config.json", "scheduler_config.json")  # of a network, of a scheduler


def described_in(folder: Path) -> tuple[str, Parts]:
    """The class name of a pipeline in a directory, and the configuration of each component, as `parts_of` gives it."""
    index = config_in(folder / INDEX_FILE) or {}
    files = [folder / name / file for name in index for file in CONFIGS]
    said = {file: config for file in files[::-1] if (config := config_in(file))}
    found = {file.parent.name: _Config(file, config) for file, config in said.items()}
    return str(index.get("_class_name")), _Configs(folder / INDEX_FILE, found | {"model_index": index})


class _Configs(dict[str, Any]):
    """The configurations of components by name; one that is missed is a ModelError."""

    def __init__(self, file: Path, found: Mapping[str, Any]):
        super().__init__(found)
        self.file = file

    def __missing__(self, name: str) -> Any:
        pipeline = self["model_index"].get("_class_name")
        raise ModelError(f"{self.file} names no {name}, which a {pipeline} has; fetch it anew")


class _Config(dict[str, Any]):
    """What a component's file says; what it leaves out is as its class has it, which is looked up when it is needed."""

    def __init__(self, file: Path, said: Mapping[str, Any]):
        super().__init__(said)
        self.file = file

    def __missing__(self, key: str) -> Any:
        import diffusers

        kind = getattr(diffusers, str(self.get("_class_name")), None)
        parameter = inspect.signature(kind).parameters.get(key) if kind else None
        if parameter is None or parameter.default is parameter.empty:
            raise ModelError(
                f"{self.file} does not say its {key}, and neither does the class that it names; fetch it anew"
            )
        return parameter.default


def config_in(file: Path) -> dict[str, Any] | None:
    """What a file of settings says, None where there is none. Raises ModelError for one that is not valid."""
    return read_object(file, ModelError, libraries=True) if file.is_file() else None


def check_served(folder: Path) -> None:
    """Raises ModelError for a directory of a model that no family serves, judged by its settings alone."""
    from diffusion_tricks.families.lookup import described

    pipeline, parts = described_in(folder)
    described(pipeline, parts).serves.shape(parts)


def dtype_in(folder: Path) -> str:
    """The precision that the family of the model in a directory runs in on an accelerator: float16 or bfloat16."""
    from diffusion_tricks.families.table import row_for

    row = row_for(*described_in(folder))
    return row.dtype if row else "float16"
