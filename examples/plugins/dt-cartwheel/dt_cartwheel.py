"""x(share) = the picture turned by share * 180 degrees, smaller on its way, so that its corners stay in sight."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import hookimpl

if TYPE_CHECKING:  # so that the command line's help costs no torch
    from torch import Tensor

    from diffusion_tricks.plugin import View

GROUND = 1.0  # white, of -1..1


def cartwheel(view: View, picture: Tensor, share: float) -> Tensor:
    """A picture (b c h w) of -1..1 at a share of the way through a half turn, 0 to 1, on white."""
    import torch
    import torch.nn.functional as F

    angle, size = math.pi * share, 1 / (abs(math.cos(math.pi * share)) + abs(math.sin(math.pi * share)))
    cos, sin, aspect = math.cos(angle) / size, math.sin(angle) / size, picture.shape[-1] / picture.shape[-2]
    turn = picture.new_tensor([[cos, sin / aspect, 0], [-sin * aspect, cos, 0]])  # from what is seen to what is there
    grid = F.affine_grid(turn.expand(len(picture), -1, -1), list(picture.shape), align_corners=False)
    there = F.grid_sample(picture - GROUND, grid, align_corners=False)
    return torch.clamp(there + GROUND, -1, 1)


@hookimpl
def register_movements(register: Callable[..., None]) -> None:
    """How a film goes through `rotate_180`."""
    register("cartwheel", "dt_cartwheel:cartwheel", view="rotate_180", summary="over and smaller, on white")
