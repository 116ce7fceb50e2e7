"""Small networks that lessons train on the spot, with a seed of their own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks_learn.session import Session


def mlp(*widths: int, seed: int) -> nn.Sequential:
    """Layers of these widths, from the input to the output, with SiLU between them; weights are drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [module for a, b in pairwise(widths) for module in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers[:-1])


def fit(
    network: nn.Module, loss: Callable[[], Tensor], updates: int, session: Session, rate: float = 3e-3
) -> list[float]:
    """Trains in place by so many updates of Adam, each a tick of the session's clock, and gives the loss of each.

    loss: draws a batch and gives its loss. rate: the first; it falls to 0 as a cosine.
    """
    adam = torch.optim.Adam(network.parameters(), rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, updates)
    losses = []
    for _ in range(updates):
        adam.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        adam.step()
        cosine.step()
        session.clock.tick()
        losses.append(float(value.detach()))
    return losses
