"""Tensors on their way to a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    pass


def sent(x: Tensor, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensor:
    """x on the device, in `dtype`; to CUDA from pinned memory, so that nobody waits for it."""
    device = torch.device(device)
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device, dtype)
    return x.pin_memory().to(device, dtype, non_blocking=True)
