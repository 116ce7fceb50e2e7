"""The figures by which pictures are measured, of pictures whose figures are known."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

SIDE = 32


@pytest.fixture(scope="module")
def qualities() -> ModuleType:
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    import qualities as module

    sys.path.remove(folder)
    return module


def halves() -> torch.Tensor:
    x = torch.full((1, 3, SIDE, SIDE), 0.2)
    x[..., SIDE // 2 :] = 0.8
    return x


def test_the_median_is_torch_s_own_of_every_neighbourhood(qualities):
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    got = qualities.median(x)
    assert got[0, 1, 4, 5] == x[0, 1, 3:6, 4:7].median()
    assert got.shape == x.shape


def test_an_edge_is_no_speckle_and_single_pixels_are(qualities):
    clean = halves()
    assert qualities.speckle(clean) == qualities.LEAST
    thing = torch.full((1, 3, SIDE, SIDE), 0.9)
    thing[..., 4:-4, 4:-4] = 0.3
    dotted = thing.clone()
    dotted[:, :, 1::4, 1::4] += 0.1  # one pixel of 16, on the thing as well as on its ground
    assert qualities.speckle(thing) == qualities.LEAST
    assert qualities.speckle(dotted) == pytest.approx(0.1 / 16, rel=0.15)
    assert not qualities.flat(clean)[..., SIDE // 2].any()
    assert qualities.flat(clean)[..., 2].all()


def test_diversity_is_a_mean_over_pairs(qualities):
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    assert qualities.diversity(features) == pytest.approx((1 + 2 + 1) / 3)
    assert qualities.diversity(torch.ones(4, 3)) == pytest.approx(0, abs=1e-6)


def test_a_seam_is_a_step_at_the_edge_of_a_mask(qualities):
    slope = torch.linspace(0, 1, SIDE).expand(1, 3, SIDE, SIDE).clone()
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    mask[:, :, 10:20] = True
    assert qualities.seam(slope, mask) == pytest.approx(1)
    pasted = slope.clone()
    pasted[..., 10:20] += 10 / (SIDE - 1)  # ten steps of the slope
    assert qualities.seam(pasted, mask) == pytest.approx((11 + 9) / 2)


def test_silhouettes_overlap_by_their_common_share(qualities):
    one, other = (torch.full((1, 3, SIDE, SIDE), 0.9) for _ in range(2))
    one[..., 4:12, 4:12], other[..., 4:12, 8:16] = 0.1, 0.1
    first, second = (qualities.silhouette(x)[0] for x in (one, other))
    assert first.sum() == 64
    assert qualities.overlap(first, second) == pytest.approx(1 / 3)
    assert qualities.overlap(first & False, second & False) == 1
