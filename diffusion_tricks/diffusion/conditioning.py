"""What a model sees beside the noisy latents: a picture, which of it is new, and what a second network makes of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from cachetools import LRUCache

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffusion_tricks.types import Moves

SEEN = 64  # views of one condition that are remembered


@dataclass(frozen=True, eq=False)
class Condition:
    """A picture that the model sees, in pixels: for an upscaler the small one, enlarged and noised.

    picture: (b c H W). new: (b 1 H W), 1 where an inpainting model is to make it new, 0 where it is known; or None.
    """

    picture: Tensor
    new: Tensor | None = None
    _known: dict[str, Any] = field(default_factory=dict, repr=False)
    _seen: LRUCache[Any, tuple[Moves, Condition]] = field(default_factory=lambda: LRUCache(SEEN), repr=False)

    def moved(self, apply: Callable[[Tensor], Tensor], spatial: Callable[[Tensor], Tensor] | None = None) -> Condition:
        """As a view shows it: the picture by `apply`, the mask by `spatial`, which moves and never negates."""
        picture = apply(self.picture)
        if picture is self.picture:
            return self
        return Condition(picture, None if self.new is None else (spatial or apply)(self.new))

    def through(self, view: Moves) -> Condition:
        """As `view` shows it; made once, so that what is remembered of it lasts for all steps."""
        key = _key(view)
        known = self._seen.get(key)
        if known is None:  # the view stands beside it, so that no other is given its identity
            known = self._seen[key] = view, self.moved(view.apply, view.apply_mask)
        return known[1]

    def remembered(self, key: str, make: Callable[[], Any]) -> Any:
        """What was made of this condition under `key`, or what `make` makes of it now; such as its latents."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


def _key(view: Moves) -> Any:
    """Equal views are one; one that cannot be a key, as it holds a list, stands for itself alone."""
    try:
        hash(view)
    except TypeError:
        return id(view)
    return view


def all_new(size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Condition:
    """What an inpainting model sees where all of a picture of `size` (width, height) is to be made: nothing, gray."""
    import torch

    width, height = size
    picture = torch.zeros(1, 3, height, width, device=device, dtype=dtype)
    return Condition(picture, torch.ones(1, 1, height, width, device=device, dtype=dtype))


class Network(Protocol):
    """A second network beside the denoiser, such as a ControlNet (arXiv:2302.05543)."""

    def arguments(self, x: Tensor, t: Tensor, rows: Sequence[dict[str, Any]], pictures: Tensor) -> dict[str, Any]:
        """What the denoiser is given in addition, for its input (n c h w), recorded rows and pictures (n 3 H W)."""


@dataclass(frozen=True, eq=False)
class Control:
    """A picture that a second network turns, anew in each step, into more arguments of the denoiser."""

    network: Network
    condition: Condition

    def moved(self, apply: Callable[[Tensor], Tensor]) -> Control:
        """With its picture as a view shows it."""
        return replace(self, condition=self.condition.moved(apply))

    def through(self, view: Moves) -> Control:
        """With its picture as `view` shows it."""
        return replace(self, condition=self.condition.through(view))
