"""Sheets and figures of a training: what is drawn where, what is refused, and that older ones are replaced whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_tricks.errors import DiffusionTricksError, ModelError, OutputError, UsageError
from diffusion_tricks.io.grid import labelled_grid
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.training.curves import HELD_OUT, PALE, TRAIN, Axes, multiples, smoothed
from diffusion_tricks.training.figures import denoiser_figure, loss_figure, sheet

Array = np.ndarray[Any, Any]


def pixels(file: Path) -> Array:
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def near(page: Array, colour: tuple[int, int, int], reach: int = 12) -> Array:
    found: Array = (abs(page - np.array(colour)) <= reach).all(2)
    return found


# --- sheets -----------------------------------------------------------------------------------------------------


def test_a_sheet_holds_every_picture_in_crisp_squares(tmp_path: Path) -> None:
    pictures = torch.rand(5, 3, 4, 4) * 2 - 1
    sheet(pictures, tmp_path / "a.png", columns=3, scale=2)
    page = pixels(tmp_path / "a.png")
    assert page.shape == (2 * (8 + 6) + 6, 3 * (8 + 6) + 6, 3)
    expected = ((pictures + 1) * 127.5).round().int().permute(0, 2, 3, 1).numpy()
    for i in range(5):
        y, x = 6 + i // 3 * 14, 6 + i % 3 * 14
        tile = page[y : y + 8, x : x + 8]
        assert abs(tile - expected[i].repeat(2, 0).repeat(2, 1)).max() <= 1
    assert len(np.unique(page[20:28, 34:].reshape(-1, 3), axis=0)) == 1  # the sixth place is empty


@pytest.mark.parametrize(("side", "scale"), [(28, 4), (32, 4), (64, 2), (256, 1)])
def test_small_pictures_are_enlarged(side: int, scale: int, tmp_path: Path) -> None:
    sheet(torch.zeros(4, 1, side, side), tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == (2 * (side * scale + 6) + 6,) * 2


def test_captions_stand_whole_below_their_pictures(tmp_path: Path) -> None:
    long = "an oil painting of a rabbit on a light blue background with a red hat and two green shoes"
    sheet(torch.zeros(2, 1, 28, 28), tmp_path / "a.png", columns=2, captions=[long, ""])
    expected = labelled_grid([Image.new("RGB", (28, 28), (128,) * 3)] * 2, captions=[long, ""], across=2)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), np.asarray(expected).astype(int))


def test_names_of_classes_stand_once_above_their_columns(tmp_path: Path) -> None:
    pictures = torch.rand(5, 1, 28, 28) * 2 - 1
    sheet(pictures, tmp_path / "a.png", columns=2, captions=["zero", "one"] * 2 + ["zero"], title="epoch 5, guidance 5")
    tiles = to_images(pictures.expand(-1, 3, -1, -1))
    expected = labelled_grid(tiles, columns=["zero", "one"], title="epoch 5, guidance 5")
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), np.asarray(expected).astype(int))


def test_a_sheet_replaces_an_older_one_and_only_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    sheet(torch.zeros(1, 1, 8, 8), file)
    before = file.read_bytes()
    with pytest.raises(ModelError, match="NaN"):
        sheet(torch.full((1, 1, 8, 8), math.nan), file)
    assert file.read_bytes() == before
    sheet(torch.ones(1, 1, 8, 8), file)
    assert file.read_bytes() != before
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_sheet_is_refused(tmp_path: Path) -> None:
    for shape in ((3, 8, 8), (0, 3, 8, 8), (1, 2, 8, 8)):
        with pytest.raises(UsageError, match=r"expected pictures \(n c h w\) of 1 or 3 channels"):
            sheet(torch.zeros(shape), tmp_path / "a.png")
    with pytest.raises(UsageError, match="a caption for each of 2 pictures, got 1"):
        sheet(torch.zeros(2, 1, 8, 8), tmp_path / "a.png", captions=["one"])
    with pytest.raises(UsageError, match="1 column or more and a scale of 1 or more"):
        sheet(torch.zeros(2, 1, 8, 8), tmp_path / "a.png", columns=-1)
    with pytest.raises(OutputError, match="does not exist"):
        sheet(torch.zeros(2, 1, 8, 8), tmp_path / "nowhere" / "a.png")
    assert not list(tmp_path.iterdir())


# --- losses -----------------------------------------------------------------------------------------------------


def test_losses_lie_where_the_axes_say(tmp_path: Path) -> None:
    """A loss that falls by the same factor each step is a straight line on a log scale."""
    rows: list[dict[str, object]] = [{"step": i, "loss": 10 ** (-i / 50), "held_out": None} for i in range(101)]
    loss_figure(rows, tmp_path / "a.png")
    page = pixels(tmp_path / "a.png")
    inked = near(page, TRAIN, 40)[150:]  # below the legend
    columns = np.arange(350, 950, 50)
    heights = [np.nonzero(inked[:, x])[0].mean() for x in columns]
    slope, start = np.polyfit(columns, heights, 1)
    assert slope > 0.4
    np.testing.assert_allclose(heights, slope * columns + start, atol=1.5)
    assert not near(page, HELD_OUT, 40).any()


def test_train_is_drawn_raw_and_smooth_and_held_out_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [
        {"step": i, "loss": float(random.uniform(0.01, 0.1)), "held_out": 0.2 if i % 50 == 0 else None}
        for i in range(400)
    ]
    loss_figure(rows, tmp_path / "a.png")
    page = pixels(tmp_path / "a.png")
    for colour in (TRAIN, PALE, HELD_OUT):
        assert near(page, colour).sum() > 300
    assert np.ptp(np.nonzero(near(page, PALE).any(1))[0]) > 2 * np.ptp(np.nonzero(near(page, TRAIN)[150:].any(1))[0])


def test_smoothing_is_the_mean_around_and_does_not_lag() -> None:
    straight = [(float(i), 1000.0 - i) for i in range(600)]
    line = smoothed(straight)
    np.testing.assert_allclose([y for _, y in line[:590]], [y for _, y in straight[:590]], rtol=1e-9)
    noisy = [(float(i), 1.0 + (-1) ** i) for i in range(600)]
    assert max(abs(y - 1) for _, y in smoothed(noisy)[20:]) < 0.1
    assert smoothed([]) == []
    assert smoothed([(1.0, 2.0)]) == [(1.0, 2.0)]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 0, "loss": 0.5}],
        [{"step": 5, "held_out": 0.5}],
        [{"step": i, "loss": 0.25} for i in range(9)],
        [{"step": i, "loss": value} for i, value in enumerate([math.nan, math.inf, 0.0, -1.0, 0.5, 0.4])],
        [{"step": i, "loss": 10.0 ** (8 - i)} for i in range(17)],
        [{"loss": 1.0}, {"step": 1}, {"step": 2, "loss": "none"}],
    ],
    ids=["none", "one", "held out only", "constant", "not all finite", "wide", "broken"],
)
def test_any_losses_make_a_figure(rows: list[dict[str, object]], tmp_path: Path) -> None:
    for _ in range(2):  # the second replaces the first
        loss_figure(rows, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == (1200, 720)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 20_000), (350, 900), (0.02, 0.05), (0, 7)])
def test_ticks_are_few_round_numbers_inside(low: float, high: float) -> None:
    ticks = multiples(low, high, 8)
    assert 3 <= len(ticks) <= 8
    assert low - 1e-9 <= min(ticks) <= max(ticks) <= high + 1e-9
    steps = np.diff(ticks)
    np.testing.assert_allclose(steps, steps[0])
    assert f"{steps[0]:e}"[0] in "125"


@pytest.mark.parametrize("span", [(0.01, 1.0), (0.02, 0.03), (1e-6, 1e3), (0.5, 0.5), (0.0999, 0.1001)])
def test_losses_get_a_few_labels(span: tuple[float, float]) -> None:
    axes = Axes.around([(0.0, span[0]), (10.0, span[1])])
    values = axes.values()
    assert 3 <= len(values) <= 12
    assert all(axes.low - 1e-9 <= math.log10(value) <= axes.high + 1e-9 for value in values)
    assert len({f"{value:.4g}" for value in values}) == len(values)


# --- the one-step denoiser --------------------------------------------------------------------------------------

SIGMAS = [0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5]


def test_the_denoiser_has_a_column_a_level_and_three_rows_a_picture(tmp_path: Path) -> None:
    tones = torch.linspace(-1, 1, 8 * 3 * 2).reshape(3, 8, 2, 1, 1, 1).expand(-1, -1, -1, 1, 8, 8)
    errors = {"before": [0.1] * 8, "after": [0.01] * 8}
    denoiser_figure(tones[0], tones[1], tones[2], SIGMAS, tmp_path / "a.png", trained=0.5, errors=errors, scale=8)
    page = pixels(tmp_path / "a.png")
    left = page.shape[1] - 8 * (64 + 6)
    top = next(y for y in range(page.shape[0]) if abs(page[y, left : left + 64]).max() <= 1)  # the darkest tone's
    for row in range(3):
        for level in range(8):
            for number in range(2):
                y, x = top + (3 * number + row) * 70, left + level * 70
                value = round((float(tones[row, level, number, 0, 0, 0]) + 1) * 127.5)
                tile = page[y : y + 64, x : x + 64]
                assert abs(tile - value).max() <= 1


def test_the_trained_level_alone_is_marked(tmp_path: Path) -> None:
    x = torch.zeros(8, 1, 1, 8, 8)
    denoiser_figure(x, x, x, SIGMAS, tmp_path / "a.png", trained=0.5, errors={"after": [0.5] * 8})
    page = pixels(tmp_path / "a.png")
    red = (page[..., 0] - page[..., 2] > 60).any(0)
    wide = 112 + 6
    left = page.shape[1] - 8 * wide
    assert red[left + 3 * wide : left + 4 * wide].any()
    assert not red[: left + 3 * wide].any()
    assert not red[left + 4 * wide :].any()


def test_levels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    x = torch.zeros(8, 1, 1, 8, 8)
    for noisy, sigmas, errors, message in (
        (x[0], SIGMAS, {}, "three tensors"),
        (x, SIGMAS[:3], {}, "8 noise levels"),
        (x, SIGMAS, {"after": [0.1]}, "as many errors, got"),
    ):
        with pytest.raises(DiffusionTricksError, match=message):
            denoiser_figure(noisy, x, x, sigmas, tmp_path / "a.png", trained=0.5, errors=errors)  # type: ignore[arg-type]
