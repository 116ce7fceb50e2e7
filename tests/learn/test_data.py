"""`learn data`: what is shown of training data, and what is measured of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from command_line import run
from diffusion_tricks.training import open_source
from diffusion_tricks_learn.experiments.data import data
from diffusion_tricks_learn.findings import last
from diffusion_tricks_learn.session import Session


def plain_pictures(folder: Path, **grays: tuple[int, ...]) -> Path:
    """Six pictures for each class, each of one gray, in turn."""
    for name, those in grays.items():
        (folder / name).mkdir(parents=True)
        for i in range(6):
            Image.new("RGB", (8, 8), (those[i % len(those)],) * 3).save(folder / name / f"{i}.png")
    return folder


def test_shares_and_pixels_of_each_class_are_those_of_what_is_drawn() -> None:
    found = last(data(Session(seed=3), "shapes", size=8))
    source, random = open_source("shapes", size=8), np.random.default_rng(3)
    batch = source.draw(random.permutation(len(source))[:500].tolist(), random)
    for number, row in enumerate(found.table):
        pixels = batch.pictures[batch.classes == number].numpy()
        assert row["class"] == source.classes[number]
        assert row["share"] == len(pixels) / 500
        assert math.isclose(row["mean_of_pixels"], pixels.mean(dtype=np.float64), abs_tol=1e-5)
        assert math.isclose(row["std_of_pixels"], pixels.std(dtype=np.float64), abs_tol=1e-5)
    assert found.numbers["measured_pictures"] == 500


def test_the_mean_of_a_class_stands_below_it(tmp_path: Path) -> None:
    folder = plain_pictures(tmp_path / "grays", mixed=(0, 200), white=(255,))
    found = last(data(Session(seed=0), str(folder), size=8))
    assert found.table[1]["mean_of_pixels"] == 1
    assert found.table[1]["std_of_pixels"] == 0
    lowest = np.asarray(found.figure)[-20]  # a line of the last row of tiles
    assert (lowest == 100).all(1).sum() == (lowest == 255).all(1).sum() > 80


def test_data_without_classes_is_shown_with_its_captions(tmp_path: Path) -> None:
    folder = plain_pictures(tmp_path / "grays", only=(128,))
    found = last(data(Session(seed=0), str(folder), size=8))
    assert [row["class"] for row in found.table] == ["all"]
    assert found.figure.width > 0


def test_the_same_seed_shows_the_same() -> None:
    first, again, other = (last(data(Session(seed=seed), "shapes", size=8)).figure.tobytes() for seed in (1, 1, 2))
    assert first == again != other


def test_unknown_data_is_refused_with_what_there_is(tmp_path: Path) -> None:
    refused = run("learn", "data", "digitz", "--out", tmp_path / "out")
    assert refused.code == 2
    assert "did you mean 'digits'" in refused.err
    missing = run("learn", "data", tmp_path / "none" / "there", "--out", tmp_path / "out")
    assert missing.code == 2
    assert "does not exist" in missing.err


def test_another_model_takes_no_part_and_that_is_said(tmp_path: Path) -> None:
    done = run("learn", "data", "shapes", "--size", 8, "-m", "emoji", "--out", tmp_path / "out")
    assert done.code == 0
    assert "`model` emoji is not used" in done.err
