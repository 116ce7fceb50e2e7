"""Record and replay."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion_tricks.devices.oom import explained
from diffusion_tricks.devices.turns import alone_with
from diffusion_tricks.diffusion.scheduler_quirks import for_recording
from diffusion_tricks.diffusion.steps import first_spread
from diffusion_tricks.errors import ModelError
from diffusion_tricks.families.gradients import differentiable
from diffusion_tricks.families.rows import stacked
from diffusion_tricks.types import Pipeline, Row

if TYPE_CHECKING:
    pass


class Recorded(BaseException):
    """Leaves a pipeline at its first denoiser call; a BaseException, so that no pipeline swallows it. It ends here.

    sample: the denoiser's input, not scaled for it. spread: of the noise in it, as the pipeline's scheduler starts
    with. arguments: all others, by name, but the timestep.
    """

    def __init__(self, sample: Any, spread: float, arguments: dict[str, Any]):
        self.sample = sample
        self.spread = spread
        self.arguments = arguments


def recorded(pipe: Pipeline, given: str, expected: str, part: str = "unet", **call: Any) -> Recorded:
    """The first denoiser call of `pipe(**call)`, which goes no further.

    given, expected: what the pipeline is called with, and what it has to be for that; for the message of the
    ModelError that is raised where it cannot be. part: the name of its denoiser.
    """

    def cannot(error: Exception) -> ModelError:
        why = f"{type(error).__name__}: {error}; expected {expected}"
        return ModelError(f"{type(pipe).__name__} cannot be run from {given}: {why}")

    with alone_with(pipe), _patched(pipe, part), torch.no_grad(), explained(cannot):
        try:
            pipe(**{"num_inference_steps": 2, **call})
        except Recorded as made:
            return made
    raise ModelError(f"{type(pipe).__name__} finished without calling its {part}; it cannot be run step by step")


def replayed(network: torch.nn.Module, x: Tensor, t: Tensor, rows: Sequence[Row], **more: Any) -> Tensor:
    """The raw output (n c' h w) of a recorded call for other input (n c h w), one recorded row each."""
    with differentiable(network, x):
        output: Tensor = network(x.to(dtype_of(network)), t, **stacked(rows), **more, return_dict=False)[0]
    return output


@contextlib.contextmanager
def _patched(pipe: Pipeline, part: str) -> Iterator[None]:
    """The pipeline with a denoiser that records, a scheduler of its own and no progress bar; put back after.

    Only calls of this thread are recorded.
    """
    network, scheduler, bar = getattr(pipe, part), pipe.scheduler, getattr(pipe, "_progress_bar_config", None)
    own = vars(network).get("forward")  # offloading hooks put one on the instance
    plain, here = network.forward, threading.get_ident()
    names = list(inspect.signature(type(network).forward).parameters)[1:]

    def recording(*args: Any, **named: Any) -> Any:
        if threading.get_ident() != here:  # its owner's, who knows of no turns
            return plain(*args, **named)
        arguments = dict(zip(names, args, strict=False)) | named
        sample = arguments.pop(names[0])
        raise Recorded(sample, float(pipe.scheduler.init_noise_sigma), _kept(arguments))

    network.forward = recording
    pipe.scheduler = for_recording(scheduler)
    pipe.scheduler.scale_model_input = lambda sample, *_, **__: sample
    if not hasattr(pipe.scheduler, "init_noise_sigma"):  # a flow's does not say it
        pipe.scheduler.init_noise_sigma = first_spread(pipe.scheduler)
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        vars(network).pop("forward", None)
        if own is not None:
            network.forward = own
        pipe.scheduler = scheduler
        pipe._progress_bar_config = bar if bar is not None else {}
        pipe.maybe_free_model_hooks()


def _kept(arguments: dict[str, Any]) -> dict[str, Any]:
    """What of a call is the same at every step."""
    return {key: value for key, value in arguments.items() if key not in ("timestep", "t", "return_dict")}


def dtype_of(module: torch.nn.Module) -> torch.dtype:
    """What the network computes in: the type of its first weight that is not kept small or large for its own reasons.

    Weights may be stored in fewer bits than they are used in (8 at the most), and some are kept in float32 by name.
    The `dtype` of diffusers' models walks over all modules, which would show in every step.
    """
    kept = getattr(module, "_keep_in_fp32_modules", None) or ()
    computing = (
        weight.dtype
        for name, weight in module.named_parameters()
        if weight.is_floating_point() and weight.itemsize > 1 and not any(part in name for part in kept)
    )
    return next(computing, None) or next(module.parameters()).dtype
