"""The trainers' door: what it gives, and that looking through it costs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import diffusion_tricks.training as door
from diffusion_tricks.errors import UsageError
from diffusion_tricks.training import metrics, open_source, page_of
from training_data import Stripes, trained


def test_every_name_is_there() -> None:
    assert all(getattr(door, name) is not None for name in door.__all__)
    assert dir(door) == door.__all__
    assert {
        "train",
        "TrainOptions",
        "options_from",
        "PRESETS",
        "preset",
        "open_source",
        "Source",
        "Batch",
        "metrics",
    } <= {*door.__all__}
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        door.trian  # noqa: B018


def test_options_and_presets_cost_no_torch() -> None:
    code = (
        "import sys; from diffusion_tricks.training import PRESETS, TrainOptions, options_from\n"
        "assert options_from({}, 'class-quick').timesteps == 400 and PRESETS\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_rows_of_a_training(tmp_path: Path) -> None:
    trained(tmp_path / "out", steps=6)
    assert [row["step"] for row in metrics(tmp_path / "out")] == [3, 5, 6]  # 5 ends an epoch


def test_a_page_of_data_has_a_column_for_each_class() -> None:
    page = page_of(open_source("digits", size=16), rows=3, columns=12, seed=1)
    assert (page.pictures.shape, page.columns) == ((30, 1, 16, 16), 10)
    assert page.captions == [*"0123456789"] * 3
    assert not torch.equal(page.pictures[0], page.pictures[10])


def test_a_column_of_a_page_shows_its_class() -> None:
    page = page_of(Stripes(), rows=4, columns=2)
    assert page.captions == ["upright", "flat"] * 4
    along = (page.pictures[:, 0].diff(dim=1).abs().amax((1, 2)) < 1e-6).tolist()  # no change from row to row
    assert along == [True, False] * 4


def test_a_page_of_more_classes_than_columns_shows_what_comes() -> None:
    page = page_of(open_source("digits", size=16), rows=2, columns=4)
    assert (len(page.pictures), page.columns, len(page.captions or [])) == (8, 4, 8)
    with pytest.raises(UsageError, match="1 row or more"):
        page_of(Stripes(), rows=0)
