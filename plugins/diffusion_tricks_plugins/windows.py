"""Windows of a picture: where they lie, what is seen in them, and how what they say becomes one.

    value(p) = sum_i w_i(p) value_i(p) / sum_i w_i(p),  over the windows i that pixel p lies in

MultiDiffusion, arXiv:2302.08113, equation 5; weights that fall towards edges: Mixture of Diffusers, arXiv:2302.02412.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Estimate, Size

Falloff = Literal["flat", "feather", "gaussian"]
SPREAD = 0.25  # sigma of the Gaussian, as a share of the window's side


@dataclass(frozen=True)
class Window:
    """A part of latents: left and top corner, its size, and that of the whole (width, height). It may go around.

    What stands beside the latents at another scale, such as a picture in pixels, is cut to the same part.
    """

    left: int
    top: int
    size: Size
    whole: Size

    def apply(self, x: Tensor) -> Tensor:
        """What is seen of the whole (b c h w)."""
        scale = x.shape[-1] // self.whole[0]
        (left, top), (width, height) = (scale * self.left, scale * self.top), (scale * side for side in self.size)
        if left + width > x.shape[-1]:
            x, left = x.roll(-left, -1), 0
        return x[..., top : top + height, left : left + width]

    def apply_mask(self, x: Tensor) -> Tensor:
        """The same of a mask (b 1 h w)."""
        return self.apply(x)

    def placed(self, part: Tensor) -> Tensor:
        """A part (b c h w) of the size of the window, where it lies in the whole, with 0 around it."""
        from torch.nn.functional import pad  # here, so that the options can be read without it

        (width, height), (wide, high) = self.size, self.whole
        below = pad(part, (0, wide - width, self.top, high - height - self.top))
        return below.roll(self.left, -1)


def windows(whole: Size, size: Size, stride: Size, wrap: bool = False) -> list[Window]:
    """The windows that cover the whole, row by row, the last ones at its edges.

    size: of a window, no larger than the whole. stride: from one to the next at the most. wrap: they go round from the
    last column to the first, in even steps.
    """
    across = _around(whole[0], stride[0]) if wrap else _along(whole[0], size[0], stride[0])
    return [Window(left, top, size, whole) for top in _along(whole[1], size[1], stride[1]) for left in across]


def _along(length: int, size: int, stride: int) -> list[int]:
    """
    >>> _along(10, 4, 4), _along(4, 4, 2)
    ([0, 3, 6], [0])
    """
    gaps = -(-(length - size) // stride)
    return [i * (length - size) // gaps for i in range(gaps + 1)] if gaps else [0]


def _around(length: int, stride: int) -> list[int]:
    """
    >>> _around(10, 4)
    [0, 3, 6]
    """
    count = -(-length // stride)
    return [i * length // count for i in range(count)]


def weights(size: Size, falloff: Falloff, like: Tensor) -> Tensor:
    """What each pixel of a window weighs, above 0 and at the most 1 (1 1 h w): alike, or less towards the edges."""
    import torch

    def along(length: int) -> Tensor:
        middle = (torch.arange(length, device=like.device, dtype=torch.float32) + 0.5) / length - 0.5  # -1/2 to 1/2
        if falloff == "gaussian":
            return torch.exp(-(middle**2) / (2 * SPREAD**2))
        return 1 - 2 * middle.abs() if falloff == "feather" else torch.ones_like(middle)

    return (along(size[1])[:, None] * along(size[0]))[None, None]


def joined(parts: Sequence[Estimate], places: Sequence[Window], weight: Tensor, x: Tensor) -> Estimate:
    """The estimates of windows as one about the whole latents x (b c h w), weighted by `weight` (1 1 h w) in each."""
    cover = sum((place.placed(weight) for place in places), weight.new_zeros(()))

    def whole(values: Sequence[Tensor]) -> Tensor:
        total = sum(
            (place.placed(weight * value) for place, value in zip(places, values, strict=True)), x.new_zeros(())
        )
        return total / cover

    variances = [part.variance for part in parts if part.variance is not None]
    variance = whole(variances) if len(variances) == len(parts) else None
    return replace(parts[0], value=whole([part.value for part in parts]), x=x, variance=variance)


__all__ = ["Falloff", "Window", "joined", "weights", "windows"]
