"""What the network learns to predict: how pictures are noised, the target, and the weight of each error.

x_t = alpha x0 + sigma eps          alpha^2 = alpha_bar, sigma^2 = 1 - alpha_bar      arXiv:2006.11239
                                    alpha = 1 - s, sigma = s for a flow               arXiv:2210.02747
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.rates import shift_after

PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}
BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
WIDE = 2.0  # from black to white in pictures of -1..1, where a denoiser's sigma counts 1


class Predict(Protocol):
    """A network: noisy pictures (b c h w), timesteps (b), what it is told, to predictions (b c h w)."""

    def __call__(self, x: Tensor, t: Tensor, **condition: Tensor) -> Tensor:
        """The predictions."""


class Draw(Protocol):
    """Shares of the schedule (b) in 0..1 from even ones."""

    def __call__(self, u: Tensor, seen: float = 0.0) -> Tensor:
        """The shares, once so many pictures were seen."""


@dataclass(frozen=True)
class Objective:
    """What is predicted, at which noise levels, and how errors weigh.

    kind: epsilon, v, sample or flow.  total: T.  alpha_bars: (T), of the schedule; a flow has none.
    draw: maps shares of 0..1, evenly spread, to the shares of T that are trained once so many pictures were seen.
    below: only timesteps below it are trained, None is all.
    min_snr: gamma, None weighs all 1.  error: squared, or absolute, of which the best answer is the median.
    """

    kind: str
    total: int
    alpha_bars: Tensor | None
    draw: Draw
    min_snr: float | None = None
    error: str = "squared"
    below: int | None = None

    def times(self, count: int, device: torch.device, seen: float = 0.0) -> Tensor:
        """Timesteps (b): whole ones of 0..T-1, for a flow any of 0..T; stratified over the batch."""
        top = self.total if self.below is None else self.below
        share = (torch.rand((), device=device) + torch.arange(count, device=device) / count) % 1
        share = self.draw(share, seen)[torch.randperm(count, device=device)]
        if self.alpha_bars is None:
            return share * top
        return (share * top).long().clamp(0, top - 1)

    def level(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at timesteps (b): (b 1 1 1) each."""
        if self.alpha_bars is None:
            s = (t / self.total)[:, None, None, None]
            return 1 - s, s
        bars = self.alpha_bars.to(t.device)[t][:, None, None, None]
        return bars.sqrt(), (1 - bars).sqrt()

    def target(self, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """What the network should say (b c h w)."""
        targets: dict[str, Callable[[], Tensor]] = {
            "epsilon": lambda: eps,
            "v": lambda: alpha * eps - sigma * x0,  # arXiv:2202.00512
            "sample": lambda: x0,
            "flow": lambda: eps - x0,
        }
        return targets[self.kind]()

    def weight(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """min(SNR, gamma) of the error in x0, as a weight of the error in the prediction (arXiv:2303.09556, 3.4).

        An error d in the prediction is one of sigma/alpha d in x0 for epsilon, sigma d for v and flow, d for sample.
        """
        if self.min_snr is None:
            return torch.ones_like(alpha)
        snr = (alpha / sigma) ** 2
        in_clean = {"epsilon": 1 / snr, "v": sigma**2, "flow": sigma**2, "sample": torch.ones_like(snr)}
        return snr.clamp(max=self.min_snr) * in_clean[self.kind]

    def loss(self, network: Predict, x0: Tensor, condition: Mapping[str, Tensor], autocast: Any) -> Tensor:
        """The mean weighted error for pictures (b c h w), one timestep each, as before any were seen."""
        return self.errors(network, x0, self.times(len(x0), x0.device), condition, autocast).mean()

    def errors(self, network: Predict, x0: Tensor, t: Tensor, condition: Mapping[str, Tensor], autocast: Any) -> Tensor:
        """The weighted mean error (b) of each of the pictures (b c h w), noised to timesteps (b).

        autocast: the context in which the network computes.
        """
        alpha, sigma = self.level(t)
        eps = torch.randn_like(x0)
        with autocast:
            prediction = network(alpha * x0 + sigma * eps, t, **condition)
        off = prediction.float() - self.target(x0, eps, alpha, sigma)
        errors = off.abs() if self.error == "absolute" else off.square()
        return (self.weight(alpha, sigma) * errors).mean(dim=(1, 2, 3))


def objective(options: TrainOptions, scheduler: Any) -> Objective:
    """The objective of a training, on the schedule that the model will be sampled with."""
    draw = shares(options)
    if options.task == "denoiser":
        return Objective("sample", 1, scheduler.alphas_cumprod, draw, error=options.error)
    bars = None if options.objective == "flow" else scheduler.alphas_cumprod
    return Objective(options.objective, options.timesteps, bars, draw, options.min_snr, options.error, options.below)


def shares(options: TrainOptions) -> Draw:
    """From even shares of 0..1 to those of the options: logit-normal, then shifted (arXiv:2403.03206, 3.1, 5.3.2)."""

    def draw(u: Tensor, seen: float = 0.0) -> Tensor:
        if options.draw == "logit-normal":
            normal = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
            u = torch.sigmoid(options.logit_mean + options.logit_std * normal)
        shift = shift_after(options, seen)
        return u if shift == 1 else shift * u / (1 + (shift - 1) * u)

    return draw


def training_schedule(options: TrainOptions) -> Any:
    """The scheduler that the model is saved with; its noise levels are those of the training.

    A denoiser's is DDPM's with one step: x = sqrt(alpha_bar) (x0 + sigma eps), where alpha_bar = 1 / (1 + sigma^2).
    """
    if options.task == "denoiser":
        variance = (WIDE * options.sigma) ** 2
        return DDIMScheduler(
            num_train_timesteps=1, trained_betas=[variance / (1 + variance)], prediction_type="sample",
            timestep_spacing="trailing",
        )  # fmt: skip
    if options.objective == "flow":
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=options.timesteps)
    shared = {
        "num_train_timesteps": options.timesteps, "beta_start": options.beta_start, "beta_end": options.beta_end,
        "beta_schedule": BETAS[options.schedule], "prediction_type": PREDICTIONS[options.objective],
        "timestep_spacing": "trailing",
    }  # fmt: skip
    if options.task in {"text", "upscale"}:
        return DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", solver_order=2, **shared)
    return DDIMScheduler(**shared)
