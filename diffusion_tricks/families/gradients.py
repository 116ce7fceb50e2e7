"""Gradients through a network with respect to what goes in, and to nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


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
