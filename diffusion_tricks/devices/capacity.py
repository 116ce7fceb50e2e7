"""How many rows fit: a guess from the free memory and the width of the network, to begin with and to be halved from.

    rows = 0.9 free / (64 width tokens bytes)

Width and tokens are those of the finest level, of which a network holds some dozens of activations at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psutil
import torch

from diffusion_tricks.devices.container import left_in_container

SHARE = 0.9  # of the free memory
ACTIVATIONS = 64  # of the finest level that are held at a time, for one row; too many rather than too few


def rows_that_fit(
    config: Mapping[str, Any] | None, tokens: int, device: torch.device, dtype: torch.dtype
) -> int | None:  # fmt: skip
    """How many rows a network may compute at once, 1 or more; None where nothing is known of it or the device.

    config: of the network, None for one that is not there. tokens: of one row, at the network's finest level.
    """
    width, free = width_of(config or {}), free_memory(device)
    if width is None or free is None:
        return None
    return max(1, int(SHARE * free / (ACTIVATIONS * width * tokens * dtype.itemsize)))


def width_of(config: Mapping[str, Any]) -> int | None:
    """Of a network's finest level, as its configuration says it."""
    levels = config.get("block_out_channels") or config.get("decoder_block_out_channels")
    if levels:
        return int(levels[0])
    if "num_attention_heads" in config and "attention_head_dim" in config:
        return int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    width = config.get("dim") or config.get("base_dim")
    return int(width) if isinstance(width, int) else None


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be had on a device, or in this computer or container for the CPU; None where that is not known."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if device.type == "cpu":
        return _available()
    return None


def _available() -> int:
    """What this computer could give to a new process, and its container to this one."""
    available, left = int(psutil.virtual_memory().available), left_in_container()
    return available if left is None else min(available, left)
