"""Checkpoints: all that a training needs to go on exactly, each in one file that is written whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import torch

from diffusion_tricks.errors import OutputFailed, UsageError
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.io.foreign import read_object

ROOM = "checkpoints"
MODEL_STEP = "model.json"


def kept(folder: Path) -> list[Path]:
    """The checkpoints of a training, the oldest first."""
    return sorted((folder / ROOM).glob("step-*.pt"))


def write(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Writes the checkpoint of a step, then removes all but the last `keep`.

    Raises OutputFailed where the disk refuses it; older checkpoints are then left as they are.
    """
    file = folder / ROOM / f"step-{step:08}.pt"
    buffer = io.BytesIO()  # first in memory: torch's own writing hides why a disk refuses
    torch.save(state, buffer)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, buffer.getvalue(), force=True)
    except (OSError, OutputFailed) as error:
        last = kept(folder)[-1:]
        resume = f"go on from it with `resume={str(folder)!r}`"
        whole = f"the last whole checkpoint is {last[0].name}; {resume}" if last else ""
        raise OutputFailed(f"{error}; {whole}".rstrip("; ")) from error
    for old in kept(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return file


def set_aside_damaged(folder: Path) -> list[Path]:
    """Renames the last checkpoints as long as they are not what was written, and gives them; the last is then whole."""
    damaged = []
    for file in reversed(kept(folder)):
        if _is_whole(file):
            break
        damaged.append(file.rename(file.with_suffix(".damaged")))
    return damaged


def last(folder: Path) -> dict[str, Any]:
    """The state in the last checkpoint. Raises UsageError where there is none, or it is damaged."""
    files = kept(folder)
    if not files:
        raise UsageError(f"{folder} holds no checkpoint to go on from; expected the directory of a training")
    try:
        _check_sums(files[-1])
        state: dict[str, Any] = torch.load(files[-1], map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes zipfile and torch say
        raise UsageError(f"{files[-1]} is damaged; remove it to go on from the one before it") from error
    return state


def _is_whole(file: Path) -> bool:
    try:
        _check_sums(file)
    except (ValueError, OSError, zipfile.BadZipFile):
        return False
    return True


def _check_sums(file: Path) -> None:
    """Raises ValueError for a file of which a part has not the checksum that torch wrote, and itself does not read."""
    with zipfile.ZipFile(file) as parts:
        if (damaged := parts.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")


def note_model(folder: Path, step: int) -> None:
    """Notes the step of the model that is saved in the directory of a training."""
    atomic_write(folder / ROOM / MODEL_STEP, json.dumps({"step": step}).encode(), force=True)


def model_step(folder: Path) -> int | None:
    """The step of the model that is saved; None where that is not known."""
    try:
        step = read_object(folder / ROOM / MODEL_STEP, UsageError).get("step")
    except UsageError:
        return None
    return step if isinstance(step, int) else None


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of the generators that training draws from, in this process."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Sets what `random_states` took; another device's are left out."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
