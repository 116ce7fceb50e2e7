"""The record in each picture: what goes in comes back, nothing private goes in, damage is named."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from command_line import run
from diffusion_tricks.errors import OutputError, OutputFailed, PictureError, RecipeError
from diffusion_tricks.generate.result import Result
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.provenance import (
    provenance_of,
    provenance_xmp,  # fmt: skip
)
from diffusion_tricks.recipes.parameters import parameters_text
from diffusion_tricks.recipes.recipe import recipe_from
from diffusion_tricks.recipes.record import (
    PNG_KEY,
    build_record,
    check_save,
    read_record,
    run_of,
    save,
    sidecar_path,
    without_absolute_paths,
)  # fmt: skip

RECIPE = {
    "version": 1, "model": "emoji", "prompt": 'a "café", 兎', "seed": 5, "size": [64, 64], "steps": 20,
    "scheduler": "ddim", "tricks": [{"trick": "anagram"}, {"trick": "guidance", "scale": 7.0, "negative": "dull"}],
}  # fmt: skip
RECIPE_RECORD = {"record": 1, "recipe": RECIPE}
FACTS = {"seed": 5, "model": "emoji", "plugins": {"my-tricks": "1.2"}, "seconds": 3.0}
NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
}
NAMES = ["a.png", "a.jpg", "a.jpeg", "a.webp", "a.tif", "a.tiff"]
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- what a record holds ---------------------------------------------------------------------------------------


def test_a_record_names_recipe_seed_model_plugins_and_versions():
    record = build_record(RECIPE, FACTS)
    assert record["record"] == 1
    assert recipe_from(record["recipe"]) == recipe_from(RECIPE)
    assert (record["seed"], record["model"], record["plugins"]) == (5, "emoji", {"my-tricks": "1.2"})
    assert record["versions"]["python"] == platform.python_version()
    import diffusers
    import PIL
    import torch
    import transformers

    for library in (diffusers, torch, transformers):
        assert record["versions"][library.__name__].split("+")[0] == library.__version__.split("+")[0]
    assert record["versions"]["pillow"] == PIL.__version__
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/home/ada/cat.png", "cat.png"),
        ("/cat.png", "cat.png"),
        ("/srv/my models/big one", "big one"),
        ("C:\\Users\\Ada\\cat.png", "cat.png"),
        ("\\\\server\\share\\pictures\\cat.png", "cat.png"),
        ("file:///home/ada/cat.png", "cat.png"),
        (Path("/home/ada/cat.png"), "cat.png"),
        (Path("here/cat.png"), "here/cat.png"),
        ("here/cat.png", "here/cat.png"),
        ("google/ddpm-celebahq-256", "google/ddpm-celebahq-256"),
        ("https://example.org/a/cat.png", "https://example.org/a/cat.png"),
        ("a cat / a dog", "a cat / a dog"),
        ("/", "/"),
        ("box:25%,0%,75%,40%", "box:25%,0%,75%,40%"),
        ("", ""),
        (7, 7),
        (None, None),
        (True, True),
    ],
)
def test_absolute_paths_are_cut_to_names(given, kept):
    assert without_absolute_paths(given) == kept
    nested = without_absolute_paths({"a": [{"b": (given, 1)}], "c": given})
    assert nested == {"a": [{"b": [kept, 1]}], "c": kept}


def test_no_absolute_path_stands_anywhere_in_a_record(tmp_path):
    secret = str(tmp_path / "photo.png")
    recipe = {
        "model": str(tmp_path), "picture": secret,
        "tricks": [
            {"trick": "sdedit", "image": secret}, {"trick": "inpaint", "mask": f"{tmp_path}/mask.png"},
            {"trick": "overlay", "title": "a", "font": f"{tmp_path}/Brush.ttf"},
        ],
    }  # fmt: skip
    facts = {"seed": 1, "model": str(tmp_path), "plugins": {str(tmp_path / "mine.py"): "0"}, "notes": [secret]}
    record = build_record(recipe, facts)
    assert str(tmp_path) not in json.dumps(record)
    kept = record["recipe"]
    assert (kept["model"], kept["picture"], kept["tricks"][0]["image"]) == (tmp_path.name, "photo.png", "photo.png")
    assert (kept["tricks"][1]["mask"], kept["tricks"][2]["font"]) == ("mask.png", "Brush.ttf")
    assert record["plugins"] == {"mine.py": "0"}
    assert str(tmp_path) not in parameters_text(recipe, {"model": str(tmp_path)})
    assert recipe["model"] == str(tmp_path)  # the recipe itself is untouched


@pytest.mark.parametrize("text", ["/home/ada/cat.png", "/imagine", "/a/b", "C:\\x\\y", "file:///a/b", "/"])
def test_words_that_look_like_a_path_stay_words(text):
    tricks = [{"trick": "overlay", "title": text, "font": "/srv/A.ttf"}, {"trick": "guidance", "negative": text}]
    recipe = {"prompt": text, "negative": text, "tricks": tricks}
    kept = build_record(recipe, FACTS)["recipe"]
    assert kept == recipe | {"version": 1, "tricks": [tricks[0] | {"font": "A.ttf"}, tricks[1]]}
    assert parameters_text(recipe, FACTS).split("\n")[:2] == [text, f"Negative prompt: {text}"]


def test_a_record_says_where_and_in_what_it_was_computed():
    ran = {"device": "cuda:1", "dtype": "float16", "max_rows": 2}
    assert build_record(RECIPE, FACTS | ran)["run"] == ran
    assert run_of(build_record(RECIPE, FACTS | ran)) == ran
    assert build_record(RECIPE, FACTS | {"device": "cpu", "max_rows": None})["run"] == {"device": "cpu"}
    assert run_of({"record": 1, "recipe": {}}) == {}


@pytest.mark.parametrize("run", [[], {"dtype": "int8"}, {"device": 3}, {"max_rows": 0}, {"max_rows": "many"}])
def test_a_run_section_that_is_damaged(run):
    with pytest.raises(RecipeError, match="the diffusion-tricks record is damaged: run"):
        run_of({"record": 1, "recipe": {}, "run": run})


def test_the_parameters_text_has_the_form_other_programs_read():
    lines = parameters_text(RECIPE, {"seed": 6, "width": 128, "height": 64, "model": "a, b"}).split("\n")
    assert lines[0] == 'a "café", 兎'
    assert lines[1] == "Negative prompt: dull"
    start = 'Steps: 20, Sampler: ddim, CFG scale: 7, Seed: 6, Size: 128x64, Model: "a, b", Tricks: anagram + guidance, '
    assert lines[2].startswith(start + "Version: diffusion-tricks")
    assert len(lines) == 3


def test_the_parameters_text_leaves_out_what_is_not_known():
    text = parameters_text({"prompt": None, "size": [32, 64], "guidance": 2.5, "tricks": []}, {"seed": 0})
    assert text.startswith("\nCFG scale: 2.5, Seed: 0, Size: 32x64, Version: diffusion-tricks")


def test_records_need_no_torch():
    code = "import sys, diffusion_tricks.recipes.record, diffusion_tricks.io.pictures; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- there and back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_is_read(tmp_path, name):
    record = build_record(RECIPE, FACTS)
    save(PICTURE, tmp_path / name, record, parameters="a rabbit\nSteps: 20", provenance="generated")
    read = read_record(tmp_path / name)
    assert {key: read[key] for key in record} == record
    with Image.open(tmp_path / name) as file:
        text = file.info.get("parameters", read.get("parameters"))
    assert text == "a rabbit\nSteps: 20"
    assert sorted(contents(tmp_path)) == sorted([name] if name == "a.png" else [name, name + ".json"])
    if not name.startswith("a.jp"):
        np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / name).image), np.asarray(PICTURE))


def test_png_text_is_utf8_itxt(tmp_path):
    save(PICTURE, tmp_path / "a.png", {"record": 1, "recipe": {"prompt": "兎"}}, parameters="兎 e\0nd \udcff")
    data = (tmp_path / "a.png").read_bytes()
    assert b"iTXt" + PNG_KEY.encode() + b"\0\0\0\0\0" + '{"record": 1, "recipe": {"prompt": "兎"}}'.encode() in data
    with Image.open(tmp_path / "a.png") as file:
        assert file.info["parameters"] == "兎 end ?"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("kind", "source"), [("generated", "trainedAlgorithmicMedia"), ("edited", "compositeWithTrainedAlgorithmicMedia")]
)
def test_provenance_is_xmp_that_parses(tmp_path, name, kind, source):
    save(PICTURE, tmp_path / name, None, provenance=kind)
    with Image.open(tmp_path / name) as file:
        packet = file.info["xmp"]
    assert packet == provenance_xmp(kind)
    assert packet.startswith(b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    root = ET.fromstring(packet.decode())
    found = root.findtext("rdf:RDF/rdf:Description/ext:DigitalSourceType", namespaces=NAMESPACES)
    assert found == f"http://cv.iptc.org/newscodes/digitalsourcetype/{source}"
    assert root.findtext("rdf:RDF/rdf:Description/xmp:CreatorTool", namespaces=NAMESPACES) == "diffusion-tricks"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["generated", "edited", None])
def test_the_mark_of_a_picture_is_read(tmp_path, name, kind):
    save(PICTURE, tmp_path / name, None, provenance=kind)
    assert read_picture(tmp_path / name).provenance == kind


def test_the_mark_is_read_as_an_attribute_and_only_if_it_says_so():
    home = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    for word, kind in {"trainedAlgorithmicMedia": "generated", "digitalCapture": None}.items():
        said = f'<rdf:Description Iptc4xmpExt:DigitalSourceType="{home}{word}"/>'
        assert provenance_of(said.encode()) == provenance_of(said) == kind
    assert provenance_of(None) is None
    assert provenance_of(b"trainedAlgorithmicMedia \xff") is None


@pytest.mark.parametrize("name", NAMES)
def test_without_record_and_provenance_there_is_nothing_but_the_picture(tmp_path, name):
    save(PICTURE, tmp_path / name, None, parameters="a rabbit")
    data = contents(tmp_path)
    assert list(data) == [name]
    assert b"rabbit" not in data[name]
    assert b"xpacket" not in data[name]
    assert b"diffusion-tricks" not in data[name]


# ---- side-cars -------------------------------------------------------------------------------------------------


def test_neither_picture_nor_side_car_is_overwritten_without_force(tmp_path):
    path, record = tmp_path / "a.jpg", build_record(RECIPE, FACTS)
    sidecar_path(path).write_bytes(b"mine")
    for refused in (lambda: save(PICTURE, path, record), lambda: check_save(path, force=False)):
        with pytest.raises(OutputError, match=r"a\.jpg\.json exists; pass `force=True` to overwrite it"):
            refused()
    assert contents(tmp_path) == {"a.jpg.json": b"mine"}
    check_save(path, force=False, metadata=False)
    save(PICTURE, path, record, force=True)
    assert read_record(path)["recipe"] == record["recipe"]
    sidecar_path(path).unlink()
    with pytest.raises(OutputError, match=r"a\.jpg exists; pass `force=True`"):
        save(PICTURE, path, record)
    assert list(contents(tmp_path)) == ["a.jpg"]


def test_a_side_car_never_replaces_an_input(tmp_path):
    recipe = tmp_path / "a.jpg.json"
    recipe.write_bytes(b"{}")
    with pytest.raises(OutputError, match=r"is the input .*, and an input is never overwritten"):
        save(PICTURE, tmp_path / "a.jpg", build_record(RECIPE, FACTS), force=True, inputs=[recipe])
    assert contents(tmp_path) == {"a.jpg.json": b"{}"}


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_picture_and_side_car_are_written_both_or_neither(tmp_path, monkeypatch, call, old, function):
    if old:
        save(PICTURE, tmp_path / "a.jpg", build_record({"prompt": "old"}, FACTS))
    before, calls, real = contents(tmp_path), [], getattr(os, function)

    def full(*given: object) -> None:
        calls.append(given)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*given)

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OutputFailed, match="could not be written: the disk is full"):
        save(PICTURE, tmp_path / "a.jpg", build_record(RECIPE, FACTS), force=True)
    monkeypatch.undo()
    assert contents(tmp_path) == before


def test_a_record_of_a_picture_that_is_gone_does_not_stay(tmp_path):
    path = tmp_path / "a.jpg"
    save(PICTURE, path, build_record(RECIPE, FACTS))
    save(PICTURE, path, None, force=True)
    assert list(contents(tmp_path)) == ["a.jpg"]
    sidecar_path(path).write_text('{"somebody": "else"}')
    save(PICTURE, path, None, force=True)
    assert contents(tmp_path)["a.jpg.json"] == b'{"somebody": "else"}'


# ---- what cannot be read ---------------------------------------------------------------------------------------


def png_with(path: Path, text: str) -> Path:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(PNG_KEY, text)
    PICTURE.save(path, pnginfo=chunks)
    return path


DAMAGED = [
    ("{", "record.* is not valid JSON"),
    ("[" * 200_000, "is not valid JSON"),
    ('{"record": ' + "9" * 5000 + "}", "is not valid JSON"),
    ("[1]", "holds a list, expected an object"),
    ('{"record": 1}', "damaged, expected an object with a recipe"),
    ('{"record": true, "recipe": {}}', "damaged, expected an object with a recipe"),
    ('{"record": 0, "recipe": {}}', "damaged, expected an object with a recipe"),
    ('{"record": 2, "recipe": {}}', "has version 2, expected 1; it was written by a newer diffusion-tricks: update"),
]


@pytest.mark.parametrize(("text", "message"), DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_damaged_records(tmp_path, name, text, message):
    if name == "a.png":
        png_with(tmp_path / name, text)
    else:
        PICTURE.save(tmp_path / name)
        sidecar_path(tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_record(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_without_record(tmp_path, name):
    PICTURE.save(tmp_path / name)
    with pytest.raises(PictureError, match=rf"carries no diffusion-tricks record, and there is no {name}\.json beside"):
        read_record(tmp_path / name)


def test_files_that_are_no_pictures(tmp_path):
    with pytest.raises(PictureError, match="does not exist"):
        read_record(tmp_path / "none.png")
    (tmp_path / "t.png").write_text("hello")
    with pytest.raises(PictureError, match="is not a picture that can be read"):
        read_record(tmp_path / "t.png")


def test_a_side_car_that_is_no_text_or_huge(tmp_path):
    PICTURE.save(tmp_path / "a.jpg")
    sidecar = sidecar_path(tmp_path / "a.jpg")
    sidecar.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read as text in UTF-8"):
        read_record(tmp_path / "a.jpg")
    with sidecar.open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(RecipeError, match="holds more than 16,777,216 bytes"):
        read_record(tmp_path / "a.jpg")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_text_that_unpacks_to_a_giant_is_refused(tmp_path):
    bomb = chunk(b"iTXt", PNG_KEY.encode() + b"\0\1\0\0\0" + zlib.compress(b" " * 100_000_000))
    PICTURE.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[:33] + bomb + data[33:])  # right after IHDR
    with pytest.raises(PictureError, match=r"b\.png is damaged or cut short \(Decompressed data too large"):
        read_record(tmp_path / "b.png")
    many = chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b" " * 1_000_000)) * 80
    (tmp_path / "c.png").write_bytes(data[:33] + many + data[33:])
    with pytest.raises(PictureError, match=r"c\.png is damaged or cut short \(Too much memory used in text chunks"):
        read_record(tmp_path / "c.png")


def test_a_large_record_survives(tmp_path):
    record = {"record": 1, "recipe": {"prompt": "rabbit " * 1_000_000}}
    save(PICTURE, tmp_path / "a.png", record)
    assert read_record(tmp_path / "a.png") == record


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp"])
@pytest.mark.parametrize("text", ["a café, 兎 🐇\nSteps: 20, Seed: 5", "plain", "half \ud800 a pair, \0 and none"])
def test_jpeg_and_webp_carry_the_parameters_where_other_programs_look(tmp_path, name, text):
    """As the AUTOMATIC1111 web UI reads them, by piexif: eight bytes of prefix, then UTF-16, big-endian."""
    save(PICTURE, tmp_path / name, RECIPE_RECORD, parameters=text, provenance="generated")
    with Image.open(tmp_path / name) as picture:
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf_16_be") == text.replace("\ud800", "?").replace("\0", "")
    said = text.replace("\ud800", "?").replace("\0", "")
    assert read_record(tmp_path / name) == RECIPE_RECORD | {"parameters": said}
    assert read_picture(tmp_path / name).provenance == "generated"


def test_parameters_that_no_segment_holds_stand_in_the_side_car_alone(tmp_path):
    save(PICTURE, tmp_path / "a.jpg", RECIPE_RECORD, parameters="x" * 40_000)
    assert not Image.open(tmp_path / "a.jpg").getexif()
    assert read_record(tmp_path / "a.jpg")["parameters"] == "x" * 40_000


def test_a_picture_without_metadata_has_no_exif(tmp_path):
    save(PICTURE, tmp_path / "a.jpg", None, parameters="Steps: 20")
    assert not Image.open(tmp_path / "a.jpg").getexif()


def test_a_result_saves_itself(tmp_path: Path) -> None:
    recipe = recipe_from({"prompt": "a", "seed": 5, "steps": 2})
    result = Result(PICTURE, 5, 0, recipe, "generated", {"model": "emoji", "steps": 2, "score": {"alignment": 0.3}})
    path = tmp_path / "a.png"
    assert result.save(path) == {"path": str(path), "seed": 5, "index": 0, **result.facts}
    record = read_record(path)
    assert (record["recipe"], record["seed"], record["score"]) == (recipe.data(), 5, {"alignment": 0.3})
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(PICTURE))
    assert read_picture(path).provenance == "generated"
    with pytest.raises(OutputError, match="exists"):
        result.save(path)
    result.save(path, force=True, metadata=False, provenance=False)
    assert read_picture(path).provenance is None
    with pytest.raises(PictureError, match="carries no diffusion-tricks record"):
        read_record(path)


# the files that a picture was made from


def test_the_record_holds_the_hashes_of_inputs_and_rerun_heeds_them(tiny: Path, tmp_path: Path) -> None:
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.effect_noise((40, 30), 60).convert("RGB").save(photo)
    Image.new("L", (40, 30), 255).crop((0, 0, 40, 30)).save(mask)
    said = ["--mask", f"{mask} & box:5,5,20,20", "-m", tiny, "--steps", 2, "--seed", 1]
    made = run("inpaint", photo, "x", *said, "-o", tmp_path / "out.png", "--json")
    assert made.code == 0, made.err
    record = read_record(tmp_path / "out.png")
    assert record["inputs"] == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (photo, mask)
    }  # fmt: skip
    assert (record["changed_outside"], record["kept_sha256"]) == (0, made.json["kept_sha256"])
    assert "photo.png " in run("show", tmp_path / "out.png").out
    again = ["rerun", tmp_path / "out.png", "-m", tiny, "-o", tmp_path / "again.png"]
    assert run(*again).code == 0
    assert Image.open(tmp_path / "again.png").tobytes() == Image.open(tmp_path / "out.png").tobytes()
    Image.effect_noise((40, 30), 60).convert("RGB").save(photo)
    refused = run(*again, "--force")
    assert refused.code == 2
    assert "out.png was made from another photo.png: " in refused.err
    assert "or pass --changed-input" in refused.err
    assert run(*again, "--force", "--changed-input").code == 0


def test_a_lossy_file_says_nothing_of_kept_pixels(tiny: Path, tmp_path: Path) -> None:
    Image.effect_noise((40, 30), 60).convert("RGB").save(tmp_path / "photo.png")
    said = ["--mask", "box:5,5,20,20", "-m", tiny, "--steps", 2, "-o", tmp_path / "out.jpg"]
    assert run("inpaint", tmp_path / "photo.png", "x", *said).code == 0
    record = read_record(tmp_path / "out.jpg")
    assert not {"changed_outside", "seam", "kept_sha256"} & record.keys()
    assert list(record["inputs"]) == ["photo.png"]
