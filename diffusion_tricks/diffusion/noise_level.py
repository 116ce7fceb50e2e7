"""Noise levels: how latents are made of a clean picture and noise, and what of both a prediction says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EDM = ("edm", "edm_v")


@dataclass(frozen=True)
class Level:
    """A noise level, x = alpha x0 + sigma eps, and what the model predicts there.

    alpha, sigma: >= 0. (sqrt(alpha_bar), sqrt(1 - alpha_bar)) for DDPM's schedulers, (1, sigma) for Euler's.
    prediction: "epsilon", "v_prediction", "sample", "flow_prediction", or of EDM's kind: "edm", and "edm_v", which has
    the other sign. sigma_data: > 0, the spread of the training pictures, of which only EDM's scaling is.

    Where alpha is 0, as at the first level of a flow and of schedules that end in pure noise (arXiv:2305.08891), no
    noise says anything of x0: 0 then stands for it.
    """

    alpha: float
    sigma: float
    prediction: str = "epsilon"
    sigma_data: float = 0.5

    @property
    def snr(self) -> float:
        """Signal to noise, alpha^2 / sigma^2: infinite where there is no noise.    VDM, arXiv:2107.00630, 3.1"""
        return (self.alpha / self.sigma) ** 2 if self.sigma else math.inf

    def noised(self, clean: Tensor, noise: Tensor) -> Tensor:
        """x = alpha x0 + sigma eps: the forward process, of clean latents and standard normal noise (b c h w).

        sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps in DDPM's letters, arXiv:2006.11239, equation 4.
        """
        noisy: Tensor = self.alpha * clean + self.sigma * noise
        return noisy

    def clean(self, value: Tensor, x: Tensor) -> Tensor:
        """x0 from the prediction `value` at `x`."""
        if self.prediction == "sample":
            return value
        if self.prediction == "flow_prediction":
            return x - self.sigma * value
        if self.prediction == "v_prediction":  # v is defined where alpha^2 + sigma^2 = 1 (arXiv:2202.00512)
            power = self.alpha**2 + self.sigma**2
            return self.alpha / power * x - self.sigma / math.sqrt(power) * value
        if self.prediction in EDM:
            c_skip, c_out, _ = self.preconditioning
            return c_skip * x + c_out * value
        return self._denoised(value, x)

    def noise(self, value: Tensor, x: Tensor) -> Tensor:
        """eps from the prediction `value` at `x`."""
        if self.prediction == "epsilon":
            return value
        if self.prediction == "flow_prediction":
            return x + (1 - self.sigma) * value
        if self.prediction == "v_prediction":
            power = self.alpha**2 + self.sigma**2
            return self.sigma / power * x + self.alpha / math.sqrt(power) * value
        return (x - self.alpha * self.clean(value, x)) / self.sigma

    def from_noise(self, eps: Tensor, x: Tensor) -> Tensor:
        """The prediction that stands for noise `eps` at `x`."""
        if self.prediction == "epsilon":
            return eps
        return self.from_clean(self._denoised(eps, x), x)

    def _denoised(self, eps: Tensor, x: Tensor) -> Tensor:
        return (x - self.sigma * eps) / self.alpha if self.alpha else x * 0

    def from_clean(self, x0: Tensor, x: Tensor) -> Tensor:
        """The prediction that stands for the clean picture `x0` at `x`."""
        if self.prediction == "sample":
            return x0
        if self.prediction == "flow_prediction":
            return (x - x0) / self.sigma
        if self.prediction == "v_prediction":
            power = self.alpha**2 + self.sigma**2
            return (self.alpha / power * x - x0) * math.sqrt(power) / self.sigma
        if self.prediction in EDM:
            c_skip, c_out, _ = self.preconditioning
            return (x0 - c_skip * x) / c_out
        return (x - self.alpha * x0) / self.sigma

    @property
    def preconditioning(self) -> tuple[float, float, float]:
        """(c_skip, c_out, c_in) of a network F,  x0 = c_skip x + c_out F(c_in x)      EDM, arXiv:2206.00364, table 1"""
        power = self.sigma**2 + self.sigma_data**2
        sign = -1 if self.prediction == "edm_v" else 1
        return self.sigma_data**2 / power, sign * self.sigma * self.sigma_data / math.sqrt(power), 1 / math.sqrt(power)

    def noised_again(self, x: Tensor, before: Level, noise: Tensor) -> Tensor:
        """Latents x (b c h w) of this level at the noisier level `before`, with fresh `noise`, standard normal.

        x' = k x + sqrt(sigma'^2 - k^2 sigma^2) eps,  k = alpha' / alpha      RePaint, arXiv:2201.09865, Algorithm 1
        """
        kept = before.alpha / self.alpha
        added = max(before.sigma**2 - (kept * self.sigma) ** 2, 0.0) ** 0.5
        noisier: Tensor = kept * x + added * noise
        return noisier
