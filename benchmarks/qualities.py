"""Figures of single pictures and of few: speckle, diversity, seams, silhouettes. Pictures are (n 3 h w) in 0..1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FLAT = 0.06  # range of brightness within 5 x 5 pixels, of the picture without its speckle
LEAST = 1e-4  # of 0..1, far below a step of 8 bits: what divides
APART = 0.12  # from the ground, of 1, where a silhouette begins
BORDER = 2  # pixels on each side of a mask's edge


def median(x: Tensor) -> Tensor:
    """The median of each 3 x 3 neighbourhood, edges repeated."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)  # (n 3 h w 3 3)
    return windows.flatten(4).median(4).values


def flat(x: Tensor) -> Tensor:
    """Where the picture without its speckle hardly changes: (n 1 h w)."""
    smooth = median(median(x)).mean(1, keepdim=True)
    span = F.max_pool2d(smooth, 5, 1, 2) + F.max_pool2d(-smooth, 5, 1, 2)
    return span < FLAT


def speckle(x: Tensor) -> float:
    """The mean absolute difference to the 3 x 3 median in flat areas of the things, not of the grounds, or `LEAST`."""
    where = (flat(x) & silhouette(x)[:, None]).expand_as(x)
    return max(LEAST, float((x - median(x)).abs()[where].mean())) if where.any() else LEAST


def diversity(features: Tensor) -> float:
    """The mean of 1 - cosine between all pairs of rows (n d)."""
    unit = F.normalize(features, dim=1)
    pairs = torch.triu_indices(len(unit), len(unit), offset=1)
    return float(1 - (unit[pairs[0]] * unit[pairs[1]]).sum(1).mean())


def seam(x: Tensor, mask: Tensor) -> float:
    """How much larger differences of neighbours are across a mask's edge than beside it, on either side.

    mask: (1 h w), true where the picture was made new.  1 is no seam at all.
    """
    across, beside = [], []
    for dim in (1, 2):
        steps = (x[0].diff(dim=dim)).abs().mean(0)
        edge = mask[0].float().diff(dim=dim - 1).abs() > 0
        near = F.max_pool2d(edge[None].float(), 2 * BORDER + 1, 1, BORDER)[0] > 0
        across.append(steps[edge])
        beside.append(steps[near & ~edge])
    return float(torch.cat(across).mean() / torch.cat(beside).mean().clamp(min=LEAST))


def silhouette(x: Tensor) -> Tensor:
    """Where a picture is not its ground, which is the median of its border: (n h w)."""
    border = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], 2)  # (n 3 2h+2w)
    ground = border.median(2).values[:, :, None, None]
    return (x - ground).abs().amax(1) > APART


def overlap(one: Tensor, other: Tensor) -> float:
    """The intersection of two masks over their union; two empty ones are alike."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0
