"""Several answers about one picture, each heard in its own places.

eps(p) = sum_i m_i(p) eps_i(p),  sum_i m_i = 1        MultiDiffusion, arXiv:2302.08113, equation 5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Run


def in_places(parts: Sequence[Estimate], shares: Sequence[Tensor], x: Tensor) -> Estimate:
    """sum_i m_i value_i of estimates of the same latents x; their learned variances alike.

    shares: m, how much each says of each latent (1 1 h w), sum 1.
    """
    variances = [part.variance for part in parts if part.variance is not None]

    def total(values: Sequence[Tensor]) -> Tensor:
        return sum((share * value for share, value in zip(shares, values, strict=True)), x.new_zeros(()))

    variance = total(variances) if len(variances) == len(parts) else None
    return replace(parts[0], value=total([part.value for part in parts]), x=x, variance=variance)


def check_whole(what: str, ask: Ask, run: Run, mend: str = "name {!r} before the trick that shows parts") -> None:
    """Raises UsageError where a trick that is of places of the picture is asked about a part of it, as of a window."""
    if ask.x.shape[-2:] != run.latent_shape[1:]:
        raise UsageError(f"{what!r} is of the whole picture, and is asked about a part of it; {mend.format(what)}")


__all__ = ["check_whole", "in_places"]
