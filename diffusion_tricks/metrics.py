"""How far pictures are from one another, how sharp they are, and how various: small formulas on tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

RANGE = 2.0  # of pixels in -1..1


def psnr(x: Tensor, y: Tensor, range: float = RANGE) -> float:
    """Peak signal to noise of two pictures of one shape, in dB: infinite where they are equal.

    10 log10(range^2 / mean (x - y)^2).  range: from the lowest value a pixel may have to the highest.
    """
    error = float(((x.double() - y.double()) ** 2).mean())
    return 10 * math.log10(range * range / error) if error else math.inf


def sharpness(x: Tensor) -> float:
    """The variance of the Laplacian of a picture's brightness (b c h w), of values in -1..1: 0 where all is even.

    The Laplacian is [[0 1 0] [1 -4 1] [0 1 0]], without the rim.    Pech-Pacheco et al., ICPR 2000
    """
    gray = x.double().mean(1)  # (b h w)
    middle = gray[:, 1:-1, 1:-1]
    around = gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1] + gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:]
    return float((around - 4 * middle).var(correction=0))


def diversity(features: Tensor) -> float:
    """Mean of 1 - cosine over all pairs of n feature vectors (n d), n >= 2: 0 where all point one way, at most 2."""
    unit = features.double() / features.double().norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    n = len(unit)
    return float(1 - (cosines.sum() - cosines.trace()) / (n * (n - 1)))


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Between the normal distributions of two sets of features (n d) and (m d), n and m >= 2: 0 where these are equal.

    |mu_x - mu_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^1/2)    FID, arXiv:1706.08500, equation 6
    """
    import torch

    x, y = x.double(), y.double()
    cov_x, cov_y = torch.cov(x.T).reshape(x.shape[1], -1), torch.cov(y.T).reshape(y.shape[1], -1)
    root = torch.linalg.eigvals(cov_x @ cov_y).real.clamp(min=0).sqrt().sum()  # the trace of the root
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + cov_x.trace() + cov_y.trace() - 2 * root)
