"""The commands `mask` and `verify`, at every depth; files are made by independent writers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from command_line import run
from diffusion_tricks_plugins.kept import alike, seam
from diffusion_tricks_plugins.masks.preview import BOX, TINT

BOXED = "box:10,5,40,25"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.astronaut()).resize((60, 40)).save("a.png")


def test_mask_says_and_shows_what_is_covered() -> None:
    told = run("mask", "a.png", "--mask", BOXED, "--mask", "box:50,30,60,40", "-o", "p.png")
    assert told.lines == [
        "covered: 29.167 %, 700 of 2,400 pixels", "box:     10,5,60,40, 50 x 35 pixels", "edge:    hard",
        "written: p.png",
    ]  # fmt: skip
    before, after = (np.asarray(Image.open(name)).astype(float) for name in ("a.png", "p.png"))
    assert after.shape == (40, 60, 3)
    deep = np.s_[10:20, 15:35]
    np.testing.assert_allclose(after[deep], 0.55 * before[deep] + 0.45 * np.array(TINT), rtol=0, atol=0.501)
    assert (after[5, 41:60] == BOX).all()
    assert (after[6:24, 39] == 255).all()
    np.testing.assert_array_equal(after[:5], before[:5])


def test_mask_as_json_and_plain() -> None:
    told = run("mask", "a.png", "--mask", f"{BOXED} feather:3", "--plain", "-o", "m.png", "--json").json
    weights = np.asarray(Image.open("m.png").convert("L"))
    soft = int(((weights > 0) & (weights < 255)).sum())
    assert told == {
        "path": "m.png", "width": 60, "height": 40, "mask_pixels": 600, "soft_pixels": soft, "percent": 25.0,
        "box": [10, 5, 40, 25],
    }  # fmt: skip
    again = run("mask", "a.png", "--mask", "m.png", "--json").json
    assert (again["mask_pixels"], "path" in again) == (600, False)
    inverted = run("mask", "a.png", "--mask", BOXED, "--invert", "--json").json
    assert inverted["mask_pixels"] == 1800


def test_mask_refuses_what_it_cannot_do() -> None:
    assert run("mask", "a.png", "--mask", BOXED, "-o", "a.png", "--force").code == 2
    assert (
        "--plain is of a file that is written; name it with -o" in run("mask", "a.png", "--mask", BOXED, "--plain").err
    )
    assert "expected a mask, got the end\n  alpha + \n" in run("mask", "a.png", "--mask", "alpha + ").err
    Image.new("L", (6, 4), 255).save("small.png")
    assert "small.png is 6 x 4 pixels, expected 60 x 40 as a.png" in run("mask", "a.png", "--mask", "small.png").err
    assert run("mask", "a.png", "--mask", "small.png", "--mask-fit").code == 0
    missing = run("mask", "a.png", "--mask", "words:a hat")
    assert (missing.code, "--segmenter" in missing.err) == (3, True)


def changed(pixels: np.ndarray[Any, Any], at: tuple[int, ...], by: int) -> np.ndarray[Any, Any]:
    after = pixels.copy()
    after[at] = int(after[at]) + by
    return after


def test_verify_counts_what_changed_outside() -> None:
    before = np.asarray(Image.open("a.png")).copy()
    before[30, 50], before[2, 2] = 100, 100
    Image.fromarray(before).save("a.png")
    after = before.copy()
    after[5:25, 10:40] = 0
    Image.fromarray(after).save("b.png")
    same = run("verify", "a.png", "b.png", "--mask", BOXED)
    assert (same.code, same.lines[0]) == (0, "0 of 1,800 pixels outside the mask changed, largest difference 0 of 255")
    Image.fromarray(changed(changed(after, (30, 50, 2), 7), (2, 2, 0), -3)).save("b.png")
    told = run("verify", "a.png", "b.png", "--mask", BOXED)
    assert (told.code, told.lines[0]) == (1, "2 of 1,800 pixels outside the mask changed, largest difference 7 of 255")
    facts = run("verify", "a.png", "b.png", "--mask", BOXED, "--json").json
    assert (facts["changed_outside"], facts["kept_pixels"], facts["largest"], facts["depth"]) == (2, 1800, 7, 8)
    differ = int((after != before).any(axis=2).sum())
    other = run("verify", "a.png", "b.png", "--mask", BOXED, "--invert")
    assert (other.code, other.lines[0].split(" pixels")[0]) == (1, f"{differ} of 600")


@pytest.mark.parametrize("kind", ["I;16", "RGB TIFF", "RGB PNG"])
def test_verify_sees_the_last_bit_of_sixteen(kind: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60000, (40, 60) if kind == "I;16" else (40, 60, 3)).astype(np.uint16)
    name = "tif" if kind == "RGB TIFF" else "png"
    after = changed(pixels, (30, 50) if kind == "I;16" else (30, 50, 1), 1)
    for file, values in ((f"x.{name}", pixels), (f"y.{name}", after)):
        if kind == "I;16":
            Image.fromarray(values).save(file)
        elif kind == "RGB TIFF":
            tifffile.imwrite(file, values, photometric="rgb")
        else:
            imagecodecs = pytest.importorskip("imagecodecs")
            Path(file).write_bytes(imagecodecs.png_encode(values))
    facts = run("verify", f"x.{name}", f"y.{name}", "--mask", BOXED, "--json").json
    assert (facts["changed_outside"], facts["largest"], facts["depth"]) == (1, 1, 16)
    Image.fromarray((pixels // 257).astype(np.uint8)).save("z.png")  # what became of 16 bit before
    lost = run("verify", f"x.{name}", "z.png", "--mask", BOXED)
    assert lost.code == 1


def test_verify_takes_kinds_for_what_they_show() -> None:
    gray = Image.open("a.png").convert("L")
    gray.save("gray.png")
    gray.convert("RGBA").save("rgba.png")
    Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save("deep.png")
    for name in ("rgba.png", "deep.png"):
        assert run("verify", "gray.png", name, "--mask", BOXED).code == 0
    old, new = alike(np.asarray(gray), np.asarray(Image.open("deep.png")).astype(np.uint16))
    np.testing.assert_array_equal(old, new)
    Image.new("RGB", (30, 20)).save("small.png")
    refused = run("verify", "a.png", "small.png", "--mask", BOXED)
    assert (refused.code, "a.png is 60 x 40 pixels and small.png 30 x 20" in refused.err) == (2, True)


def test_a_seam_is_told_by_its_roughness() -> None:
    smooth = np.tile(np.linspace(0, 200, 60), (40, 1)).astype(np.uint8)
    kept = np.ones((40, 60), bool)
    kept[5:25, 10:40] = False
    pasted = smooth.copy()
    pasted[~kept] += 40
    assert seam(smooth, kept) == pytest.approx(1, abs=0.35)
    across = np.abs(np.diff(pasted.astype(float), axis=0))[np.diff(kept, axis=0)].tolist()
    across += np.abs(np.diff(pasted.astype(float), axis=1))[np.diff(kept, axis=1)].tolist()
    assert seam(pasted, kept) == pytest.approx((np.mean(across) + 1) / 2.7, rel=0.1)
    assert seam(pasted.astype(np.uint16) * 257, kept) == pytest.approx(seam(pasted, kept), abs=2e-3)
    assert seam(pasted, np.zeros((40, 60), bool)) is None


def test_an_edit_says_its_seam_and_the_hash_of_what_it_kept(tiny: Path) -> None:
    done = run("inpaint", "a.png", "x", "--mask", BOXED, "-m", tiny, "--steps", 2, "-o", "o.png", "--json").json
    pixels, kept = np.asarray(Image.open("o.png")), np.ones((40, 60), bool)
    kept[5:25, 10:40] = False
    assert done["kept_sha256"] == hashlib.sha256(np.asarray(Image.open("a.png"))[kept].tobytes()).hexdigest()
    assert done["seam"] == seam(pixels, kept)
    told = run("verify", "a.png", "o.png", "--mask", BOXED, "--json").json
    assert (told["changed_outside"], told["seam"]) == (0, done["seam"])
