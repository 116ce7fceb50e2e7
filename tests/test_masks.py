"""Masks: shapes, feather and region against brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffusion_tricks.io.pictures import Picture
from diffusion_tricks_plugins.inpaint_known import latents_made_new
from diffusion_tricks_plugins.masks import Mask, depth, feathered, padding_px, read_mask, region_around

Array = np.ndarray[Any, Any]


def weights(text: str, size: tuple[int, int]) -> Array:
    return read_mask(text, Picture(Image.new("RGB", size), None, Path("a.png"))).weights


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("box:25%,0%,75%,40%", (50, 0, 150, 40)),
        ("box:50,0,150,40", (50, 0, 150, 40)),
        ("box: 50px , 0 , 75% , 40 ", (50, 0, 150, 40)),
        ("box:199.4,99.4,300,300", (199, 99, 200, 100)),
        ("box:10.1,10.2,10.3,10.4", (10, 10, 11, 11)),
        ("box:-5,-5,1,1", (0, 0, 1, 1)),
    ],
)
def test_boxes_in_pixels_and_percent(text: str, box: tuple[int, int, int, int]) -> None:
    found = weights(text, (200, 100))
    expected = np.zeros((100, 200), np.uint8)
    expected[box[1] : box[3], box[0] : box[2]] = 255
    np.testing.assert_array_equal(found, expected)


def test_an_ellipse_fills_its_box_and_is_cut_at_the_edge() -> None:
    whole = weights("ellipse:20,10,180,90", (200, 100)) > 0
    assert Mask(whole.astype(np.uint8)).bounds == (20, 10, 180, 90)
    assert whole.sum() == pytest.approx(np.pi * 80 * 40, rel=0.01)
    np.testing.assert_array_equal(whole, whole[::-1, ::-1])
    over = weights("ellipse:-80,10,80,90", (200, 100)) > 0
    np.testing.assert_array_equal(over[:, :80], whole[:, 100:180])


def brute_depth(inside: Array) -> Array:
    kept = np.argwhere(~inside)
    found = np.zeros(inside.shape)
    for y, x in np.argwhere(inside):
        found[y, x] = np.sqrt(((kept - [y, x]) ** 2).sum(1).min()) if len(kept) else np.inf
    return found


@pytest.mark.parametrize("chance", [0.02, 0.3, 0.9])
def test_depth_is_the_distance_to_the_nearest_kept_pixel(chance: float) -> None:
    inside = np.random.default_rng(1).random((17, 23)) > chance
    np.testing.assert_allclose(depth(inside), brute_depth(inside), rtol=1e-7)


def depth_by_rows(inside: Array, limit: float) -> Array:
    """The same up to `limit`, as it was computed here before: in each row, then over as many shifts as it reaches."""
    reach, width = int(np.ceil(limit)), inside.shape[1]
    column = np.arange(width, dtype=np.float32)
    before = np.maximum.accumulate(np.where(inside, -np.float32(reach), column), axis=1)
    after = np.minimum.accumulate(np.where(inside, np.float32(width + reach), column)[:, ::-1], axis=1)[:, ::-1]
    across = np.minimum(np.minimum(column - before, after - column), reach) ** 2
    nearest = across.astype(np.float32)
    for shift in range(1, min(reach, len(inside) - 1) + 1):
        np.minimum(nearest[shift:], across[:-shift] + shift**2, out=nearest[shift:])
        np.minimum(nearest[:-shift], across[shift:] + shift**2, out=nearest[:-shift])
    return np.sqrt(nearest)


@pytest.mark.parametrize("radius", [0.5, 1, 3.7, 12, 1000])
def test_a_feather_is_to_the_bit_what_it_always_was(radius: float) -> None:
    rng = np.random.default_rng(4)
    for chance in (0.001, 0.05, 0.5):
        values = np.where(rng.random((61, 83)) < chance, 0, rng.integers(1, 256, (61, 83))).astype(np.uint8)
        values[:, 70:] = 0
        ramp = np.minimum(depth_by_rows(values > 0, radius + 1) / (radius + 1), 1.0)
        np.testing.assert_array_equal(feathered(Mask(values), radius), np.ceil(values * ramp))


@pytest.mark.parametrize("radius", [0.5, 3, 40])
def test_feather_keeps_its_support(radius: float) -> None:
    rng = np.random.default_rng(2)
    values = np.zeros((40, 60), np.uint8)
    values[5:30, 12:] = rng.integers(1, 256, (25, 48))
    mask = Mask(values)
    soft, deep = feathered(mask, radius), brute_depth(values > 0)
    np.testing.assert_array_equal(soft > 0, values > 0)
    inner = deep >= radius + 1
    np.testing.assert_array_equal(soft[inner], values[inner])
    expected = values * np.minimum(deep / (radius + 1), 1)
    np.testing.assert_allclose(soft, np.ceil(expected - 1e-4), rtol=0, atol=1)


def test_feather_0_is_no_work() -> None:
    mask = Mask(np.full((4, 4), 255, np.uint8))
    assert feathered(mask, 0) is mask.weights
    np.testing.assert_array_equal(feathered(mask, 9), mask.weights)  # the picture's edge is none of the mask's


def test_regions_hold_the_mask_in_the_models_proportions_inside_the_picture() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        picture = tuple(int(n) for n in rng.integers(1, 500, 2))
        model = tuple(8 * int(n) for n in rng.integers(1, 20, 2))
        left, top = (int(rng.integers(0, side)) for side in picture)
        box = (left, top, int(rng.integers(left, picture[0])) + 1, int(rng.integers(top, picture[1])) + 1)
        x0, y0, x1, y1 = region_around(box, (picture[0], picture[1]), (model[0], model[1]), "10")
        assert 0 <= x0 <= max(box[0] - 10, 0)
        assert 0 <= y0 <= max(box[1] - 10, 0)
        assert picture[0] >= x1 >= min(box[2] + 10, picture[0])
        assert picture[1] >= y1 >= min(box[3] + 10, picture[1])
        wide, high = x1 - x0, y1 - y0
        exact = abs(wide * model[1] - high * model[0]) < max(model)
        assert exact or wide == picture[0] or high == picture[1]


@pytest.mark.parametrize(("padding", "px"), [(None, 50), ("0", 0), ("7", 7), ("7px", 7), ("10%", 20), ("150%", 300)])
def test_padding(padding: str | None, px: int) -> None:
    assert padding_px(padding, 200) == px
    assert padding_px(None, 8) == 32


@pytest.mark.parametrize("shape", [(8, 8), (16, 5), (64, 64)])
def test_a_latent_is_new_where_any_pixel_of_its_area_is(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.random((37, 50)) > 0.97
    found = latents_made_new(pixels, shape)[0, 0].numpy()
    for (i, j), new in np.ndenumerate(found):
        rows = slice(i * 37 // shape[0], -(-(i + 1) * 37 // shape[0]))
        columns = slice(j * 50 // shape[1], -(-(j + 1) * 50 // shape[1]))
        assert bool(new) == bool(pixels[rows, columns].any())
