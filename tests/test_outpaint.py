"""Outpainting: the old picture is there to the last bit, by independent readers; what is new is what the model says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from skimage import data

from command_line import run
from diffusion_tricks import Recipe, TrickEntry, UsageError, make
from diffusion_tricks.generate.result import Result
from diffusion_tricks.testing import check_trick, exact_model
from diffusion_tricks_plugins import Outpaint
from diffusion_tricks_plugins.extent import Margins, extended_by, extended_to
from diffusion_tricks_plugins.outpaint import frame_around

Array = np.ndarray[Any, Any]
SIZE = (90, 60)
RED = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
MODEL = exact_model(RED)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def astronaut() -> Image.Image:
    """Public domain (NASA)."""
    return Image.fromarray(data.astronaut()).resize(SIZE)


def outpainted(image: str, **options: Any) -> Result:
    entry = TrickEntry(trick="outpaint", image=image, **options)
    recipe = Recipe(prompt="x", seed=1, steps=4, scheduler="ddim", guidance=1, tricks=[entry])
    return make(recipe, model=MODEL)[0]


# how far


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("left=200,top=10%", (200, 6, 0, 0)), ("right=50%", (0, 0, 45, 0)), ("all=10", (10, 10, 10, 10)),
        ("bottom = 3px , left=1", (1, 0, 0, 3)),
    ],
)  # fmt: skip
def test_sides_say_how_far(text: str, expected: tuple[int, ...]) -> None:
    assert tuple(extended_by(text, SIZE)) == expected


@pytest.mark.parametrize(
    ("to", "anchor", "expected"),
    [
        ("16:9", "center", (8, 0, 9, 0)), ("16:9", "left", (0, 0, 17, 0)), ("16:9", "right", (17, 0, 0, 0)),
        ("1600x900", "center", (755, 420, 755, 420)), ("1600x900", "top-right", (1510, 0, 0, 840)),
        ("square", "bottom", (0, 30, 0, 0)), ("100x60", "top", (5, 0, 5, 0)), ("1:1", "bottom-left", (0, 30, 0, 0)),
        ("3:2", "center", (0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_a_form_is_the_smallest_around_the_picture(to: str, anchor: Any, expected: tuple[int, ...]) -> None:
    added = extended_to(to, anchor, SIZE)
    assert tuple(added) == expected


def test_a_ratio_is_met_as_nearly_as_pixels_can() -> None:
    for wide in range(1, 200, 7):
        width, height = extended_to("16:9", "center", (wide, 60)).around((wide, 60))
        assert abs(width - height * 16 / 9) <= 16 / 9 / 2 + 1e-9
        assert width == wide or height == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected either `extend` or `to`: nothing says how far"),
        ({"extend": "left=1", "to": "square"}, "say the same thing twice"),
        ({"extend": "200"}, "expected sides with pixels or percent, as left=200,top=10%, got '200'"),
        ({"extend": "left=2,all=1"}, "left is said twice"),
        ({"extend": "left=-2"}, "left: -2 would cut the picture, and it is only extended"),
        ({"extend": "left=x"}, "left: expected pixels or percent, as 12 or 5%, got 'x'"),
        ({"to": "wide"}, "expected a ratio as 16:9, a size as 1600x900, or square, got 'wide'"),
        ({"to": "0:9"}, "with sides above 0"),
        ({"extend": "left=1", "anchor": "left"}, "`anchor` is of no use without `to`"),
        ({"extend": "left=1", "fill": "edge"}, "`fill` is of no use without `strength`"),
        ({"extend": "left=1", "jump": 3}, "`jump` is of no use without `resample`"),
    ],
)
def test_what_says_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Outpaint(**options)


def test_a_picture_that_has_the_form_already_is_given_back_as_it_is() -> None:
    """So that a folder comes out in one form, whatever form each of its pictures has."""
    deep = np.random.default_rng(1).integers(0, 2**16, (60, 90, 3), np.uint16)
    tifffile.imwrite("a.tif", deep, photometric="rgb")
    result = outpainted("a.tif", to="3:2")
    result.save("out.tif")
    assert (tifffile.imread("out.tif") == deep).all()
    told = result.facts
    assert (told["at"], told["new_pixels"], told["changed_outside"], told["seam"]) == ([0, 0], 0, 0, None)
    assert "has the form of 3:2 already, and is given back as it is" in " ".join(told["notes"])


def test_what_a_picture_does_not_allow_is_refused() -> None:
    astronaut().save("a.png")
    with pytest.raises(UsageError, match="`to` 80x60 is smaller than the picture, of 90 x 60 pixels, and would cut it"):
        outpainted("a.png", to="80x60")
    with pytest.raises(UsageError, match="is no larger by that; give more"):
        outpainted("a.png", extend="left=0")
    with pytest.raises(UsageError, match=r"20090 x 20060 pixels are more than the 100,000,000 that are read"):
        outpainted("a.png", extend="right=20000,bottom=20000")
    with pytest.raises(UsageError, match="`jump=9` goes back further than the run comes before its last step, of 4"):
        outpainted("a.png", to="square", resample=2, jump=9)
    two = [TrickEntry(trick="outpaint", image="a.png", to="square"), TrickEntry(trick="inpaint", mask="box:0,0,9,9")]
    with pytest.raises(UsageError, match="outpaint and inpaint both keep a part of the picture"):
        make(Recipe(prompt="x", seed=1, steps=2, tricks=two), model=MODEL)


# what is kept


def deep(channels: int) -> Array:
    return np.random.default_rng(channels).integers(0, 65536, (60, 90, channels)).astype(np.uint16)


def written(kind: str) -> tuple[str, str]:
    """A photo of some mode and depth, by an independent writer, and the name that its outpainting has."""
    image = astronaut()
    if kind.startswith("16"):
        samples = deep({"16 L": 1, "16 RGB": 3, "16 RGBA": 4}[kind])
        alpha = {"extrasamples": ["unassalpha"]} if kind == "16 RGBA" else {}
        photometric = "minisblack" if kind == "16 L" else "rgb"
        tifffile.imwrite("a.tif", samples.squeeze(), photometric=photometric, **alpha)
        return "a.tif", "out.tif"
    if kind == "RGBA":
        image.putalpha(Image.fromarray(np.arange(5400, dtype=np.uint32).reshape(60, 90).astype(np.uint8)))
    image = image if kind == "RGBA" else image.convert(kind)
    if kind == "CMYK":
        image.save("a.tif")
        return "a.tif", "out.tif"
    image.save("a.png")
    return "a.png", "out.png"


def read(path: str) -> Array:
    """By a reader that is not ours: colours of a palette as RGB."""
    if path.endswith("tif"):
        return np.asarray(tifffile.imread(path))
    image = Image.open(path)
    return np.asarray(image.convert("RGB") if image.mode == "P" else image)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "L", "1", "P", "CMYK", "16 L", "16 RGB", "16 RGBA"])
def test_the_old_picture_is_there_to_the_last_bit(kind: str) -> None:
    source, target = written(kind)
    result = outpainted(source, extend="left=20,top=10%,bottom=3")
    facts = result.save(target)
    before, after = read(source), read(target)
    if kind == "1":  # the model's grays make it gray, which is told
        assert any("1-bit black and white" in note for note in facts["notes"])
        before = before.astype(np.uint8) * 255
    assert (after.dtype, after.shape) == (before.dtype, (69, 110, *before.shape[2:]))
    np.testing.assert_array_equal(after[6:66, 20:], before)
    assert (facts["changed_outside"], facts["at"], facts["new_pixels"]) == (0, [20, 6], 69 * 110 - 60 * 90)
    if kind in {"RGB", "16 RGB", "16 RGBA"}:
        assert facts["kept_sha256"] == hashlib.sha256(np.ascontiguousarray(before).tobytes()).hexdigest()
        far = np.ones((69, 110), bool)
        far[6:66, 12:] = False  # two of the model's pixels are what new and old blend over
        far[:, 12:] = False
        full = np.iinfo(after.dtype).max
        shade = np.array([full, 0, 0, full][: after.shape[2]])
        assert np.abs(after[far].astype(float) - shade).max() <= full * 0.02
    if kind.endswith("RGBA"):
        alpha = after[:, :10, 3]
        assert (alpha == np.iinfo(after.dtype).max).all(), "what is made is opaque"


def test_what_the_file_says_stays_and_its_sides_are_the_new_ones() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 1, "(c) Ada"
    exif.get_ifd(0x8769).update({0xA002: 90, 0xA003: 60, 0x9003: "2020:01:02 03:04:05"})
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:PixelXDimension="90" '
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><tiff:ImageLength>60</tiff:ImageLength></rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )
    astronaut().save("a.jpg", dpi=(300, 300), exif=exif, icc_profile=SRGB, xmp=packet.encode())
    for target in ("out.png", "out.tif"):
        outpainted("a.jpg", extend="right=10,top=5").save(target)
        with Image.open(target) as image:
            image.load()
            assert image.size == (100, 65)
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
            assert image.info["icc_profile"] == SRGB
            told = image.getexif()
            assert told[0x8298] == "(c) Ada"
            details = told.get_ifd(0x8769)
            assert (details[0xA002], details[0xA003], details[0x9003]) == (100, 65, "2020:01:02 03:04:05")
            xmp = bytes(image.info["xmp"]).decode()
            assert ('PixelXDimension="100"' in xmp, "<tiff:ImageLength>65<" in xmp) == (True, True)


# what is new


@pytest.mark.parametrize("added", [Margins(40, 0, 0, 0), Margins(0, 0, 500, 0), Margins(9, 2, 9, 70)])
@pytest.mark.parametrize("model", [(32, 32), (48, 32)])
def test_the_frame_has_the_models_proportions_and_all_that_is_new(added: Margins, model: tuple[int, int]) -> None:
    size = added.around(SIZE)
    new = np.ones(size[::-1], bool)
    new[added.top : added.top + 60, added.left : added.left + 90] = False
    rows, columns = np.flatnonzero(new.any(1)), np.flatnonzero(new.any(0))
    bounds = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    left, top, right, bottom = frame_around(bounds, size, model, None)
    assert abs((right - left) / (bottom - top) / (model[0] / model[1]) - 1) < 0.02
    assert left <= bounds[0]
    assert top <= bounds[1]
    assert right >= bounds[2]
    assert bottom >= bounds[3]


def test_what_lies_near_the_old_edge_fades_from_its_mirror_image() -> None:
    astronaut().save("a.png")
    result = outpainted("a.png", extend="left=30", feather=4)
    after, before = np.asarray(result.image).astype(float), np.asarray(Image.open("a.png")).astype(float)
    for deep in range(1, 5):  # px from the old edge; the share of the new is deep / 5
        share = np.ceil(255 * deep / 5) / 255
        mixed = before[10:50, deep - 1] * (1 - share) + np.array([255.0, 0, 0]) * share
        assert np.abs(after[10:50, 30 - deep] - mixed).mean() < 6, "the model's own picture rings a little there"


@pytest.mark.parametrize("fill", [None, "mirror", "edge", "mean", "blur", "noise"])
def test_a_run_of_some_strength_starts_from_what_fills_it(fill: Any) -> None:
    astronaut().save("a.png")
    result = outpainted("a.png", extend="left=30", strength=0.5, fill=fill, feather=0)
    assert (result.facts["steps"], result.facts["changed_outside"]) == (2, 0)
    none = np.asarray(outpainted("a.png", extend="left=30", strength=0, fill=fill, feather=0).image)
    if fill == "mean":
        seen = np.asarray(Image.open("a.png"))[:, : result.facts["region"][2] - 30]
        assert np.abs(none[20:40, :10].reshape(-1, 3).mean(0) - seen.reshape(-1, 3).mean(0)).max() < 3
    if fill in {None, "mirror"}:
        mirrored = np.asarray(Image.open("a.png"))[:, 29::-1].astype(float)
        assert np.abs(none[:, :30] - mirrored).mean() < 30


def test_it_stands_in_chains_and_is_verified(tmp_path: Path) -> None:
    astronaut().save("a.png")
    made = run(
        "make", "-p", "a fish", "--seed", 1, "--steps", 2, "-o", "wide.png", "--json", "outpaint", "a.png",
        "--to", "16:9", "--anchor", "left", "overlay", "--title", "Sea", "--title-position", "right",
        "--max-width", "0.1",
    )  # fmt: skip
    assert made.code == 0, made.err
    facts = made.json
    assert (facts["width"], facts["height"], facts["changed_outside"] + facts["at"][0]) == (107, 60, 0)
    at = ",".join(map(str, facts["at"]))
    told = run("verify", "a.png", "wide.png", "--at", at, "--json")
    assert (told.code, told.json["changed_outside"], told.json["kept_pixels"]) == (0, 0, 5400)
    assert told.json["kept_sha256"] == facts["kept_sha256"]
    wide = np.asarray(Image.open("wide.png")).copy()
    wide[3, 4, 1] ^= 8
    Image.fromarray(wide).save("other.png")
    told = run("verify", "a.png", "other.png", "--at", at, "--json")
    assert (told.code, told.json["changed_outside"], told.json["largest"]) == (1, 1, 8)
    assert run("verify", "a.png", "other.png", "--at", at, "--mask", "box:4,3,5,4").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "of a picture that was extended, where the old one lies in it: --at, as 200,0"),
        (["--at", "40,0"], "at 40,0 does not lie within wide.png, 107 x 60 pixels"),
        (["--at", "left"], "--at 'left': expected x and y in pixels, as 200,0"),
        (["--at", "0,0", "--invert"], "nothing says what was made new; name it with --mask, or with --at where"),
    ],
)
def test_verify_says_what_is_wrong(words: list[str], message: str) -> None:
    astronaut().save("a.png")
    Image.new("RGB", (107, 60)).save("wide.png")
    refused = run("verify", "a.png", "wide.png", *words)
    assert (refused.code, message in refused.err) == (2, True), refused.err


def test_rerun_makes_it_again(tmp_path: Path) -> None:
    astronaut().save("a.png")
    words = ["outpaint", "a.png", "a fish", "--extend", "all=10", "--seed", 3, "--steps", 2, "--strength", "0.9"]
    assert run(*words, "-o", "one.png").code == 0
    assert run("rerun", "one.png", "-o", "two.png").code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("one.png")), np.asarray(Image.open("two.png")))


def test_it_holds_what_a_trick_must() -> None:
    astronaut().save("a.png")
    check_trick(Outpaint(image="a.png", to="square"))
