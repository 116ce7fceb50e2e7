"""What is said of a picture that holds values that are no numbers: who made the first of them."""

from __future__ import annotations

import math

import torch

from diffusion_tricks.diffusion.rehearsal import called, instead_of
from diffusion_tricks.errors import DiffusionTricksError, ModelError, PluginError, UsageError
from diffusion_tricks.sampling.run import Run
from diffusion_tricks.sampling.trace import MODEL, SCHEDULER, START, Trace, Who

NAN = "values that are no numbers (NaN)"


def blamed(run: Run) -> DiffusionTricksError:
    """The error for a picture of a run, and of the stages that follow, that holds values that are no numbers."""
    for stage in run.stages:
        if first := _first(stage.trace):
            return _error(stage, *first)
    return ModelError(f"the model decoded its latents to {NAN}, expected a picture; try dtype float32")


def _first(trace: Trace) -> tuple[Who, int] | None:
    """Who gave the first value that is no number, and in which step. Waits for the device."""
    sums = torch.stack([each for _, _, each in trace.sums]).tolist() if trace.sums else []
    found = (noted for noted, value in zip(trace.sums, sums, strict=True) if not math.isfinite(value))
    return next(((who, index) for who, index, _ in found), None)


def _error(run: Run, who: Who, index: int) -> DiffusionTricksError:
    place = f"{NAN} in step {index + 1} of {len(run.timesteps)}"
    if who is START:
        return ModelError(f"the latents that the run began with hold {NAN}; try dtype float32")
    if who is MODEL:
        return ModelError(f"the model gave {place}, expected a picture; try dtype float32")
    if who is SCHEDULER:
        return UsageError(f"{called(run.scheduler)} made {place}; {instead_of(run.scheduler)}")
    return PluginError(f"trick {who!r} made {place} of the model's answers; change its options, or leave it out")
