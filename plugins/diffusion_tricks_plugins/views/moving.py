"""How a picture moves in a film of a view: turned in its plane, turned over in depth, cut into pieces that fly.

Plain geometry; there is no paper behind it. Where the picture is not, the table is seen that it lies on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    centres = pieces.start.lerp(pieces.end, share).tolist()
    starts, quarters = pieces.start.tolist(), pieces.quarters.tolist()
    for k in range(n):
        degrees = 90 * share * (quarters[k] - 4 if quarters[k] == 3 else quarters[k])
        _lay(canvas, picture, pieces.owner == k, (starts[k], centres[k]), degrees, size, pieces.reach)
    return canvas.to(picture.dtype)


def _lay(
    canvas: Tensor, picture: Tensor, mine: Tensor, way: tuple[list[float], list[float]], degrees: float, size: float,
    reach: float,
) -> None:  # fmt: skip
    """Puts one piece upon the canvas, which is written into."""
    height, width = picture.shape[-2:]
    (from_y, from_x), (to_y, to_x) = way
    top, left = max(0, math.floor(to_y - reach)), max(0, math.floor(to_x - reach))
    bottom, end = min(height, math.ceil(to_y + reach) + 1), min(width, math.ceil(to_x + reach) + 1)
    if bottom <= top or end <= left:
        return
    y = (torch.arange(top, bottom, device=picture.device)[:, None] - to_y) / size
    x = (torch.arange(left, end, device=picture.device) - to_x) / size
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    up, low = max(0, math.floor(from_y - reach)), min(height, math.ceil(from_y + reach) + 1)
    near, far = max(0, math.floor(from_x - reach)), min(width, math.ceil(from_x + reach) + 1)
    rows, columns = sin * x + cos * y + from_y - up, cos * x - sin * y + from_x - near
    grid = torch.stack([(2 * columns + 1) / (far - near) - 1, (2 * rows + 1) / (low - up) - 1], dim=-1).float()
    part = torch.cat([picture[..., up:low, near:far].float(), mine[up:low, near:far].float().expand(
        len(picture), 1, -1, -1)], dim=1)  # fmt: skip
    sampled = F.grid_sample(part, grid.expand(len(picture), -1, -1, -1), align_corners=False)
    colours, there = sampled[:, :-1], sampled[:, -1:]
    window = canvas[..., top:bottom, left:end]
    window += (colours - window) * there


__all__ = ["TABLE", "Pieces", "flown", "laid", "places", "spun", "turned_over"]
