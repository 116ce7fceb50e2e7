"""Pictures cut to squares, and a memory that holds as many of them as it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffusion_tricks.io.pixels import fit, flatten

SIZE = 64  # pixels, where nothing else is asked for
KEPT = 2 << 30  # bytes
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's

Key = TypeVar("Key")


def square_bytes(image: Image.Image, size: int) -> Tensor:
    """The middle of a picture as bytes (3 size size), alpha on white."""
    square = fit(flatten(image), (size, size))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def in_channels(pictures: Tensor, channels: int) -> Tensor:
    """Pictures (b c h w) as gray (b 1 h w) or in three channels (b 3 h w)."""
    if pictures.shape[1] == channels:
        return pictures
    if channels == 3:
        return pictures.expand(-1, 3, -1, -1)
    return (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


class Kept(Generic[Key]):
    """Pictures by their key, read once and held; those beyond `most` bytes are read again each time."""

    def __init__(self, read: Callable[[Key], Tensor], most: int = KEPT):
        self.read, self.room = read, most
        self.held: dict[Key, Tensor] = {}

    def __getitem__(self, key: Key) -> Tensor:
        """The picture (c h w), as it was read."""
        if key in self.held:
            return self.held[key]
        picture = self.read(key)
        if picture.nbytes <= self.room:
            self.room -= picture.nbytes
            self.held[key] = picture
        return picture
