"""Averages of a run that are kept now and then, and the model of any length that is made of them afterwards.

    python -m diffusion_tricks.training.averages_kept TRAINING --length 0.07 -o MODEL
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from diffusion_tricks.training.averages import PowerAverages

ROOM = "averages"


def averages_kept(home: Path) -> list[Path]:
    """The files of a training, the oldest first."""
    return sorted((home / ROOM).glob("seen-*.safetensors"))


def keep(home: Path, seen: int, average: PowerAverages) -> Path:
    """Writes the averages as they are after so many pictures, in float16."""
    (home / ROOM).mkdir(exist_ok=True)
    file = home / ROOM / f"seen-{seen:010}.safetensors"
    tensors = {
        f"{length:g}/{place}": one.to("cpu", torch.float16).contiguous()
        for length, held in zip(average.lengths, average.held, strict=True)
        for place, one in enumerate(held)
    }
    partial = file.with_suffix(".partial")
    save_file(tensors, partial, {"updates": str(average.steps // average.every)})
    partial.replace(file)
    return file
