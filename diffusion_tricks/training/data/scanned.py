"""Handwritten digits that ship inside scikit-learn: 1,797 scans of 8 x 8 pixels and 17 shades.

They are the test part of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.data.digits import captioned
from diffusion_tricks.training.data.faces import DIGITS
from diffusion_tricks.training.data.stream import Batch

SIDE = 8
WHITE = 16.0  # of a pixel; black is 0


class ScannedDigits:
    """Gray digits written by hand, in scikit-learn's order.

    size: side in pixels; 8 is as they are, all else is resized. Raises UsageError where scikit-learn is missing.
    """

    channels = 1
    classes = tuple(DIGITS)

    def __init__(self, size: int = SIDE):
        self.size = size
        pictures, classes = scans()
        self.labels = torch.from_numpy(classes)
        self.pictures = resized(torch.from_numpy(pictures)[:, None] * (2 / WHITE) - 1, size)  # (n 1 size size)

    def __len__(self) -> int:
        """All 1,797."""
        return len(self.labels)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Digits (b 1 size size) as they were written; the captions vary."""
        classes = self.labels[list(indices)]
        captions = [captioned(int(digit), random) for digit in classes]
        return Batch(self.pictures[list(indices)], captions, classes)


def scans() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (1797 8 8) in 0..16 and their digits (1797). Raises UsageError where scikit-learn is missing."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError(
            "data sklearn-digits ships inside scikit-learn, which is not installed; "
            "install it: pip install 'diffusion-tricks[learn]'"
        ) from None
    found = load_digits()
    return found.images.astype(np.float32), found.target.astype(np.int64)


def resized(pictures: Tensor, size: int) -> Tensor:
    """Pictures (b c h w) in -1..1 at (b c size size)."""
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(pictures, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
