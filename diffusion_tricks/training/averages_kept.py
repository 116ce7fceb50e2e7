"""Averages of a run that are kept now and then, and the model of any length that is made of them afterwards.

    python -m diffusion_tricks.training.averages_kept TRAINING MODEL --length 0.07

TRAINING is the directory of a training with --profiles and --averages; MODEL is one that any command takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import DiffusionTricksError, UsageError
from diffusion_tricks.training import folder
from diffusion_tricks.training.averages import PowerAverages, mixed, mixture, put


@dataclass(frozen=True)
class Kept:
    """One average as it was kept: when, in updates, its length, and its tensors in the order of the parameters."""

    updates: int
    length: float
    tensors: list[Tensor]


def averages_kept(home: Path) -> list[Path]:
    """The files of a training, the oldest first."""
    return sorted((home / folder.AVERAGES).glob("seen-*.safetensors"))


def keep(home: Path, seen: int, average: PowerAverages) -> Path:
    """Writes the averages as they are after so many pictures, in float16."""
    (home / folder.AVERAGES).mkdir(exist_ok=True)
    file = home / folder.AVERAGES / f"seen-{seen:010}.safetensors"
    tensors = {
        f"{length:g}/{place}": one.to("cpu", torch.float16).contiguous()
        for length, held in zip(average.lengths, average.held, strict=True)
        for place, one in enumerate(held)
    }
    partial = file.with_suffix(".partial")
    save_file(tensors, partial, {"updates": str(average.steps // average.every)})
    partial.replace(file)
    return file


def read(file: Path) -> list[Kept]:
    """What `keep` wrote."""
    with safe_open(file, "pt") as held:
        updates, names = int(held.metadata()["updates"]), list(held.keys())
        lengths = sorted({name.split("/")[0] for name in names})
        count = len(names) // len(lengths)
        return [
            Kept(updates, float(length), [held.get_tensor(f"{length}/{place}") for place in range(count)])
            for length in lengths
        ]


def average(home: Path, length: float, seen: int | None = None) -> list[Tensor]:
    """The weights averaged over that share of the run, at its last kept averages or the last before `seen` pictures.

    Raises UsageError where none are kept.
    """
    files = [file for file in averages_kept(home) if seen is None or int(file.stem.split("-")[1]) <= seen]
    if not files:
        raise UsageError(f"{home} keeps no averages up to there; a training needs `profiles` and `averages` for it")
    kept = [one for file in files for one in read(file)]
    weights = mixture([k.updates for k in kept], [k.length for k in kept], kept[-1].updates, length)
    return mixed([k.tensors for k in kept], weights.tolist())


def write_model(home: Path, model: Path, weights: Sequence[Tensor]) -> None:
    """The training's model with other weights, into a new directory. Raises OutputFailed, UsageError."""
    from diffusion_tricks.training.task import opened_pipeline
    from diffusion_tricks.training.text import Reader

    pipe: Any = opened_pipeline(str(home))
    parameters: list[nn.Parameter] = list(Reader(pipe.unet, pipe.text_encoder).parameters())
    if [w.shape for w in weights] != [p.shape for p in parameters]:
        raise UsageError(f"the averages in {home / folder.AVERAGES} are not of the model that is there")
    put(weights, parameters)
    model.mkdir(parents=True, exist_ok=True)
    folder.save_pipeline(model, pipe.to(torch.float16), json.loads((home / "diffusion_tricks.json").read_text()))


def main(argv: list[str] | None = None) -> int:
    """Makes the model that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path)
    parser.add_argument("model", type=Path, help="the directory to write")
    parser.add_argument("--length", type=float, default=0.05, help="of the average as a share of the run, below 0.28")
    parser.add_argument("--seen", type=int, help="as after so many pictures; unless given, the last kept")
    given = parser.parse_args(argv)
    try:
        with quiet_libraries():
            write_model(given.training, given.model, average(given.training, given.length, given.seen))
    except DiffusionTricksError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(given.model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
