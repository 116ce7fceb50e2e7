"""How far pictures are from one another, how sharp and how various they are, and how sure a number is: on tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

RANGE = 2.0  # of pixels in -1..1
DRAWS = 4000  # of the bootstrap
SEED = 180  # of these
AT_ONCE = 2**22  # values that are drawn together: memory


def psnr(x: Tensor, y: Tensor, range: float = RANGE) -> float:
    """Peak signal to noise of two pictures of one shape, in dB: infinite where they are equal.

    10 log10(range^2 / mean (x - y)^2).  range: from the lowest value a pixel may have to the highest.
    """
    error = float(((x.double() - y.double()) ** 2).mean())
    return 10 * math.log10(range * range / error) if error else math.inf


def sharpness(x: Tensor) -> float:
    """The variance of the Laplacian of a picture's brightness (b c h w), of values in -1..1: 0 where all is even.

    The Laplacian is `[[0 1 0] [1 -4 1] [0 1 0]]`, without the rim.    Pech-Pacheco et al., ICPR 2000
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


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Of two sets of features (n d) and (m d), n and m >= 2: 0 on average where both are of one distribution.

    The unbiased MMD^2 of the kernel (x . y / d + 1)^3, which may be below 0; unlike the Frechet distance it is not
    larger for smaller sets.    KID, arXiv:1801.01401, section 4
    """
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3  # (n m)

    def within(a: Tensor) -> Tensor:
        k, n = kernel(a, a), len(a)
        return (k.sum() - k.trace()) / (n * (n - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def bootstrap(values: Tensor, of: Callable[[Tensor], Tensor] | None = None) -> tuple[float, float]:
    """The 95 % interval of a statistic of values (n), by drawing n of them again and again (Efron 1979, percentiles).

    of: gives the statistic of each row (r n) as (r); None is the mean.
    """
    import torch

    generator, values = torch.Generator().manual_seed(SEED), values.double()
    statistic, size = of or partial(torch.mean, dim=1), len(values)
    most = max(1, AT_ONCE // size)
    rows = (min(most, DRAWS - start) for start in range(0, DRAWS, most))
    found = [statistic(values[torch.randint(size, (n, size), generator=generator)]) for n in rows]
    low, high = torch.cat(found).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
