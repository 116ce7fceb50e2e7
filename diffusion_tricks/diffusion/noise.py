"""One generator per picture, drawn on the CPU, so that a seed gives the same noise on any device, in any batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from diffusion_tricks.devices.transfer import sent


class Noise:
    """The randomness of a run: picture i draws from a CPU generator of its own, seeded with `seeds[i]`."""

    def __init__(self, seeds: Sequence[int]):
        self.seeds = tuple(seeds)
        self.generators = [torch.Generator("cpu").manual_seed(seed) for seed in self.seeds]

    def draw(
        self, shape: Sequence[int], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Standard normal noise (b, *shape), one row per picture, drawn in `dtype` on the CPU."""
        rows = [torch.randn(tuple(shape), generator=generator, dtype=dtype) for generator in self.generators]
        return sent(torch.stack(rows), device)

    def fork(self, purpose: str) -> Noise:
        """Independent noise for one purpose: drawing from it leaves this stream as it was.

        The same seed and purpose give the same noise on every machine.
        """
        return Noise([_mixed(seed, purpose) for seed in self.seeds])


def _mixed(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")
