"""Pictures whose last column goes on in the first: whoever looks at neighbours is shown both sides of the seam."""

from __future__ import annotations

import torch
from torch import Tensor

SEAM = 8  # columns that are added on either side


def around(x: Tensor, columns: int) -> Tensor:
    """x (b c h w) with its last columns before the first and its first behind the last, (b c h w + 2 columns)."""
    return torch.cat([x[..., -columns:], x, x[..., :columns]], dim=-1) if columns else x


def within(x: Tensor, share: float) -> Tensor:
    """What `around` was given, of what was made of it (b c h w); share: the columns, as a share of those it had."""
    columns = round(x.shape[-1] * share / (1 + 2 * share))
    return x[..., columns : x.shape[-1] - columns] if columns else x
