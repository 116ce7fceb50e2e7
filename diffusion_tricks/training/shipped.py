"""A trained model as it ships: in float16, with the losses of its training, and no word of where that was.

    python -m diffusion_tricks.training.shipped TRAINING MODEL
    python -m diffusion_tricks.training.shipped TRAINING MODEL --sheet epoch-0005

TRAINING is the directory of a training, MODEL the one to write; --sheet takes the model that --keep-models kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.families.defaults import DEFAULTS_FILE
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.training import folder
from diffusion_tricks.training.task import opened_pipeline

LOG = "training.log"


def ship(training: Path, model: Path, sheet: str | None = None) -> None:
    """Writes the model of a training, or the one kept with a sheet. Raises UsageError, ModelError, OutputFailed."""
    place = training / folder.MODELS / sheet if sheet is not None else training
    if not (place / DEFAULTS_FILE).is_file():
        raise UsageError(f"{place} holds no trained model; name the directory of a training, and a sheet that was kept")
    pipe: Any = opened_pipeline(str(place)).to(torch.float16)
    model.mkdir(parents=True, exist_ok=True)
    folder.save_pipeline(model, pipe, read_object(place / DEFAULTS_FILE, UsageError))
    for file in model.rglob("*.json"):
        forget_where(file)
    if sheet is None:
        lines = [_line(row) for row in folder.metrics(training)]
        (model / LOG).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def forget_where(file: Path) -> None:
    """Takes the path out that diffusers notes of where a model was loaded from."""
    said = read_object(file, UsageError, libraries=True)
    if said.pop("_name_or_path", None) is not None:
        file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    held = f"  held out {row['held_out']:.4f}" if row.get("held_out") is not None else ""
    return f"step {row['step']}  epoch {row['epoch']:.2f}  loss {row['loss']:.4f}{held}"


def main(argv: list[str] | None = None) -> int:
    """Writes the model that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path)
    parser.add_argument("model", type=Path, help="the directory to write")
    parser.add_argument("--sheet", help="the model as it was at a sheet, as in epoch-0005")
    given = parser.parse_args(argv)
    try:
        with quiet_libraries():
            ship(given.training, given.model, given.sheet)
    except DiffusionTricksError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(given.model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
