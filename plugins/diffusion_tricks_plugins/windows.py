"""Windows of a picture: where they lie, what is seen in them, and how what they say becomes one.

    value(p) = sum_i w_i(p) value_i(p) / sum_i w_i(p),  over the windows i that pixel p lies in

MultiDiffusion, arXiv:2302.08113, equation 5; weights that fall towards edges: Mixture of Diffusers, arXiv:2302.02412.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Asking, Estimate, Run, Size

Falloff = Literal["flat", "feather", "gaussian"]
SPREAD = 0.25  # sigma of the Gaussian, as a share of the window's side
OVERLAP = 0.5  # share of a window that the next one covers too
AT_ONCE = 64  # windows that are asked about together, so that what they say takes no more memory than that
GROUPS = 500  # of them at the most in a step


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

    def add(self, part: Tensor, total: Tensor) -> None:
        """Adds a part (b c h w) of the size of the window to a total of the whole, where it lies there."""
        (width, height), rest = self.size, self.whole[0] - self.left  # columns before it goes around
        rows = total[..., self.top : self.top + height, :]
        rows[..., self.left : self.left + width].add_(part[..., :rest])
        if width > rest:
            rows[..., : width - rest].add_(part[..., rest:])


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


def in_windows(ask: Ask, run: Run, stride: Size, falloff: Falloff = "feather", wrap: bool = False) -> Asking:
    """Asks about every window as large as `run.window`, and joins what they say; about one alone as it is.

    stride: of the latents, from one window to the next at the most.
    """
    (height, width), scale = ask.x.shape[-2:], run.model.family.scale
    assert run.window is not None
    size = min(run.window[0] // scale, width), min(run.window[1] // scale, height)
    places = windows((width, height), size, stride, wrap)
    if len(places) == 1:
        answers: list[Estimate] = yield [ask]
        return answers[0]
    mean = Mean(ask.x, weights(size, falloff, ask.x))
    at_once = max(AT_ONCE, -(-len(places) // GROUPS))
    for first in range(0, len(places), at_once):
        group = places[first : first + at_once]
        parts: list[Estimate] = yield [ask.through(place) for place in group]
        mean.take(parts, group)
    return mean.estimate()


def latent_stride(own: Size, scale: int, shares: tuple[float, float]) -> Size:
    """From one window to the next in latents, of a model of that size in pixels, as shares of its sides."""
    across, down = (max(1, int(share * side / scale)) for share, side in zip(shares, own, strict=True))
    return across, down


class Mean:
    """The estimates of windows as one about the whole latents x (b c h w), weighted by `weight` (1 1 h w) in each."""

    def __init__(self, x: Tensor, weight: Tensor):
        self.x, self.weight = x, weight
        self.cover = weight.new_zeros(1, 1, *x.shape[-2:])
        self.totals: dict[str, Tensor] = {}
        self.like: Estimate | None = None

    def take(self, parts: Sequence[Estimate], places: Iterable[Window]) -> None:
        """Adds what was said in some of the windows."""
        self.like = self.like or parts[0]
        for part, place in zip(parts, places, strict=True):
            place.add(self.weight, self.cover)
            self._add("value", part.value, place)
            if part.variance is not None:
                self._add("variance", part.variance, place)

    def _add(self, name: str, value: Tensor, place: Window) -> None:
        if name not in self.totals:
            self.totals[name] = (value * self.weight).new_zeros(*value.shape[:2], *self.x.shape[-2:])
        place.add(self.weight * value, self.totals[name])

    def estimate(self) -> Estimate:
        """What all of them say."""
        assert self.like is not None
        found = {name: total / self.cover for name, total in self.totals.items()}
        return replace(self.like, x=self.x, value=found["value"], variance=found.get("variance"))


__all__ = ["OVERLAP", "Falloff", "Window", "in_windows", "latent_stride", "weights", "windows"]
