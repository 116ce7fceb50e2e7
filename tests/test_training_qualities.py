"""The figures by which pictures are measured, of pictures whose figures are known."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from diffusion_tricks import Recipe
from test_training_drawn import drawings

SIDE = 32


BENCHMARKS = ("qualities", "judge", "verdicts", "drawings", "measures", "looks", "reworked", "claims", "second_stage")


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    yield {name: importlib.import_module(name) for name in BENCHMARKS}
    sys.path.pop(0)
    for name in BENCHMARKS:
        del sys.modules[name]


@pytest.fixture
def qualities(benchmarks) -> ModuleType:
    return benchmarks["qualities"]


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


class Idle:
    """A bench whose model gives back the picture it is given, or gray, and whose judge recognises all."""

    recipe, limit, judge = Recipe(seed=1), 8, None

    def make(self, tricks: Any = (), count: int = 1, **_: Any) -> list[Any]:
        image = Image.open(tricks[0].options["image"]).copy() if tricks else Image.new("RGB", (64, 64), "gray")
        return [SimpleNamespace(image=image)] * count

    def places(self, images: Any, wanted: Any) -> torch.Tensor:
        return torch.zeros(len(images), dtype=torch.long)


def test_a_picture_that_is_left_as_it_is_has_no_seam_and_the_same_silhouette(benchmarks):
    pytest.importorskip("skimage")
    rows, made = benchmarks["reworked"].inpaintings(Idle())
    assert [one.name for one in made][:2] == ["butterfly", "rabbit"]
    assert all(0.5 < one.seam < 2 for one in made)
    assert rows[0].value == 100
    rows, redrawn = benchmarks["reworked"].edits(Idle())
    assert [one.overlap for one in redrawn] == [1] * 8
    assert (rows[0].value, rows[0].goal) == (8, 6.4)


def test_things_are_held_against_their_own_drawings(benchmarks, tmp_path, monkeypatch):
    drawings(64).write(tmp_path / "drawings.npz")
    judge, looks = benchmarks["judge"], benchmarks["looks"]
    known = judge.originals(tmp_path / "drawings.npz")
    assert known.names == ["rabbit", "musical note", "duck", "castle"]
    assert known.pixels.shape == (19, 4, judge.SOURCE_SIDE, judge.SOURCE_SIDE)
    assert known.labels.tolist() == drawings().things.tolist()
    assert looks.Drawn(tmp_path / "drawings.npz").of("duck").shape == (4, 3, 64, 64)
    things = [looks.Asked("a rabbit", "rabbit"), looks.Asked("a bunny", "rabbit", main=False)]
    monkeypatch.setattr(looks, "every_caption", lambda: things)
    bench = Idle()
    bench.judge = judge.Judge(4).eval()
    speckle, diversity = looks.looks(bench, tmp_path / "drawings.npz")
    assert speckle.value == pytest.approx(1)  # neither has any
    assert diversity.value == pytest.approx(0, abs=1e-3)  # all seeds are alike
    assert "1 things" in diversity.note


KNOWN = {
    "a rabbit": (1.0, 0.0, 0.0),
    "a bunny": (0.9, 0.1, 0.0),
    "a duck": (0.0, 1.0, 0.0),
    "a castle": (0.0, 0.6, 0.8),
}


class Told:
    """A scorer whose pictures are vectors already, and whose texts are those of `KNOWN`."""

    known = tuple(KNOWN)

    def pictures(self, pictures: Any) -> torch.Tensor:
        return torch.tensor(pictures)

    def texts(self, texts: Any) -> torch.Tensor:
        return torch.tensor([KNOWN[text] for text in texts])


def test_a_name_is_ranked_among_those_of_other_things(benchmarks):
    """The picture of a bunny looks most like a rabbit, which is the same thing; that of a castle is a duck."""
    claims = benchmarks["claims"]
    asked = [claims.Name(text, thing, thing == "rabbit")
             for text, thing in (("rabbit", "rabbit"), ("bunny", "rabbit"), ("castle", "castle"))]  # fmt: skip
    pictures = [(1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)]
    found = claims.places(Told(), asked, pictures)
    assert found.tolist() == [0, 0, 1]
    assert claims.line("all", found) == "all: 67% first, 100% in the first 5, of 3"
    assert claims.line("none", found[:0]) == "none: none"


def test_names_are_those_of_the_first_things(benchmarks):
    names = benchmarks["claims"].names(3, 2)
    assert [(name.text, name.thing, name.taught) for name in names[:4]] == [
        ("rabbit", "rabbit", True), ("bunny", "rabbit", True), ("hare", "rabbit", True), ("duck", "duck", True),
    ]  # fmt: skip
    assert {name.thing for name in names if not name.taught} == {"dog face"}


def test_flat_squares_and_edges_are_those_of_the_drawing(benchmarks):
    """Stripes of deviation 0.1 on a square that is one colour, half the step at its edges."""
    stage = benchmarks["second_stage"]
    large = torch.ones(1, 3, 96, 96)
    large[..., 16:80, 16:80] = -0.5
    striped = large.clone()
    striped[..., 16:80, 16:80:2] += 0.2
    assert stage.flatness(large, large) == 0
    assert stage.flatness(striped, large) == pytest.approx(0.1, rel=0.01)
    striped[..., :16, :] = torch.rand(16, 96)  # a ground
    assert stage.flatness(striped, large) == pytest.approx(0.1, rel=0.01)
    assert stage.sharpness(large, large) == 1
    assert stage.sharpness(large / 2, large) == pytest.approx(0.5)
    assert stage.sharpness(torch.zeros_like(large), large) == 0
    small = stage.shrunk(large, stage.FACTOR)
    assert stage.resampled(small).shape == large.shape
