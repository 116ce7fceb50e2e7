"""Gradients through a network with respect to what goes in, and to nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from diffusion_tricks.errors import UsageError


@contextlib.contextmanager
def differentiable(network: torch.nn.Module, x: Tensor) -> Iterator[None]:
    """Inside, what the network makes of x can be differentiated with respect to it, where x asks for that.

    Its weights ask for no gradient meanwhile, so that nothing is kept for theirs. Where x asks for none, no call is
    followed at all.
    """
    if not x.requires_grad:
        with torch.no_grad():
            yield
        return
    asking = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in asking:
        weight.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for weight in asking:
            weight.requires_grad_(True)


def no_gradients(pipeline: str) -> UsageError:
    """The error to raise where a gradient is asked of a pipeline whose own call is run."""
    return UsageError(
        f"{pipeline} has no adapter and its own call follows no gradients, so none is to be had; use another model, or"
        " leave out what asks for one"
    )
