"""What a run and its steps, which know this file, show of themselves in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffusion_tricks.io.pixels import to_images

if TYPE_CHECKING:
    from PIL.Image import Image


def line_of_run(run: Any) -> str:
    """A run in a line."""
    asked = list(run.prompt) if isinstance(run.prompt, tuple) else run.prompt
    tricks = "".join(f", {trick.label()}" for trick in run.tricks)
    pictures = f"{run.count} of {run.size[0]}x{run.size[1]}"
    return f"<Run {asked!r}{tricks}: {pictures} in {len(run.timesteps)} steps, {run.model.name}>"


def line_of_step(step: Any) -> str:
    """A step in a line."""
    shape = "x".join(map(str, step.x.shape))
    return f"<Step {step.index} of {len(step.run.timesteps)}: t {float(step.t):g}, sigma {step.sigma:.3g}, {shape}>"


def previews(step: Any, which: slice = slice(None)) -> list[Image]:
    """The model's present idea of the pictures of a step, decoded."""
    clean = step.estimate.clean[which].to(step.run.model.latent_dtype)
    return to_images(step.run.model.decode(clean, step.run.max_rows))
