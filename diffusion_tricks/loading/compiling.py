"""A model with a compiled denoiser, or why it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusion_tricks.devices.text_encoders import hooked, quantised
from diffusion_tricks.errors import UsageError

if TYPE_CHECKING:
    from diffusion_tricks.model.model import Model
from diffusion_tricks.devices.compile import INSTEAD, Compiled, no_compiler


def compiled(model: Model) -> Model:
    """The model, its denoiser compiled; CUDA graphs where there is CUDA.

    Where memory was so short that its parts move, it is left as it is, with a note. Raises UsageError where it cannot
    be compiled for another reason.
    """
    why = cannot_compile(model)
    if why and model.memory.mode == "auto" and model.memory.offloaded:
        model.memory.notes.append(f"not compiled, for lack of memory: {why}")
        return model
    if why:
        raise UsageError(f"{model.name!r} cannot be compiled: {why}; {INSTEAD}")
    if model.compiled is None:
        model.compiled = Compiled(model.family.denoiser, graphs=model.device.type == "cuda")
    return model


def cannot_compile(model: Model) -> str | None:
    """Why the model's denoiser cannot be compiled, or None."""
    if hooked(model.pipe):
        return "its parts move on and off the device while it works, by `memory` or hooks of its own"
    if quantised(model.pipe):
        return "its weights are quantised"
    return no_compiler(model.device.type)
