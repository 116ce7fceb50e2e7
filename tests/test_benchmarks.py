"""The benchmarks run, and compare like with like: both ways of every case end in the same picture. No timings here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = ("speed", "peers", "memory", "judge", "recognise")
BATCHED = 1e-4  # convolutions of several rows may round otherwise than of one


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(FOLDER))
    for name in NAMES:
        del sys.modules[name]


def test_both_ways_of_every_case_end_in_the_same_picture(benchmarks: dict[str, ModuleType]) -> None:
    speed = benchmarks["speed"]
    cases = {case.name: case for case in speed.cases(speed.opened("tiny", "cpu"), steps=3)}
    exact = {"plain / diffusers' pipeline", "anagram / paper's sampler"}
    assert exact < set(cases)
    for name, case in cases.items():
        ours, theirs = case.ours(), case.theirs()
        assert ours.shape == theirs.shape
        if case.same:
            torch.testing.assert_close(ours, theirs, atol=0 if name in exact else BATCHED, rtol=0)


def test_a_ratio_is_the_median_of_ours_over_theirs(benchmarks: dict[str, ModuleType], monkeypatch: Any) -> None:
    speed = benchmarks["speed"]
    x = torch.zeros(1)
    ours, theirs = (lambda: x), (lambda: x + 0.25)
    seconds = {ours: iter([2.0, 9.0, 3.0]), theirs: iter([4.0, 4.0, 4.0])}
    monkeypatch.setattr(speed, "timed", lambda way, device, clock: next(seconds[way]))
    row = speed.measured(speed.Case("a", ours, theirs, goal=0.8), 3, torch.device("cpu"), "wall")
    assert (row["ratio"], row["ours_ms"], row["theirs_ms"], row["difference"]) == (0.75, 3000, 4000, 0.25)
    facts = {"model": "m", "device": "cpu", "dtype": "d", "threads": 1, "steps": 3, "repeats": 3, "clock": "wall"}
    assert "0.750   0.8   2.5e-01" in speed.table({**facts, "cases": [row]})


def test_memory_is_measured_before_and_after(benchmarks: dict[str, ModuleType]) -> None:
    row = benchmarks["memory"].growth("tiny", "cpu", steps=1, rows=2)
    assert row["max_rows"] == 2
    assert row["peak_mb"] >= row["before_mb"] > 0
    assert row["growth_mb"] == pytest.approx(row["peak_mb"] - row["before_mb"], abs=0.06)


def test_the_judge_ranks_a_picture_s_own_caption_among_all(benchmarks: dict[str, ModuleType]) -> None:
    def by_colour(x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))  # logits: how red, how green, how blue

    images = [Image.new("RGB", (64, 64), colour) for colour in ((200, 100, 0), (200, 100, 0), (0, 100, 200))]
    places = benchmarks["recognise"].ranks(by_colour, ["red", "green", "blue"], images, ["red", "green", "red"])
    assert places.tolist() == [0, 1, 2]
    found = benchmarks["recognise"].report(["red", "green", "red"], torch.tensor([0, 4, 5]))
    assert (found["top1"], found["top5"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert found["places"] == {"red": [1, 6], "green": [5]}


def test_the_judge_s_augmentation_keeps_shape_and_range_and_depends_on_its_generator(
    benchmarks: dict[str, ModuleType],
) -> None:
    judge = benchmarks["judge"]
    pixels = torch.rand(4, 4, judge.SOURCE_SIDE, judge.SOURCE_SIDE, generator=torch.Generator().manual_seed(0))
    before = pixels.clone()
    first, again, other = (judge.augmented(pixels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (4, 3, judge.SIDE, judge.SIDE)
    assert first.abs().max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(pixels, before)
    logits = judge.Judge(7)(first)
    assert logits.shape == (4, 7)
    assert logits.abs().max() <= judge.TEMPERATURE * (1 + 1e-5)
