"""What a run of inpainting knows of its picture: what is kept of it, in latents, and which prompt says what of it.

eps = sum_i m_i eps(x, prompt_i) / sum_i m_i            MultiDiffusion, arXiv:2302.08113, equation 5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks.plugin import Condition
from diffusion_tricks_plugins.masks import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Run


@dataclass(frozen=True)
class Known:
    """What a run knows of its picture: clean latents and their noise (b c h w), and which latents are new (1 1 h w).

    strength: how much of the run each latent is new for, 0..1 (1 1 h w); None is all of it wherever it is new.
    """

    clean: Tensor
    noise: Tensor
    new: Tensor
    strength: Tensor | None = None

    def kept(self, fraction: float) -> Tensor:
        """Which latents are kept at this share of the run: those that are not new yet, of each its own while.

        Differential Diffusion, arXiv:2306.00950, algorithm 1.
        """
        if self.strength is None:
            return ~self.new
        return ~self.new | (1 - self.strength > fraction)


def shares_of(new: list[Tensor]) -> list[Tensor]:
    """How much each part says of each latent (1 1 h w), of which latents are new in it: they add up to 1 everywhere.

    Where several parts lie over one another, and outside all, they say equally much.
    """
    weights = [one.float() for one in new]
    total = sum(weights[1:], weights[0])
    return [(one / total.clamp(min=1)).where(total > 0, 1 / len(new)) for one in weights]


def known_of(run: Run, pixels: Tensor, weights: Weights, by_strength: bool) -> Known:
    """The picture's latents, of pixels (1 3 H W), and which of them are new, by weights (h w) of the part of it.

    The noise is the run's own for this purpose, so that the sampler's stream is the same with and without a mask."""
    clean = run.latents_of(pixels).float()
    noise = run.noise.fork("inpaint").draw(run.latent_shape, clean.device)
    new = latents_made_new(weights > 0, run.latent_shape[1:]).to(clean.device)
    strength = (
        most_of(weights.astype(np.float32) / np.float32(255), run.latent_shape[1:]).to(clean.device)
        if by_strength
        else None
    )
    return Known(clean, noise, new, strength)


def condition_of(run: Run, pixels: Tensor, new: NDArray[np.bool_]) -> Condition:
    """The picture (1 3 H W), gray where it is to be made new."""
    mask = latents_made_new(new, (run.size[1], run.size[0])).to(pixels)
    device, dtype = run.model.device, run.model.dtype
    return Condition((pixels * (1 - mask)).to(device, dtype), mask.to(device, dtype))


def latents_made_new(new: NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """Pixels (H W) as latents, or other pixels (1 1 h w), `shape` of them: one is new if any pixel of its area is.

    So the whole mask is made new, however small it is; what is too much is not pasted back.
    """
    return most_of(new.astype(np.float32), shape) > 0.5


def most_of(values: NDArray[np.float32], shape: tuple[int, int]) -> Tensor:
    """The greatest value (1 1 h w) of pixels (H W) in the area of each latent."""
    import torch  # here, so that the options can be read without it
    from torch.nn import functional as F

    return F.adaptive_max_pool2d(torch.from_numpy(values)[None, None], shape)
