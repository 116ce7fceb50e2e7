"""Larger pictures in two stages: which stages make a size, and how the second takes over from the first.

A model in pixel space makes pictures up to `REACH` times its own size by itself; what is larger, its upscaler makes
of a picture of the first stage. Both are runs of the same loop, with the same tricks and the same generators.
"""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING, Any, cast

from diffusion_tricks.denoiser import Size, check_size
from diffusion_tricks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.model import Model
    from diffusion_tricks.run import Run
    from diffusion_tricks.upscaling import UpscalingFamily

REACH = 2  # times a model's own size: beyond, a network of pixels repeats what it knows instead of drawing it larger


def needs_upscaling(model: Model, size: Size | None) -> bool:
    """Whether a size is larger than a model of pixels makes by itself; one of latents is not held to its own."""
    own = model.family.size
    return size is not None and model.family.scale == 1 and any(s > REACH * o for s, o in zip(size, own, strict=True))


def stages(model: Model, size: Size, noise_level: int | None = None) -> tuple[Size, Model | None]:
    """The size of the first stage, and the model of the second if `size` takes one.

    noise_level: of the second stage; None is its default. Raises UsageError for a size that no stage makes, naming
    those that can be made.
    """
    if not needs_upscaling(model, size):
        check_size(model.family, size)
        return size, None
    if model.second is None:
        raise UsageError(f"{model.name!r} makes {_reach(model)}, got {_text(size)}; --enlarge makes them larger")
    upscaler = model.second.behind(model, noise_level)
    try:
        first = upscaling(upscaler).smaller(size)
        check_size(upscaler.family, size)
        check_size(model.family, first)
        fits = not needs_upscaling(upscaler, size)
    except UsageError:
        fits = False
    if not fits:
        factor = upscaler.family.size[0] // model.family.size[0]
        by_both = f"{_reach(upscaler)}, in multiples of {lcm(factor * model.family.multiple, upscaler.family.multiple)}"
        raise UsageError(f"{model.name!r} makes {_reach(model)}, and with its upscaler {by_both}; got {_text(size)}")
    return first, upscaler


def _reach(model: Model) -> str:
    return f"{_text(model.family.size)} pixels, or sides up to {REACH * max(model.family.size)}"


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def nothing_upscaled(size: Size) -> UsageError:
    """The error to raise where something says how to upscale, and the size takes no second stage."""
    return UsageError(f"nothing is upscaled at size {_text(size)}; ask for a larger --size, or do not say how")


def upscaling(model: Model) -> UpscalingFamily:
    """The family of a model that is a second stage."""
    return cast("UpscalingFamily", model.family)


def take_over(run: Run, row: dict[str, Any]) -> Tensor:
    """Gives a second stage its condition, made of the pictures before it, and the noise it starts from (b c h w).

    row: the denoiser's recorded arguments for one of its prompts. Both are drawn from the run's own generators.
    """
    assert run.previous is not None
    pixels, generators = run.previous.pixels(), run.noise.generators
    noise, run.condition = upscaling(run.model).condition(pixels, run.size, row, generators)
    return noise


__all__ = ["needs_upscaling", "nothing_upscaled", "stages", "take_over"]
