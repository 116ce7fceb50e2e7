"""Crops of large pictures, each beside what is left of it in a small one: what an upscaler learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.data.drafts import Drafts
from diffusion_tricks.training.data.stream import Batch, Source

EACH = 4  # crops of a picture: drawing a large one anew for each would take longer than to learn from it
TRIES = 3  # for a crop that is not flat
FLAT = 0.03  # standard deviation in each channel, of -1..1


class Crops:
    """Square crops of a source's pictures, at multiples of `factor`, `EACH` of every picture that is drawn.

    side: of the crops in pixels.  factor: how many times the pictures are larger than the small ones.
    drafts: draws part of the small ones anew; None leaves them all as they are.
    Raises UsageError for pictures in gray, and for sides that are no multiples of the factor or larger than them.
    """

    def __init__(self, whole: Source, side: int, factor: int, drafts: Drafts | None = None):
        if whole.channels != 3:
            raise UsageError("an upscaler is made for pictures in colour; use `channels=3`")
        if side > whole.size or side % factor or whole.size % factor:
            raise UsageError(
                f"crops of {side} pixels cannot be cut of pictures of {whole.size}, to be enlarged {factor} times: "
                f"expected multiples of {factor}, the crops no larger than the pictures; see `crop` and `size`"
            )
        self.whole, self.size, self.factor, self.drafts = whole, side, factor, drafts
        self.channels, self.classes = whole.channels, whole.classes

    def __len__(self) -> int:
        """As many crops as there are pictures."""
        return len(self.whole)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Crops (b 3 side side) with their enlarged selves; of `EACH` indices the first says which picture."""
        drawn = self.whole.draw(indices[::EACH], random)
        small = shrunk(drawn.pictures, self.factor)
        if self.drafts is not None:
            small = self.drafts.of(small, drawn.captions, random)
        large = enlarged(small, self.factor)
        which = [place // EACH for place in range(len(indices))]
        places = [(i, *self._place(drawn.pictures[i], random)) for i in which]
        crops, theirs = (
            torch.stack([x[i, :, r : r + self.size, c : c + self.size] for i, r, c in places])
            for x in (drawn.pictures, large)
        )
        return Batch(crops, [drawn.captions[i] for i in which], drawn.classes[which], theirs)

    def _place(self, picture: Tensor, random: np.random.Generator) -> tuple[int, int]:
        """Row and column of a crop that shows something, if one is found."""
        last = (self.whole.size - self.size) // self.factor
        row = column = 0
        for _ in range(TRIES):
            row, column = (self.factor * int(random.integers(last + 1)) for _ in range(2))
            crop = picture[:, row : row + self.size, column : column + self.size]
            if crop.std(dim=(1, 2)).max() > FLAT:
                break
        return row, column


def shrunk(pictures: Tensor, factor: int) -> Tensor:
    """Pictures (b c h w) as small ones (b c h/factor w/factor): means over squares."""
    return F.avg_pool2d(pictures, factor)


def enlarged(small: Tensor, factor: int) -> Tensor:
    """Small pictures (b c h w) as IFSuperResolutionPipeline enlarges them (b c h*factor w*factor)."""
    size = (small.shape[2] * factor, small.shape[3] * factor)
    return F.interpolate(small, size, mode="bilinear", align_corners=True)
