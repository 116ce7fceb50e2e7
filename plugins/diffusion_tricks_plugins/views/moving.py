"""How a picture moves in a film of a view: turned in its plane, turned over in depth, cut into pieces that fly.

Plain geometry; there is no paper behind it. Where the picture is not, the table is seen that it lies on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import torch
import torch.nn.functional as F
from torch import Tensor

TABLE = 0.6  # light grey, on which a white picture is seen
EYE = 3.0  # distance of the eye from what is turned over, in its sides


@dataclass(frozen=True)
class Pieces:
    """The pieces of a picture, and where each goes.

    owner: the piece of each pixel (h w), `len(start)` for those that stay. start, end: centres (n 2), down and right in
    pixels. quarters: how far each turns counter-clockwise (n). reach: pixels that no piece is larger than.
    """

    owner: Tensor
    start: Tensor
    end: Tensor
    quarters: Tensor
    reach: float

    def to(self, device: torch.device) -> Pieces:
        """The same on a device."""
        owner, start, end, quarters = (one.to(device) for one in (self.owner, self.start, self.end, self.quarters))
        return Pieces(owner, start, end, quarters, self.reach)


def places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """How far each pixel is right of and below the centre, in pixels (h w)."""
    below = torch.arange(height, device=device) - (height - 1) / 2
    right = torch.arange(width, device=device) - (width - 1) / 2
    return right.expand(height, width), below[:, None].expand(height, width)


def laid(picture: Tensor, right: Tensor, below: Tensor) -> Tensor:
    """The picture (b c h w) as it lies on the table, if each pixel shows this place of it (h w), from its centre."""
    height, width = picture.shape[-2:]
    grid = torch.stack([right * (2 / width), below * (2 / height)], dim=-1).to(torch.float32)
    seen = F.grid_sample(
        picture.float(), grid.expand(len(picture), -1, -1, -1), padding_mode="border", align_corners=False
    )  # fmt: skip
    edge = torch.minimum(width / 2 - right.abs(), height / 2 - below.abs())
    there = (edge + 0.5).clamp(0, 1)
    return (TABLE + (seen - TABLE) * there).to(picture.dtype)


def spun(picture: Tensor, degrees: float) -> Tensor:
    """The picture (b c h w) turned counter-clockwise, as much smaller as it must be to stay in the frame."""
    height, width = picture.shape[-2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    away = max(abs(cos) + abs(sin) * height / width, abs(cos) + abs(sin) * width / height)
    right, below = places(height, width, picture.device)
    return laid(picture, (cos * right - sin * below) * away, (sin * right + cos * below) * away)


def turned_over(picture: Tensor, share: float, axis: int) -> Tensor:
    """The picture (b c h w) turned over like a page one sees through: axis -2 is end over end, -1 sideways.

    It turns about its middle by 180 degrees times the share, in perspective, from so far that it stays in the frame.
    """
    height, width = picture.shape[-2:]
    right, below = places(height, width, picture.device)
    across, along, side = (below, right, height) if axis == -2 else (right, below, width)
    cos, sin = math.cos(math.pi * share), math.sin(math.pi * share)
    eye = EYE * max(height, width)
    away = 1 + sin * side / 2 / (eye - side / 2)
    slant = eye * cos - across * away * sin
    turned = across * away * eye / torch.where(slant.abs() < 1e-3, 1e-3, slant)
    fixed = along * away * (1 + turned * sin / eye)
    return laid(picture, *((fixed, turned) if axis == -2 else (turned, fixed)))


def flown(picture: Tensor, pieces: Pieces, share: float, size: float = 1) -> Tensor:
    """The picture (b c h w) while its pieces are on their way, each along a line, turning as it goes.

    size: of the pieces while they fly; 1 is their own.
    """
    n = len(pieces.start)
    canvas = torch.where(pieces.owner == n, picture, torch.full_like(picture, TABLE)).float()
    for k in range(n):
        _lay(canvas, picture, pieces, k, share, size)
    return canvas.to(picture.dtype)


def _lay(canvas: Tensor, picture: Tensor, pieces: Pieces, k: int, share: float, size: float) -> None:
    """Puts piece k upon the canvas, which is written into."""
    start = pieces.start[k].tolist()
    down, right = pieces.start[k].lerp(pieces.end[k], share).tolist()
    quarters = (int(pieces.quarters[k]) + 1) % 4 - 1  # the shorter way round
    cos, sin = math.cos(math.pi / 2 * share * quarters), math.sin(math.pi / 2 * share * quarters)
    here, there = _window(picture, (down, right), pieces.reach), _window(picture, start, pieces.reach)
    if not canvas[here].numel():
        return
    y = (torch.arange(here[-2].start, here[-2].stop, device=picture.device)[:, None] - down) / size
    x = (torch.arange(here[-1].start, here[-1].stop, device=picture.device) - right) / size
    rows = sin * x + cos * y + start[0] - there[-2].start
    columns = cos * x - sin * y + start[1] - there[-1].start
    mine = (pieces.owner[there[1:]] == k).float().expand(len(picture), 1, -1, -1)
    part = torch.cat([picture[there].float(), mine], dim=1)
    scale = torch.tensor([part.shape[-1], part.shape[-2]], device=picture.device)
    grid = (2 * torch.stack([columns, rows], dim=-1) + 1) / scale - 1
    seen = F.grid_sample(part, grid.expand(len(picture), -1, -1, -1), align_corners=False)
    canvas[here] += (seen[:, :-1] - canvas[here]) * seen[:, -1:]


def _window(x: Tensor, centre: Sequence[float], reach: float) -> tuple[EllipsisType, slice, slice]:
    """What is within reach of a place of x (b c h w)."""
    rows, columns = (
        slice(max(0, math.floor(place - reach)), max(0, min(side, math.ceil(place + reach) + 1)))
        for place, side in zip(centre, x.shape[-2:], strict=True)
    )
    return ..., rows, columns


__all__ = ["TABLE", "Pieces", "flown", "laid", "places", "spun", "turned_over"]
