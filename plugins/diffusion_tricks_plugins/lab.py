"""CIELAB of pictures and back, for all values, so that what lies out of gamut is taken apart and put together too.

    L = 116 f(Y) - 16,   a = 500 (f(X) - f(Y)),   b = 200 (f(Y) - f(Z)),   X Y Z over those of white, D65     CIE 15
    f(t) = t^(1/3) above (6/29)^3, else t / (3 (6/29)^2) + 4/29

sRGB's curve (IEC 61966-2-1) is continued below 0 as an odd function.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
OPPOSED = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))  # of f(X) f(Y) f(Z), L but for 16
LINEAR, OF_F = (torch.tensor(rows, dtype=torch.float64) for rows in (XYZ, OPPOSED))
RELATIVE = LINEAR / LINEAR.sum(1, keepdim=True)  # linear sRGB to X Y Z over those of white
RELATIVE_BACK, OF_F_BACK = torch.linalg.inv(RELATIVE), torch.linalg.inv(OF_F)  # here, as no device need invert them
EDGE = 6 / 29
HALVINGS = 26


def to_lab(x: Tensor) -> Tensor:
    """sRGB (b 3 h w) of -1..1 as L of 0..100, a and b (b 3 h w)."""
    return _mixed(_f(_mixed(_linear((x + 1) / 2), RELATIVE)), OF_F) - _offset(x)


def from_lab(lab: Tensor) -> Tensor:
    """The inverse of `to_lab`."""
    return 2 * _curved(_mixed(_f_inverse(_mixed(lab + _offset(lab), OF_F_BACK)), RELATIVE_BACK)) - 1


def most_colour(coloured: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """A picture (b 3 h w) with the largest share of its colour, at each pixel, that stays within -1..1.

    coloured: the picture with a share (b 1 h w) of its colour, 0 to 1; of 0 it is gray, and taken for within. The share
    is found by halving, but for a share of 1. like: a tensor of the picture's shape.
    """
    none = torch.zeros_like(like[:, :1])
    whole, low = coloured(none + 1), none
    for k in range(1, HALVINGS + 1):
        more = low + 0.5**k
        low = torch.where(_fits(coloured(more)), more, low)
    return torch.where(_fits(whole), whole, coloured(low))


def _fits(picture: Tensor) -> Tensor:
    return picture.abs().amax(1, keepdim=True) <= 1


def _offset(x: Tensor) -> Tensor:
    return x.new_tensor((16.0, 0, 0))[:, None, None]


def _mixed(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix.to(x.dtype).to(x.device), x)


def _f(t: Tensor) -> Tensor:
    return torch.where(t > EDGE**3, t.clamp(min=EDGE**3) ** (1 / 3), t / (3 * EDGE**2) + 4 / 29)


def _f_inverse(f: Tensor) -> Tensor:
    return torch.where(f > EDGE, f**3, 3 * EDGE**2 * (f - 4 / 29))


def _linear(rgb: Tensor) -> Tensor:
    size = rgb.abs()
    return rgb.sign() * torch.where(size > 0.04045, ((size + 0.055) / 1.055) ** 2.4, size / 12.92)


def _curved(light: Tensor) -> Tensor:
    size = light.abs()
    high = 1.055 * size.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return light.sign() * torch.where(size > 0.0031308, high, size * 12.92)
