"""Points in the plane as data: two shapes of them, and a small network that learns to denoise them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusion_tricks_learn.networks import fit, mlp

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Level
    from diffusion_tricks_learn.session import Session

SHAPES = ("moons", "roll")
BLUR = 0.03  # spread of the points about their curve, before these are scaled
OCTAVES = 2.0 ** torch.arange(3)  # in which the network sees a noise level
BATCH, WIDTH = 512, 128


def points(shape: str, n: int, generator: torch.Generator) -> Tensor:
    """n points (n 2) of two moons or of a swiss roll, centred, of spread 1 in both directions."""
    u = torch.rand(n, generator=generator)
    if shape == "moons":
        upper, angle = torch.arange(n) % 2 == 0, math.pi * u
        x = torch.where(upper, angle.cos(), 1 - angle.cos())
        y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
    else:
        angle = 1.5 * math.pi * (1 + 2 * u)
        x, y = angle * angle.cos() / 10, angle * angle.sin() / 10
    xy = torch.stack([x, y], dim=1) + BLUR * torch.randn(n, 2, generator=generator)
    return (xy - xy.mean(0)) / xy.std(0)


class PointDenoiser:
    """A network that is trained to denoise points, whatever the sampler: it is told nothing but the noise level.

    x = cos(phi) x0 + sin(phi) eps,  v = cos(phi) eps - sin(phi) x0      arXiv:2202.00512, appendix D

    Any x = alpha x0 + sigma eps, a flow's too, is of this form once it is divided by sqrt(alpha^2 + sigma^2).
    """

    def __init__(self, seed: int):
        self.network = mlp(2 + 2 * len(OCTAVES), WIDTH, WIDTH, WIDTH, 2, seed=seed)

    def v(self, x: Tensor, phi: Tensor) -> Tensor:
        """The network's answer (n 2) for points x (n 2) at angles phi (n 1), 0 for clean to pi / 2 for noise."""
        waves = phi * OCTAVES  # (n octaves)
        told: Tensor = self.network(torch.cat([x, waves.cos(), waves.sin()], dim=1))
        return told

    def learn(self, known: Tensor, updates: int, session: Session) -> list[float]:
        """Trains on points (n 2), and gives the loss of each update."""
        generator = torch.Generator().manual_seed(session.seed)

        def loss() -> Tensor:
            x0 = known[torch.randint(len(known), (BATCH,), generator=generator)]
            eps = torch.randn(x0.shape, generator=generator)
            phi = math.pi / 2 * torch.rand(BATCH, 1, generator=generator)
            v = phi.cos() * eps - phi.sin() * x0
            return (self.v(phi.cos() * x0 + phi.sin() * eps, phi) - v).square().mean()

        return fit(self.network, loss, updates, session)

    @torch.no_grad()
    def __call__(self, x: Tensor, level: Level, prompts: Sequence[str | None] = ()) -> Tensor:
        """The guess at the clean points of x (n 2 1 1), as `denoiser_model` asks for it."""
        phi = math.atan2(level.sigma, level.alpha)
        z = x.float().flatten(1) / math.hypot(level.alpha, level.sigma)
        x0 = math.cos(phi) * z - math.sin(phi) * self.v(z, torch.full((len(z), 1), phi))
        return x0.reshape(x.shape)
