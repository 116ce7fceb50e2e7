"""The built-in views: permutations and sign flips, all orthogonal (Visual Anagrams, arXiv:2311.17919, section 3.3)."""

from __future__ import annotations

import math
from threading import Lock
from typing import Annotated, ClassVar

import torch
from cachetools import LRUCache, cached
from pydantic import Field
from torch import Tensor

from diffusion_tricks.plugin import Outline, Size, UsageError, View
from diffusion_tricks_plugins.views.cut import Cut
from diffusion_tricks_plugins.views.moving import spun, turned_over
from diffusion_tricks_plugins.views.outlines import rectangles
from diffusion_tricks_plugins.views.pieces import Permuted, drawn_between, kept, moved

SHUFFLING_BYTES = 64 * 2**20  # of permutations that are kept; one of 256 x 256 patches takes one of them


class Identity(View):
    """The picture as it is; the same tensor, so that equal asks are answered once."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def invert(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def instruction(self) -> str:
        """Nothing."""
        return "look at it as it is"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """The picture itself."""
        return picture


class Flip(View):
    """Rows in reverse order."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """Upside down."""
        return x.flip(-2)

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return x.flip(-2)

    def instruction(self) -> str:
        """A page held to the light."""
        return "turn the page over, top to bottom, and look through it"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Turned over in depth, end over end."""
        return turned_over(picture, share, -2)


class Mirror(View):
    """Columns in reverse order."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """Left to right."""
        return x.flip(-1)

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return x.flip(-1)

    def instruction(self) -> str:
        """A mirror."""
        return "look at it in a mirror"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Turned over in depth, sideways."""
        return turned_over(picture, share, -1)


class MirrorHalf(View):
    """The right half mirrored in itself; the left half stays, and so does the middle column of an odd width."""

    def apply(self, x: Tensor) -> Tensor:
        """Its columns in reverse."""
        half = x.shape[-1] // 2
        return torch.cat([x[..., : x.shape[-1] - half], x[..., x.shape[-1] - half :].flip(-1)], dim=-1)

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return self.apply(x)

    def instruction(self) -> str:
        """Half a page."""
        return "cut it down the middle, turn the right half over sideways and look through that"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """The right half turned over in depth."""
        left = picture.shape[-1] - picture.shape[-1] // 2
        return torch.cat([picture[..., :left], turned_over(picture[..., left:], share, -1)], dim=-1)


def turned(x: Tensor, quarters: int) -> Tensor:
    """x (b c h w) turned counter-clockwise by quarters; x itself for none. Raises UsageError where that cannot be.

    What is turned may be latents, so the message names no size: it would not be the picture's.
    """
    if quarters % 2 and x.shape[-1] != x.shape[-2]:
        raise UsageError("a quarter turn needs a square picture; set `size` to a square")
    return x.rot90(quarters, (-2, -1)) if quarters % 4 else x


class RotateCW(View):
    """A quarter turn clockwise."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """Clockwise."""
        return turned(x, -1)

    def invert(self, x: Tensor) -> Tensor:
        """Counter-clockwise."""
        return turned(x, 1)

    def instruction(self) -> str:
        """A turn."""
        return "turn the page a quarter clockwise"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Turned."""
        return spun(picture, -90 * share)


class RotateCCW(View):
    """A quarter turn counter-clockwise."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """Counter-clockwise."""
        return turned(x, 1)

    def invert(self, x: Tensor) -> Tensor:
        """Clockwise."""
        return turned(x, -1)

    def instruction(self) -> str:
        """A turn."""
        return "turn the page a quarter counter-clockwise"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Turned."""
        return spun(picture, 90 * share)


class Rotate180(View):
    """A half turn."""

    latent: ClassVar[bool] = True

    def apply(self, x: Tensor) -> Tensor:
        """Upside down and left to right."""
        return turned(x, 2)

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return turned(x, 2)

    def instruction(self) -> str:
        """A turn."""
        return "turn the page upside down"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """Turned."""
        return spun(picture, 180 * share)


class Negate(View):
    """Every value negated: the picture's negative."""

    def apply(self, x: Tensor) -> Tensor:
        """-x."""
        return -x

    def invert(self, x: Tensor) -> Tensor:
        """Its own inverse."""
        return -x

    def apply_mask(self, x: Tensor) -> Tensor:
        """A mask has no sign to turn."""
        return x

    def invert_variance(self, x: Tensor) -> Tensor:
        """A variance has no sign to turn."""
        return x

    def instruction(self) -> str:
        """Film."""
        return "look at its negative"


class Skew(View):
    """Column j shifted down by round(factor * (j - centre)), around the edge.

    factor: rows per column; 0 changes nothing, 1.5 is the reference's.
    """

    factor: float = 1.5

    def _shifted(self, x: Tensor, sign: int) -> Tensor:
        height, width = x.shape[-2:]
        columns = torch.arange(width, device=x.device)
        shift = (self.factor * (columns - (width - 1) / 2)).round().long() * sign
        rows = (torch.arange(height, device=x.device)[:, None] - shift) % height  # (h w)
        return x[..., rows, columns]

    def apply(self, x: Tensor) -> Tensor:
        """Sloped."""
        return self._shifted(x, 1)

    def invert(self, x: Tensor) -> Tensor:
        """Straight again."""
        return self._shifted(x, -1)

    def instruction(self) -> str:
        """Strips."""
        return "cut it into upright strips and slide each further than the one before"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """A slope that grows."""
        return self.model_copy(update={"factor": self.factor * share}).apply(picture)


class Patches(View):
    """Square patches of a grid, shuffled by a seed.

    grid: patches a side, which must divide height and width. seed: of the permutation.
    """

    grid: Annotated[int, Field(ge=1)] = 8
    seed: int = 0

    def _cut(self, x: Tensor) -> Tensor:
        """(b c h w) -> (b c n p q), n patches in reading order."""
        b, c, h, w = x.shape
        if h % self.grid or w % self.grid:
            raise UsageError(f"patches:{self.grid} needs a height and width that {self.grid} divides, got {w}x{h}")
        cut = x.reshape(b, c, self.grid, h // self.grid, self.grid, w // self.grid)
        return cut.permute(0, 1, 2, 4, 3, 5).reshape(b, c, self.grid**2, h // self.grid, w // self.grid)

    def _joined(self, patches: Tensor, like: Tensor) -> Tensor:
        b, c, _, p, q = patches.shape
        grid = patches.reshape(b, c, self.grid, self.grid, p, q)
        return grid.permute(0, 1, 2, 4, 3, 5).reshape(like.shape)

    def apply(self, x: Tensor) -> Tensor:
        """Shuffled."""
        return self._joined(self._cut(x)[:, :, shuffling(self.grid**2, self.seed, x.device)[0]], x)

    def invert(self, x: Tensor) -> Tensor:
        """Put back."""
        return self._joined(self._cut(x)[:, :, shuffling(self.grid**2, self.seed, x.device)[1]], x)

    def pieces(self, size: Size) -> list[Outline]:
        """The patches, in reading order."""
        width, height = size
        return rectangles(Cut(height, width, self.grid, self.grid))

    def instruction(self) -> str:
        """A puzzle to lay."""
        return f"cut it into {self.grid} x {self.grid} squares and lay them in the other order"

    def between(self, picture: Tensor, share: float) -> Tensor:
        """The patches on their way."""
        return drawn_between(picture, kept(self, *picture.shape[-2:], picture.device), share)

    def cut_up(self, height: int, width: int) -> Permuted:
        """The patches of a picture of that size and where they go."""
        cut = Cut(height, width, self.grid, self.grid)
        target = shuffling(self.grid**2, self.seed, torch.device("cpu"))[1]
        return moved(cut, cut.owner(), target, torch.zeros_like(target), math.hypot(cut.p, cut.q) / 2)


def _bytes_of(orders: tuple[Tensor, Tensor]) -> int:
    return orders[0].nbytes + orders[1].nbytes


@cached(LRUCache(SHUFFLING_BYTES, _bytes_of), lock=Lock())
def shuffling(count: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A permutation of `count` places and its inverse; kept, as a GPU would wait for it in every step.

    Those used least lately go first.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order.to(device), order.argsort().to(device)
