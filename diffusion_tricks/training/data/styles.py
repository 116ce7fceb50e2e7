"""Styles that captions name, rendered: what makes a picture look painted, sketched, in blocks or cut out."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GRAY = (0.299, 0.587, 0.114)  # luma weights of ITU-R BT.601


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (c h w), sigma in pixels, reflect padding."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype)
    kernel = (-(offsets**2) / (2 * sigma**2)).exp()
    kernel = (kernel / kernel.sum()).expand(len(x), 1, -1)
    x = F.pad(x[None], (radius,) * 4, mode="reflect")
    x = F.conv2d(x, kernel[:, :, None, :], groups=kernel.shape[0])
    return F.conv2d(x, kernel[:, :, :, None], groups=kernel.shape[0])[0]


def smooth_noise(size: int, sigma: float, random: np.random.Generator) -> Tensor:
    """Noise of mean 0 and deviation 1 whose grains are about `sigma` pixels: (1 size size)."""
    rough = blur(torch.from_numpy(random.standard_normal((1, size, size), dtype=np.float32)), sigma)
    return (rough - rough.mean()) / rough.std()


def luma(x: Tensor) -> Tensor:
    """Brightness (1 h w) of colours (3 h w)."""
    return (x * x.new_tensor(GRAY)[:, None, None]).sum(0, keepdim=True)


def kuwahara(x: Tensor, radius: int) -> Tensor:
    """Each pixel takes the mean of the calmest of its four corner windows (Kuwahara et al. 1976): (c h w)."""
    side = radius + 1
    padded = F.pad(x[None], (radius,) * 4, mode="reflect")
    means = F.avg_pool2d(padded, side, 1)
    spread = (F.avg_pool2d(padded**2, side, 1) - means**2).sum(1, keepdim=True)
    h, w = x.shape[1:]
    corners = [(dy, dx) for dy in (0, radius) for dx in (0, radius)]
    spreads = torch.stack([spread[0, :, dy : dy + h, dx : dx + w] for dy, dx in corners])  # (4 1 h w)
    windows = torch.stack([means[0, :, dy : dy + h, dx : dx + w] for dy, dx in corners])  # (4 c h w)
    return windows.gather(0, spreads.argmin(0, keepdim=True).expand(1, len(x), h, w))[0]


def oil_painting(x: Tensor, cover: Tensor, random: np.random.Generator) -> Tensor:
    """Strokes of flat colour, rich colours, and a painted ground where the picture is plain."""
    size = x.shape[-1]
    unit = size / 64
    ground = torch.from_numpy(random.uniform(0.55, 0.95, (3, 1, 1)).astype(np.float32))
    strokes = smooth_noise(size, 1.2 * unit, random) * 0.05 + smooth_noise(size, 4 * unit, random) * 0.04
    x = cover * x + (1 - cover) * (ground + strokes)
    x = x + cover * smooth_noise(size, unit, random) * 0.05
    painted = kuwahara(x, round(2 * unit))
    return luma(painted) + 1.25 * (painted - luma(painted))


def pencil_sketch(x: Tensor, cover: Tensor, random: np.random.Generator) -> Tensor:
    """Gray lines on white paper: brightness divided by its blurred self (colour dodge), with light shading."""
    size = x.shape[-1]
    gray = luma(cover * x + (1 - cover))
    lines = (gray / blur(gray, 1.6 * size / 64).clamp(min=0.05)).clamp(0, 1)
    shade = 0.75 + 0.25 * gray
    hatching = 1 - (1 - gray) * 0.12 * smooth_noise(size, 0.7 * size / 64, random).abs()
    return (lines**1.6 * shade * hatching).expand(3, size, size)


def pixel_art(x: Tensor, cover: Tensor, random: np.random.Generator) -> Tensor:
    """Twenty-two blocks a side, six levels a colour."""
    blocks = F.interpolate(x[None], size=(22, 22), mode="area")
    blocks = (blocks * 5).round() / 5
    return F.interpolate(blocks, size=x.shape[-2:], mode="nearest")[0]


def silhouette(x: Tensor, cover: Tensor, random: np.random.Generator) -> Tensor:
    """Black where the thing is, white elsewhere."""
    return (1 - cover * 0.94).expand(3, *cover.shape[1:])


def watercolour(x: Tensor, cover: Tensor, random: np.random.Generator) -> Tensor:
    """Pale washes that pool at their edges, on grainy white paper."""
    size = x.shape[-1]
    unit = size / 64
    wash = blur(cover * x + (1 - cover), 0.8 * unit)
    pigment = (1 - wash) * (0.72 + 0.13 * smooth_noise(size, 3 * unit, random))
    edge = (blur(cover, 1.5 * unit) * (1 - blur(cover, 1.5 * unit)) * 4).clamp(0, 1)
    paper = 0.97 + 0.015 * smooth_noise(size, 0.6 * unit, random)
    return paper - pigment * (1 + 0.25 * edge)


RENDER = {
    "oil painting": oil_painting,
    "pencil sketch": pencil_sketch,
    "pixel art": pixel_art,
    "silhouette": silhouette,
    "watercolour": watercolour,
}


def styled(x: Tensor, cover: Tensor, style: str, random: np.random.Generator) -> Tensor:
    """A picture (3 h w), its thing's coverage `cover` (1 h w), both in 0..1, in the named style; "" changes nothing."""
    return RENDER[style](x, cover, random).clamp(0, 1) if style else x
