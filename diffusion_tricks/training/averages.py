"""Averages of the weights that grow with the run, and are chosen after it (EDM2, arXiv:2312.02696, section 3 and C).

theta(t) = (gamma + 1) / t^(gamma + 1) * integral of tau^gamma theta(tau) over 0..t           eq. 4
sigma_rel = ((gamma + 1) / ((gamma + 2)^2 (gamma + 3)))^1/2, its length as a share of the run       eq. 6
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def gamma(sigma_rel: float) -> float:
    """The exponent of the average whose length is that share of the run, above 0 and below 0.28 (algorithm 2)."""
    t = sigma_rel**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())


class PowerAverages:
    """Power-function averages of parameters, one for each length; the first stands for the weights."""

    def __init__(self, parameters: Sequence[nn.Parameter], lengths: Sequence[float], every: int = 1):
        """lengths: sigma_rel of each.  every: steps between two updates, which weigh as much as all of them."""
        self.lengths, self.every, self.steps = tuple(lengths), every, 0
        self.held = [[p.detach().clone().float() for p in parameters] for _ in lengths]
        self._stored: list[Tensor] = []

    @torch.no_grad()
    def step(self, parameters: Sequence[nn.Parameter]) -> None:
        """Takes the weights after a step in."""
        self.steps += 1
        if self.steps % self.every:
            return
        t = self.steps / self.every
        for length, held in zip(self.lengths, self.held, strict=True):
            kept = (1 - 1 / t) ** (gamma(length) + 1)
            torch._foreach_lerp_(held, [p.detach() for p in parameters], 1 - kept)

    def store(self, parameters: Sequence[nn.Parameter]) -> None:
        """Keeps the weights, until `restore`."""
        self._stored = [p.detach().clone() for p in parameters]

    def copy_to(self, parameters: Sequence[nn.Parameter], which: int = 0) -> None:
        """Puts an average in the place of the weights."""
        put(self.held[which], parameters)

    def restore(self, parameters: Sequence[nn.Parameter]) -> None:
        """Puts back what was stored."""
        put(self._stored, parameters)
        self._stored = []

    def to(self, device: torch.device) -> None:
        """Moves the averages."""
        self.held = [[one.to(device) for one in held] for held in self.held]

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {"lengths": list(self.lengths), "every": self.every, "steps": self.steps, "held": self.held}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave, with its lengths."""
        self.lengths, self.every, self.steps = tuple(state["lengths"]), int(state["every"]), int(state["steps"])
        self.held = [[one.clone() for one in held] for held in state["held"]]


@torch.no_grad()
def put(values: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
    """Writes values into parameters."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value.to(parameter.device))


def overlap(t_one: np.ndarray, gamma_one: np.ndarray, t_other: np.ndarray, gamma_other: np.ndarray) -> np.ndarray:
    """The inner product of the weightings of two averages at their times (eq. 126, algorithm 3)."""
    ratio = t_one / t_other
    at = np.where(t_one < t_other, gamma_other, -gamma_one)
    shared = gamma_one + gamma_other
    bound = np.where(t_one < t_other, t_other, t_one)
    return np.asarray((gamma_one + 1) * (gamma_other + 1) * ratio**at / ((shared + 1) * bound))


def mixture(times: Sequence[float], lengths: Sequence[float], time: float, length: float) -> np.ndarray:
    """The weights of kept averages, at `times` with `lengths`, whose sum is nearest to that at `time` with `length`."""
    t, g = np.array(times, dtype=np.float64)[:, None], np.array([[gamma(one)] for one in lengths])
    own = overlap(t, g, t.T, g.T)
    wanted = overlap(t, g, np.array([[float(time)]]), np.array([[gamma(length)]]))
    return np.linalg.solve(own, wanted)[:, 0]


def mixed(kept: Sequence[Sequence[Tensor]], weights: Sequence[float]) -> list[Tensor]:
    """The sum of averages, each times its weight."""
    return [
        torch.stack([w * part.float() for w, part in zip(weights, parts, strict=True)]).sum(0)
        for parts in zip(*kept, strict=True)
    ]
