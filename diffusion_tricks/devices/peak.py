"""What a run says of the machine it ran on: where, in what precision, and what a lack of memory made of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run


def computed(run: Run, max_rows: int | None) -> dict[str, Any]:
    """The facts of a finished run that its model and its machine decide about; see `record.Ran`.

    max_rows: as asked; the fact is what it came down to. What was given up for memory goes into every picture's notes.
    """
    model, notes, rows = run.model, list[str](), [max_rows]
    for stage in run.stages:
        given_up, cut = stage.model.memory.told()
        notes += given_up
        rows.append(cut)
    for facts in run.facts if notes else ():
        facts["notes"] = [*facts.get("notes", ()), *notes]
    return {
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_rows": min((n for n in rows if n is not None), default=None),
        **({"quantize": model.memory.quantize} if model.memory.quantize else {}),
        **({"compile": True} if model.compiled is not None else {}),
    }


def forget_peak(device: torch.device) -> None:
    """Makes `peak_memory_mb` begin anew, where it can: on CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory used, in MB: on CUDA what torch had of the device since `forget_peak`, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
