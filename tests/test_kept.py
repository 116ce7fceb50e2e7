"""What a photo's file says and how it holds its pixels survives a change; what does not is told, once."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, PngImagePlugin

from command_line import Outcome, run
from diffusion_tricks import Recipe, TrickEntry, make
from diffusion_tricks.errors import PictureError
from diffusion_tricks.io.colour import from_srgb, to_srgb
from diffusion_tricks.io.encode import fitted
from diffusion_tricks.io.metadata import iptc_text, resource
from diffusion_tricks.io.named import page_of
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.provenance import SOURCE_TYPES, provenance_xmp
from diffusion_tricks.io.raster import raster_of
from diffusion_tricks.io.xmp import NoXmp, merged
from diffusion_tricks.recipes.record import read_record
from diffusion_tricks.testing.denoisers import exact_model
from diffusion_tricks_plugins import Overlay
from faithful.profiles import ADOBE, ADOBE_RGB, DISPLAY_P3, GRAY, P3, SRGB, lab, srgb_lab

EXIFTOOL = shutil.which("exiftool")
FORMS = ["png", "jpg", "webp", "tif", "avif"]
IPTC = b"\x1c\x02\x74\x00\x0e(c) 2026 Ada, I"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    b' exif:GPSLatitude="48,6N" tiff:Orientation="6" ext:DigitalSourceType="http://cv.iptc.org/newscodes/'
    b'digitalsourcetype/digitalCapture"><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">Ada\'s own</rdf:li></rdf:Alt>'
    b"</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def colours(width: int = 96, height: int = 64) -> Image.Image:
    """Smooth, as photos are, so that lossy formats are near."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def photo(path: str = "photo.jpg") -> str:
    """A photo on its side with all that a camera and its owner say, and a thumbnail."""
    exif, thumbnail = Image.Exif(), io.BytesIO()
    exif.update({0x0112: 6, 0x010F: "Cam", 0x013B: "Ada", 0x8298: "(c) Ada", 0x0132: "2026:01:02 03:04:05"})
    exif.get_ifd(0x8769).update({0x829A: 1 / 250, 0x9003: "2026:01:02 03:04:05", 0xA002: 96, 0xA003: 64})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 6.0, 0.0)})
    colours(16, 8).save(thumbnail, "JPEG")
    segment = b"Photoshop 3.0\0" + resource(IPTC)
    extra = b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment
    colours().save(path, quality=95, exif=exif, dpi=(300, 300), xmp=XMP, extra=extra, icc_profile=DISPLAY_P3)
    return path


def covered(*words: str) -> Outcome:
    outcome = run("cover", *words, "--title", "A", "--json")
    assert outcome.code == 0, outcome.err
    return outcome


# ---- metadata --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_what_a_photo_says_survives_in_every_format(form: str) -> None:
    outcome = covered(photo(), "-o", f"out.{form}")
    read = read_picture(f"out.{form}")
    assert (read.image.size, read.icc) == ((64, 96), DISPLAY_P3)
    metadata = read.metadata
    assert {metadata.tags.get(tag) for tag in (0x010F, 0x013B, 0x8298, 0x0132)} == {
        "Cam", "Ada", "(c) Ada", "2026:01:02 03:04:05",
    }  # fmt: skip
    assert (metadata.details[0xA002], metadata.details[0xA003]) == (64, 96)
    assert float(metadata.details[0x829A]) == pytest.approx(1 / 250)
    assert metadata.iptc == IPTC
    assert metadata.dpi == pytest.approx((300, 300), abs=0.01)
    assert metadata.xmp is not None
    assert b"Ada's own" in metadata.xmp
    assert b"Orientation" not in metadata.xmp
    assert not metadata.place
    assert b"GPSLatitude" not in metadata.xmp
    with Image.open(f"out.{form}") as image:
        assert image.getexif().get(0x0112, 1) == 1
        assert not image.getexif().get_ifd(0x8825)
    (note,) = [note for note in outcome.json["notes"] if note.startswith("not kept")]
    assert note == "not kept of photo.jpg: the GPS position, which --keep-gps keeps"
    assert outcome.err.count("not kept") == 1


@pytest.mark.parametrize("words", [("edit", "x"), ("inpaint", "x", "--mask", "box:10,10,40,40")])
def test_a_photo_that_a_model_changed_says_the_same_and_that(tiny: Path, words: tuple[str, ...]) -> None:
    command, *rest = words
    outcome = run(command, photo(), *rest, "-m", tiny, "--steps", 2, "-o", "out.png", "--json")
    assert outcome.code == 0, outcome.err
    read = read_picture("out.png")
    metadata = read.metadata
    assert (read.provenance, read.icc, metadata.iptc) == ("edited", DISPLAY_P3, IPTC)
    assert (metadata.tags[0x8298], metadata.details[0xA002]) == ("(c) Ada", read.image.width)
    assert b"Ada's own" in (metadata.xmp or b"")
    assert "the GPS position, which --keep-gps keeps" in outcome.err
    assert not metadata.place


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_content_credentials_are_told_of(form: str) -> None:
    colours().save(f"a.{form}")
    data = Path(f"a.{form}").read_bytes()
    if form == "png":
        body = b"caBX" + b"jumbc2pa"
        chunk = (8).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        data = data[:33] + chunk + data[33:]
    else:
        data = data[:2] + b"\xff\xeb\0\x0cJP\0\1c2pa\0\0" + data[2:]
    Path(f"a.{form}").write_bytes(data)
    assert "Content Credentials (C2PA), which are signed for the file" in covered(f"a.{form}", "-o", "b.png").err
    assert b"c2pa" not in Path("b.png").read_bytes()


def test_what_is_made_anew_of_a_transparent_photo_says_that_it_is_not(tiny: Path) -> None:
    clear = colours().convert("RGBA")
    clear.putalpha(90)
    clear.save("a.png")
    words = ("edit", "a.png", "x", "-m", tiny, "--steps", 2)
    assert "Note: a.png is transparent, what is made of it is not" in run(*words, "--size", 16, "-o", "b.png").err
    assert "is transparent" not in run(*words, "-o", "c.png").err
    assert np.asarray(Image.open("c.png"))[..., 3].tolist() == np.asarray(clear)[..., 3].tolist()


@pytest.mark.parametrize("form", FORMS)
def test_a_position_is_kept_if_asked(form: str) -> None:
    outcome = covered(photo(), "-o", f"out.{form}", "--keep-gps")
    metadata = read_picture(f"out.{form}").metadata
    assert (metadata.place[1], tuple(map(float, metadata.place[2]))) == ("N", (48, 6, 0))
    assert b"GPSLatitude" in (metadata.xmp or b"")
    assert "not kept" not in outcome.err


@pytest.mark.skipif(EXIFTOOL is None, reason="needs exiftool")
@pytest.mark.parametrize("form", FORMS)
def test_exiftool_reads_what_was_kept(form: str) -> None:
    photo()
    colours(16, 8).save("thumb.jpg")
    told = ["-Orientation#=6", "-LensModel=Lens 50", "-UserComment=mine", "-ISO=200", "-InteropIndex=R98",
            "-ThumbnailImage<=thumb.jpg", "-XMP-xmpRights:UsageTerms=ask", "-IPTC:Keywords=a", "-IPTC:Keywords=b",
            "-SubSecTimeOriginal=12", "-ExposureCompensation=-1/3"]  # fmt: skip
    subprocess.run([EXIFTOOL or "", "-q", "-overwrite_original", *told, "photo.jpg"], check=True)
    covered("photo.jpg", "-o", f"out.{form}")
    before, after = tags("photo.jpg"), tags(f"out.{form}")
    gone = {"IFD1", "GPS", "IFD0:Orientation", "IFD0:XResolution", "IFD0:YResolution", "IFD0:ResolutionUnit",
            "IFD0:YCbCrPositioning", "ExifIFD:ExifImageWidth", "ExifIFD:ExifImageHeight", "XMP-exif", "XMP-tiff",
            "Photoshop", "XMP-x"}  # fmt: skip
    kept = {name: value for name, value in before.items() if not {name, name.partition(":")[0]} & gone}
    assert {name: after.get(name) for name in kept} == kept
    assert len(kept) > 15
    assert not [name for name in after if name.startswith(("IFD1", "GPS", "XMP-exif:GPS"))]
    assert after.get("IFD0:Orientation", "Horizontal (normal)") == "Horizontal (normal)"


def tags(path: str) -> dict[str, Any]:
    words = [EXIFTOOL or "", "-j", "-G1", path]
    (found,) = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    groups = ("IFD", "ExifIFD", "InteropIFD", "GPS", "XMP", "IPTC", "Photoshop")
    return {name: value for name, value in found.items() if name.startswith(groups)}


def test_texts_of_a_png_survive_in_png_and_are_told_of_elsewhere() -> None:
    info = PngImagePlugin.PngInfo()
    for key, text in {"Author": "Ada", "Copyright": "(c) é", "parameters": "a cat\nSteps: 20"}.items():
        info.add_itxt(key, text)
    info.add_text("Raw profile type iptc", iptc_text(IPTC))
    colours().save("a.png", pnginfo=info)
    covered("a.png", "-o", "b.png")
    with Image.open("b.png") as image:
        assert (image.info["Author"], image.info["Copyright"]) == ("Ada", "(c) é")
        assert image.info["source-parameters"] == "a cat\nSteps: 20"
        assert "Steps: 20" not in image.info["parameters"]
    assert read_picture("b.png").metadata.iptc == IPTC
    outcome = covered("a.png", "-o", "b.webp")
    assert "the texts of the PNG (Author, Copyright, source-parameters)" in outcome.err


def test_the_record_of_the_picture_before_is_not_the_new_ones() -> None:
    covered(photo(), "-o", "a.png")
    assert run("cover", "a.png", "--title", "B", "-o", "b.png", "--no-metadata").code == 0
    with pytest.raises(PictureError, match="carries no diffusion-tricks record"):
        read_record("b.png")
    assert read_picture("b.png").metadata.tags[0x8298] == "(c) Ada"


def test_marks_of_provenance_survive_and_ours_is_added() -> None:
    home = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    once = merged(XMP, "edited", keep_gps=False)
    assert once.count(SOURCE_TYPES["edited"].encode()) == 1
    assert f"DigitalSourceType was {home}digitalCapture".encode() in once
    assert b"Ada's own" in once
    twice = merged(merged(provenance_xmp("generated"), "edited", False), "edited", False)
    assert SOURCE_TYPES["generated"].encode() in twice
    assert twice.count(b"softwareAgent>diffusion-tricks") == 2
    assert merged(once, None, True).count(b"rdf:Description ") == once.count(b"rdf:Description ")


@pytest.mark.parametrize("packet", [
    b"no xml", b"<a/>", b"\xff\xfe\x00", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
])  # fmt: skip
def test_xmp_that_cannot_be_read_is_replaced_and_told_of(packet: bytes) -> None:
    with pytest.raises(NoXmp):
        merged(packet, "edited", False)
    colours().save("a.jpg", xmp=packet)
    assert "not kept of a.jpg: XMP that cannot be read" in covered("a.jpg", "-o", "b.jpg").err


def test_damaged_exif_is_told_of() -> None:
    colours().save("a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x0f\x01")
    outcome = covered("a.jpg", "-o", "b.jpg")
    assert "Traceback" not in outcome.err
    assert read_picture("b.jpg").image.size == (96, 64)


# ---- colour ----------------------------------------------------------------------------------------------------


def test_there_and_back_is_the_same_colour() -> None:
    srgb = colours()
    for icc in (DISPLAY_P3, ADOBE_RGB):
        there, back = from_srgb(srgb, icc), to_srgb(from_srgb(srgb, icc), icc)
        far = np.linalg.norm(srgb_lab(np.asarray(back)) - srgb_lab(np.asarray(srgb)), axis=2)
        assert np.quantile(far, 0.99) < 1  # 8 bit were rounded twice
        assert np.abs(np.asarray(there, int) - np.asarray(srgb)).max() > 20
    assert from_srgb(srgb, b"no profile") == to_srgb(srgb, b"no profile") == srgb


@pytest.mark.parametrize(("icc", "primaries"), [(DISPLAY_P3, P3), (ADOBE_RGB, ADOBE)])
@pytest.mark.parametrize("form", ["png", "webp", "tif"])
def test_typed_colours_are_those_of_the_photos_space(icc: bytes, primaries: Any, form: str) -> None:
    asked = (200, 60, 30)
    colours().save("a.png", icc_profile=icc)
    words = ("--box", "#{:02x}{:02x}{:02x}".format(*asked), "--color", "black", "-o", f"b.{form}")
    assert run("cover", "a.png", "--title", "I", *words).code == 0
    read = read_picture(f"b.{form}")
    before, after = np.asarray(colours()), np.asarray(read.image)
    changed = after[(before != after).any(axis=2)]
    assert len(changed) < 0.9 * before[..., 0].size, "what is not under the box keeps its numbers, so its colour"
    values, counts = np.unique(changed, axis=0, return_counts=True)
    box = values[counts.argmax()]
    assert np.linalg.norm(lab(box, primaries) - srgb_lab(np.array(asked))) < 1
    assert np.linalg.norm(lab(np.array(asked), primaries) - srgb_lab(np.array(asked))) > 2  # what it was
    assert read.icc == icc


@pytest.mark.parametrize("icc", [SRGB, DISPLAY_P3, ADOBE_RGB])
@pytest.mark.parametrize("trick", ["inpaint", "sdedit"])
def test_what_is_made_is_the_same_colour_in_every_space(trick: str, icc: bytes) -> None:
    made = torch.tensor([0.6, -0.4, -0.2]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    rgb = ((np.array([0.6, -0.4, -0.2]) + 1) * 127.5).round()
    colours(32, 32).save("a.png", icc_profile=icc)
    options = {"mask": "box:0,0,20,20"} if trick == "inpaint" else {"strength": 0.9}
    recipe = Recipe(
        prompt="a", seed=1, steps=4, scheduler="ddim", guidance=1,
        tricks=[TrickEntry(trick=trick, image="a.png", **options)],
    )  # fmt: skip
    result = make(recipe, model=exact_model(made))[0]
    found = np.asarray(result.image)[8, 8, :3].astype(float)
    primaries = {SRGB: None, DISPLAY_P3: P3, ADOBE_RGB: ADOBE}[icc]
    seen = srgb_lab(found) if primaries is None else lab(found, primaries)
    assert np.linalg.norm(seen - srgb_lab(rgb)) < 1
    assert result.icc == icc


@pytest.mark.parametrize(("icc", "primaries"), [(DISPLAY_P3, P3), (ADOBE_RGB, ADOBE)])
def test_a_model_sees_srgb(icc: bytes, primaries: Any) -> None:
    patch = np.tile(np.uint8([150, 110, 90]), (8, 8, 1))
    Image.fromarray(patch).save("a.png", icc_profile=icc)
    picture = read_picture("a.png")
    assert np.linalg.norm(srgb_lab(np.asarray(picture.srgb)[0, 0]) - lab(patch[0, 0], primaries)) < 1
    np.testing.assert_array_equal(np.asarray(picture.image), patch)


def test_a_patch_comes_back_from_an_edit_as_the_colour_it_was() -> None:
    patch = np.tile(np.uint8([150, 110, 90]), (32, 32, 1))
    Image.fromarray(patch).save("a.png", icc_profile=DISPLAY_P3)
    for size in (None, (32, 32)):
        recipe = Recipe(prompt="a", seed=1, size=size, tricks=[TrickEntry(trick="sdedit", image="a.png", strength=0.0)])
        found = np.asarray(make(recipe, model=exact_model(torch.zeros(1, 3, 32, 32)))[0].image)
        assert np.linalg.norm(lab(found, P3) - lab(patch, P3), axis=2).max() < (1 if size else 1e-9)


def test_gray_with_a_profile_stays_gray_in_that() -> None:
    gray = np.tile(np.arange(96, dtype=np.uint8) * 2, (64, 1))
    Image.fromarray(gray).save("a.png", icc_profile=GRAY)
    shown = np.asarray(read_picture("a.png").image)[0, :, 0]
    linear = (gray[0] / 255) ** (round(2.2 * 256) / 256)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(shown - expected).max() < 1.5
    covered("a.png", "-o", "b.png")
    with Image.open("b.png") as image:
        assert (image.mode, image.info["icc_profile"]) == ("L", GRAY)


# ---- modes and depths ------------------------------------------------------------------------------------------


def deep(path: str, channels: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 65536, (64, 96, channels), np.uint16).squeeze()
    if path.endswith(".png"):
        Path(path).write_bytes(imagecodecs.png_encode(values))
    else:
        photometric, extra = ("rgb", channels - 3) if channels > 2 else ("minisblack", channels - 1)
        tifffile.imwrite(path, values, photometric=photometric, extrasamples=["unassalpha"] * extra)
    return values


@pytest.mark.parametrize("form", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_stays_16_bit_through_the_command_line(tiny: Path, form: str, channels: int) -> None:
    before = deep(f"a.{form}", channels)
    words = (
        "inpaint",
        f"a.{form}",
        "x",
        "--mask",
        "box:10,10,40,40",
        "-m",
        tiny,
        "--steps",
        2,
        "--json",
        "-o",
        f"b.{form}",
    )
    outcome = run(*words)
    assert outcome.json["changed_outside"] == 0
    after = imagecodecs.imread(f"b.{form}")
    assert (after.dtype, after.shape) == (np.uint16, before.shape)
    kept = np.ones((64, 96), bool)
    kept[10:40, 10:40] = False
    np.testing.assert_array_equal(after[kept], before[kept])
    assert not (after[~kept] % 257).any()


def test_a_cover_keeps_16_bit_where_there_is_no_ink() -> None:
    before = deep("a.png", 3)
    covered("a.png", "-o", "b.png")
    after = imagecodecs.imread("b.png")
    same = (before == after).all(axis=2)
    assert 0.5 < same.mean() < 1
    assert not (after[~same] % 257).any()


@pytest.mark.parametrize(("mode", "result", "note"), [
    ("1", "L", "1-bit black and white, as what was made has grays: it is 8-bit gray now"), ("L", "L", None),
    ("LA", "LA", None), ("P", "RGB", "its palette, which has no room for what is made: it is RGB now"),
    ("RGBA", "RGBA", None), ("CMYK", "CMYK", None), ("LAB", "RGB", "colours of LAB, which are sRGB now"),
])  # fmt: skip
def test_each_mode_comes_back_or_a_note_says_what_became_of_it(mode: str, result: str, note: str | None) -> None:
    colours().convert("RGB" if mode != "LAB" else "LAB").convert(mode).save("a.tif")
    outcome = covered("a.tif", "-o", "b.tif", "--color", "#808080")
    with Image.open("b.tif") as image:
        assert image.mode == result
    assert (note or "not kept") in outcome.err or note is None
    assert ("not kept" in outcome.err) == (note is not None)


def test_a_format_that_holds_less_says_so() -> None:
    deep("a.png", 3)
    assert "16-bit depth, as WEBP holds 8 bits" in covered("a.png", "-o", "b.webp").err
    colours().convert("CMYK").save("c.tif")
    assert "8-bit CMYK, which PNG cannot hold: it is 8-bit sRGB now" in covered("c.tif", "-o", "c.png").err
    colours().convert("RGBA").save("d.png")
    clear = colours().convert("RGBA")
    clear.putalpha(90)
    clear.save("e.png")
    assert "transparency, which is laid on white" in covered("e.png", "-o", "e.bmp").err
    assert "transparency" not in covered("d.png", "-o", "d.bmp").err


def test_gray_with_alpha_is_laid_on_white_where_a_format_has_none() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (9, 7, 2), np.uint8)
    raster, lost = fitted(raster_of(Image.fromarray(samples, "LA"), None), "JPEG")
    gray, share = samples[..., 0].astype(float), samples[..., 1] / 255
    assert np.abs(raster.samples[..., 0] - (gray * share + 255 * (1 - share))).max() <= 0.51
    assert (raster.mode, lost) == ("L", ["transparency, which is laid on white"])


def test_changed_outside_is_counted_at_full_depth_in_the_file(tiny: Path) -> None:
    before = deep("a.png", 1)
    words = ("inpaint", "a.png", "x", "--mask", "box:10,10,40,40", "-m", tiny, "--steps", 1, "--json", "-o", "b.webp")
    kept = np.ones((64, 96), bool)
    kept[10:40, 10:40] = False
    assert run(*words).json["changed_outside"] == np.count_nonzero(before[kept] % 257)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remarks about damaged tags
@pytest.mark.parametrize(("name", "channels"), [("d.png", 3), ("d.png", 2), ("d.tif", 3), ("d.tif", 2), ("d.jp2", 3)])
def test_damaged_deep_pictures_are_read_or_refused_in_a_sentence(name: str, channels: int) -> None:
    chance, path, refused = np.random.default_rng(channels), Path(name), 0
    if name == "d.jp2":
        values = chance.integers(0, 65536, (16, 16, 3), np.uint16)
        path.write_bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="jp2"))
    elif name == "d.tif":
        deep(name, channels)
        tifffile.imwrite(name, tifffile.imread(name)[:16, :16], photometric="rgb" if channels == 3 else "minisblack",
                         extrasamples=["unassalpha"] if channels == 2 else None, compression="zlib")  # fmt: skip
    else:
        deep(name, channels)
    whole = path.read_bytes()
    for _ in range(120):
        damaged = bytearray(whole[: chance.integers(1, len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.integers(1, 6)):
            damaged[chance.integers(min(len(damaged), 300))] = chance.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_picture(path).image.mode in {"RGB", "RGBA"}
        except PictureError as error:
            refused += name in str(error)
    assert refused > 10


# ---- formats ---------------------------------------------------------------------------------------------------


def test_avif_jpeg_2000_and_heic_are_read() -> None:
    colours().save("a.avif", quality=100, subsampling="4:4:4")
    colours().save("a.jp2", irreversible=False)
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(colours()).save("a.heic", quality=100, chroma=444)
    for name in ("a.avif", "a.jp2", "a.heic"):
        near = np.abs(np.asarray(read_picture(name).image, int) - np.asarray(colours()))
        assert near.max() <= (0 if name == "a.jp2" else 6), name


def test_more_than_8_bit_of_an_avif_are_told_of() -> None:
    deep_values = np.random.default_rng(0).integers(0, 1024, (16, 16, 3), np.uint16)
    Path("a.avif").write_bytes(imagecodecs.avif_encode(deep_values, bitspersample=10))
    assert read_picture("a.avif").metadata.lost == ("10-bit depth, of which 8 are read",)
    colours().save("b.avif")
    assert read_picture("b.avif").metadata.lost == ()


def test_a_note_that_holds_for_all_pictures_is_said_once(tiny: Path) -> None:
    words = ("edit", photo(), "x", "-m", tiny, "--steps", 2, "--count", 3, "-o", "b.png")
    assert run(*words).err.count("not kept of photo.jpg") == 1


def test_heic_without_its_reader_says_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PictureError, match=r"is HEIC, which pillow-heif reads; pip install 'diffusion-tricks\[heic\]'"):
        read_picture("a.heic")


@pytest.mark.parametrize("name", ["m.tif", "m.gif", "m.webp"])
def test_a_page_is_named_by_its_number(name: str) -> None:
    pages = [Image.new("RGB", (40, 40), colour) for colour in ("red", "lime", "blue")]
    pages[0].save(name, save_all=True, append_images=pages[1:], **({"lossless": True} if name == "m.webp" else {}))
    assert read_picture(f"{name}[2]").image.getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(PictureError, match=r"\[3\]: the file has 3 (pages|frames), and the first is \[0\]"):
        read_picture(f"{name}[3]")
    refused = run("cover", f"{name}[1]", "--title", "A", "-o", name, "--force")
    assert (refused.code, "is the input" in refused.err) == (2, True) or name == "m.gif"
    pages[1].save("odd.png[1]", "PNG")
    assert page_of("odd.png[1]") == (Path("odd.png[1]"), None)


@pytest.mark.parametrize(("form", "cover", "inpaint"), [
    ("png", "png", "png"), ("tif", "tif", "tif"), ("webp", "webp", "webp"), ("bmp", "bmp", "bmp"),
    ("jpg", "jpg", "png"), ("avif", "avif", "png"), ("gif", "png", "png"), ("jp2", "png", "png"),
])  # fmt: skip
def test_a_picture_keeps_its_format_where_nothing_is_lost_by_it(
    tiny: Path, form: str, cover: str, inpaint: str
) -> None:
    colours().save(f"a.{form}")
    assert covered(f"a.{form}", "--seed", "1").json["path"] == f"cover-1.{cover}"
    words = ("inpaint", f"a.{form}", "x", "--mask", "box:10,10,40,40", "-m", tiny, "--steps", 1, "--seed", 1)
    assert run(*words).out == f"inpaint-1.{inpaint}\n"


def test_a_lossy_file_says_what_it_costs() -> None:
    colours().save("a.png")
    costs = {}
    for quality in (95, 30):
        outcome = covered("a.png", "-o", f"{quality}.jpg", "--quality", str(quality))
        after = np.asarray(Image.open(f"{quality}.jpg"), int)
        costs[quality] = outcome.json["loss"]
        assert f"{quality}.jpg: JPEG, a lossy format, changed" in outcome.err
        assert costs[quality]["of"] == 96 * 64
        assert after.shape == (64, 96, 3)
    assert costs[30]["mean"] > costs[95]["mean"]
    assert Path("30.jpg").stat().st_size < Path("95.jpg").stat().st_size
    refused = run("cover", "a.png", "--title", "A", "-o", "b.png", "--quality", "90")
    assert (refused.code, "--quality is of JPEG, WebP and AVIF" in refused.err) == (2, True)
    assert covered("a.png", "-o", "c.webp", "--quality", "50").json["loss"]["largest"] > 0


def program(words: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "diffusion_tricks_cli", *words], input=data, capture_output=True)


def test_a_picture_comes_by_standard_input_and_goes_by_standard_output() -> None:
    data = Path(photo()).read_bytes()
    done = program(["cover", "-", "--title", "A", "-o", "-", "--json"], data)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 96))
    assert done.stdout.endswith(b"\xff\xd9")
    assert json.loads(done.stderr.splitlines()[-1])["path"] == "-"
    assert program(["cover", "-", "--title", "A", "-o", "a.png"], data).stdout == b"a.png\n"
    assert program(["rerun", "a.png", "-o", "b.png"], data).returncode == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_what_standard_streams_cannot_do_is_refused() -> None:
    empty = program(["cover", "-", "--title", "A", "-o", "-"], b"")
    assert (empty.returncode, b"from standard input, which is empty" in empty.stderr) == (2, True)
    two = run("generate", "a", "--count", 2, "-o", "-")
    assert (two.code, "writes one picture to standard output, got 2" in two.err) == (2, True)


def test_a_trick_finds_the_space_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    colours().save("a.png", icc_profile=DISPLAY_P3)
    seen: list[Any] = []
    finish = Overlay.finish_image

    def noted(self: Any, run: Any, image: Image.Image, index: int) -> Image.Image:
        seen.append(image.info.get("icc_profile"))
        return finish(self, run, image, index)

    noted.diffusion_tricks_impl = finish.diffusion_tricks_impl  # type: ignore[attr-defined]
    monkeypatch.setattr(Overlay, "finish_image", noted)
    covered("a.png", "-o", "b.png")
    assert set(seen) == {DISPLAY_P3}
