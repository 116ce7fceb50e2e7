"""Pictures in and out: every reader against NumPy, every refusal by its message, every write whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import random
import resource
import struct
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageCms

from diffusion_tricks.errors import ModelError, OutputError, OutputFailed, PictureError, UsageError
from diffusion_tricks.io import atomic, publish
from diffusion_tricks.io.atomic import atomic_write, atomic_write_all  # fmt: skip
from diffusion_tricks.io.pictures import check_output, encode_picture, read_picture, write_picture  # fmt: skip
from diffusion_tricks.io.pixels import alpha_of, enlarge, fit, flatten, to_images, to_tensor  # fmt: skip

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = ["a.png", "a.webp", "a.tif", "a.tiff"]


def noise(mode: str = "RGB", size: tuple[int, int] = (7, 5), seed: int = 0) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.merge(mode, [Image.fromarray(pixels[..., band].copy()) for band in range(bands)])


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(read_picture(path).image)


# ---- reading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_back_every_pixel(tmp_path, name, mode):
    image = noise(mode)
    write_picture(image, tmp_path / name, force=False)
    picture = read_picture(tmp_path / name)
    assert picture.image.mode == mode
    assert picture.path == tmp_path / name
    np.testing.assert_array_equal(np.asarray(picture.image), np.asarray(image))


def test_gray_is_repeated_and_its_alpha_kept(tmp_path):
    gray = noise("L")
    gray.save(tmp_path / "l.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "l.png"), np.repeat(np.asarray(gray)[..., None], 3, axis=2))
    both = noise("LA")
    both.save(tmp_path / "la.png")
    expected = np.asarray(both)[..., [0, 0, 0, 1]]
    np.testing.assert_array_equal(pixels_of(tmp_path / "la.png"), expected)


def test_black_and_white_become_0_and_255(tmp_path):
    bits = np.random.default_rng(0).random((5, 9)) > 0.5
    Image.fromarray(bits).save(tmp_path / "b.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "b.png"), np.repeat(bits[..., None], 3, axis=2) * np.uint8(255))


@pytest.mark.parametrize("name", ["p.png", "p.gif"])
def test_palettes_are_looked_up_with_transparency(tmp_path, name):
    palette = np.random.default_rng(1).integers(0, 256, (4, 3), dtype=np.uint8)
    index = np.random.default_rng(2).integers(0, 4, (5, 7), dtype=np.uint8)
    index.flat[:4] = range(4)
    image = Image.fromarray(index).convert("L")
    image = Image.frombytes("P", (7, 5), image.tobytes())
    image.putpalette(palette.tobytes())
    image.save(tmp_path / name)
    np.testing.assert_array_equal(pixels_of(tmp_path / name), palette[index])
    image.save(tmp_path / name, transparency=2)
    got = pixels_of(tmp_path / name)
    assert got.shape == (5, 7, 4)
    np.testing.assert_array_equal(got[..., 3], np.where(index == 2, 0, 255))
    np.testing.assert_array_equal(got[index != 2, :3], palette[index[index != 2]])


def test_transparent_colour_of_an_rgb_png_becomes_alpha(tmp_path):
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    image.save(tmp_path / "t.png", transparency=(9, 9, 9))
    np.testing.assert_array_equal(pixels_of(tmp_path / "t.png")[0, :, 3], [255, 0])


@pytest.mark.parametrize("name", ["d.png", "d.tif"])
def test_16_bit_is_scaled_and_rounded_never_clipped(tmp_path, name):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / name)
    expected = np.round(values.astype(np.float64) / 65535 * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(tmp_path / name), np.repeat(expected[..., None], 3, axis=2))


def test_16_bit_gray_keeps_its_transparent_value(tmp_path):
    data = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 0, 0, 0, 0)) + png_chunk(b"tRNS", b"\x12\x34")
    data += png_chunk(b"IDAT", zlib.compress(b"\0\x12\x34\xff\xff")) + png_chunk(b"IEND", b"")
    (tmp_path / "t.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    np.testing.assert_array_equal(pixels_of(tmp_path / "t.png")[0, :, 3], [0, 255])


def test_32_bit_integers_within_16_bit_are_read_and_others_refused(tmp_path):
    values = np.array([[0, 257, 65535]], dtype=np.int32)
    Image.fromarray(values).save(tmp_path / "i.tif")
    np.testing.assert_array_equal(pixels_of(tmp_path / "i.tif")[0, :, 0], [0, 1, 255])
    Image.fromarray(values + 1).save(tmp_path / "i.tif")
    with pytest.raises(PictureError, match="values from 1 to 65536, expected 0 to 65535; save it as 8 or 16 bit"):
        read_picture(tmp_path / "i.tif")


@pytest.mark.parametrize(("values", "top"), [([0, 0.25, 1], 1), ([0, 2.5, 200], 255), ([0, 300, 6e4], 65535)])
def test_floating_point_is_scaled_by_the_least_white_that_holds_it(tmp_path, values, top):
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "f.tif")
    picture = read_picture(tmp_path / "f.tif")
    expected = (np.array(values) / top * 255).round()
    np.testing.assert_array_equal(np.asarray(picture.image)[0, :, 0], expected)
    np.testing.assert_array_equal(picture.raster.samples[0, :, 0], np.float32(values))


@pytest.mark.parametrize("value", [-0.5, 1e6, np.nan])
def test_floating_point_that_is_no_picture_is_refused(tmp_path, value):
    Image.new("F", (2, 2), value).save(tmp_path / "f.tif")
    with pytest.raises(PictureError, match=r"floating-point values from .*, expected 0 to 1, to 255 or to 65535"):
        read_picture(tmp_path / "f.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["o.png", "o.tif", "o.webp", "o.jpg"])
def test_every_exif_orientation_is_turned_upright(tmp_path, name, orientation):
    blocks = np.kron(np.random.default_rng(3).integers(0, 2, (2, 3)), np.ones((16, 16)))
    upright = np.repeat((blocks * 255).astype(np.uint8)[..., None], 3, axis=2)  # survives JPEG: whole blocks
    upright[:16, :16] = (255, 0, 0)
    stored = {  # EXIF 2.3, tag 0x0112: where row 0 and column 0 of what is stored are seen
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name == "o.webp" else {"quality": 100, "subsampling": 0}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, **options)
    got = pixels_of(tmp_path / name)
    assert got.shape == upright.shape
    assert np.abs(got.astype(int) - upright).max() <= (2 if name == "o.jpg" else 0)


def test_icc_bytes_are_kept_for_rgb_and_dropped_for_gray(tmp_path):
    for name in ["c.png", "c.jpg", "c.webp", "c.tif"]:
        write_picture(noise(), tmp_path / name, force=False, icc=SRGB)
        assert read_picture(tmp_path / name).icc == SRGB, name
    gray = SRGB[:16] + b"GRAY" + SRGB[20:]
    noise("L").save(tmp_path / "g.png", icc_profile=gray)
    assert read_picture(tmp_path / "g.png").icc is None
    assert read_picture(tmp_path / "g.png").image.info == {}


def test_cmyk_without_profile(tmp_path):
    image = noise("CMYK", (8, 8))
    image.save(tmp_path / "k.tif")
    c, m, y, k = np.moveaxis(np.asarray(image).astype(float), 2, 0)
    expected = np.stack([(255 - ink) * (255 - k) / 255 for ink in (c, m, y)], axis=2)
    assert np.abs(pixels_of(tmp_path / "k.tif") - expected).max() <= 1


def cmyk_profile() -> bytes:
    """A printer whose black ink alone counts: CIE L* falls from 100 without it to 0, a = b = 0 always."""
    lightness = [100, 0]
    table = b"".join(bytes([round(lightness[k] * 2.55), 128, 128]) for _ in range(8) for k in range(2))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ") + struct.pack(
        ">6H", 2024, 1, 1, 0, 0, 0
    )
    header += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I4sII4sII", 2, b"A2B0", start, len(lut), b"wtpt", start + len(lut), len(white))
    profile = header + tags + lut + white
    return struct.pack(">I", len(profile)) + profile[4:]


def test_cmyk_goes_through_its_own_profile_which_is_then_dropped(tmp_path):
    image = Image.new("CMYK", (2, 1), (255, 255, 255, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    image.save(tmp_path / "k.tif", icc_profile=cmyk_profile())
    picture = read_picture(tmp_path / "k.tif")
    expected = np.array([[[255] * 3, [118] * 3]])  # L* = 100 (1 - 128/255) = 49.8 is 118.3 in sRGB
    assert np.abs(np.asarray(picture.image) - expected).max() <= 1
    assert picture.icc is None


def test_cmyk_with_a_damaged_profile_is_read_without_it(tmp_path):
    Image.new("CMYK", (2, 2), (0, 0, 0, 255)).save(tmp_path / "k.tif", icc_profile=b"no profile")
    assert not pixels_of(tmp_path / "k.tif").any()


def test_a_phones_jpeg_with_a_second_picture_inside_is_read(tmp_path):
    noise().save(tmp_path / "m.jpg", "MPO", save_all=True, append_images=[noise(seed=1)])
    assert read_picture(tmp_path / "m.jpg").image.size == (7, 5)


# ---- what is refused -------------------------------------------------------------------------------------------


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def giant(folder: Path) -> Path:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    path = folder / "giant.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)))
    return path


def test_missing_folder_empty_and_pipe(tmp_path):
    with pytest.raises(PictureError, match=r"none\.png does not exist, expected a picture file; check the name"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(PictureError, match="x does not exist"):
        read_picture(tmp_path / ("x" * 300))
    with pytest.raises(PictureError, match="is a folder, expected a picture file"):
        read_picture(tmp_path)
    (tmp_path / "e.png").touch()
    with pytest.raises(PictureError, match=r"e\.png is empty \(0 bytes\)"):
        read_picture(tmp_path / "e.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match="is not a regular file"):
        read_picture(tmp_path / "pipe.png")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    noise().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fail(errno.EACCES))  # root, who runs many a CI, may read everything
    with pytest.raises(PictureError, match=r"a\.png may not be read by you, .*; change its permissions"):
        read_picture(tmp_path / "a.png")


def test_a_text_file_named_png(tmp_path):
    (tmp_path / "t.png").write_text("hello there")
    with pytest.raises(PictureError, match=r"expected PNG, JPEG, .* got text; convert"):
        read_picture(tmp_path / "t.png")


@pytest.mark.parametrize(("start", "name"), [(b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"), (b"%PDF-1.7\n", "PDF")])
def test_programs_are_never_run(tmp_path, start, name):
    (tmp_path / "x.png").write_bytes(start + b"%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(PictureError, match=f"is {name}, which is a program to be run and is not read; convert it"):
        read_picture(tmp_path / "x.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remarks about damaged tags
@pytest.mark.parametrize("name", ["c.jpg", "c.png", "c.webp", "c.tif"])
def test_cut_short(tmp_path, name):
    data = encode_picture(noise(size=(64, 64)), name)
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(PictureError, match=f"{name} (is damaged or cut short|is not a picture)"):
        read_picture(tmp_path / name)


def test_a_giant_header_is_refused_before_decoding_and_names_its_size(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(PictureError, match="50000 x 50000 pixels, more than the 100,000,000 that are read"):
        read_picture(giant(tmp_path))
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limit_of_pixels_can_be_set(tmp_path, monkeypatch):
    noise(size=(10, 10)).save(tmp_path / "s.png")
    monkeypatch.setenv("DIFFUSION_TRICKS_MAX_PIXELS", "99")
    with pytest.raises(PictureError, match="10 x 10 pixels, more than the 99 that are read"):
        read_picture(tmp_path / "s.png")
    assert read_picture(tmp_path / "s.png", max_pixels=100).image.size == (10, 10)
    monkeypatch.setenv("DIFFUSION_TRICKS_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match="MAX_PIXELS: expected a number of pixels, got 'many'"):
        read_picture(tmp_path / "s.png")


@pytest.mark.parametrize(("name", "what"), [("a.gif", "frames"), ("a.png", "frames"), ("a.webp", "frames"),
                                            ("a.tif", "pages")])  # fmt: skip
def test_several_frames_are_refused(tmp_path, name, what):
    noise(size=(8, 8)).save(tmp_path / name, save_all=True, append_images=[noise(size=(8, 8), seed=1)])
    with pytest.raises(PictureError, match=f"has 2 {what} .*, expected a single picture; save the one you want"):
        read_picture(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remarks about damaged tags
@pytest.mark.parametrize("name", ["f.png", "f.jpg", "f.webp", "f.tif", "f.gif", "f.bmp"])
def test_damaged_bytes_give_a_picture_error_or_a_picture_and_nothing_else(tmp_path, name):
    chance, path = random.Random(name), tmp_path / name
    noise(size=(16, 16)).save(path)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(whole[: chance.randrange(1, len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(min(len(damaged), 200))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert read_picture(path).image.mode in {"RGB", "RGBA"}
        except PictureError as error:
            refused += name in str(error)
    assert refused > 20


# ---- where output may go ---------------------------------------------------------------------------------------


def test_outputs_that_are_refused_early(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="nowhere does not exist; make it first"):
        check_output(tmp_path / "nowhere" / "a.png", force=True)
    with pytest.raises(OutputError, match=r"expected a name that ends in \.png, .*, got '\.gif'; rename the output"):
        check_output(tmp_path / "a.gif", force=True)
    with pytest.raises(OutputError, match="got no extension"):
        check_output(tmp_path / "a", force=True)
    (tmp_path / "d.png").mkdir()
    with pytest.raises(OutputError, match=r"d\.png is a folder, expected the name of a file"):
        check_output(tmp_path / "d.png", force=True)
    (tmp_path / "f.png").touch()
    with pytest.raises(OutputError, match=r"f\.png exists; pass `force=True` to overwrite it"):
        check_output(tmp_path / "f.png", force=False)
    check_output(tmp_path / "f.png", force=True)
    with pytest.raises(OutputError, match=r"f\.png is not a folder"):
        check_output(tmp_path / "f.png" / "a.png", force=True)
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        check_output(tmp_path / ("x" * 300 + ".png"), force=True)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="is not writable; choose another output"):
        check_output(tmp_path / "new.png", force=True)


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink", "folder"])
def test_an_input_is_never_the_output_even_with_force(tmp_path, link):
    source, output = tmp_path / "in.png", tmp_path / "out.png"
    noise().save(source)
    before = source.read_bytes()
    if link == "same":
        output = source
    elif link == "symlink":
        output.symlink_to(source)
    elif link == "hardlink":
        os.link(source, output)
    else:
        (tmp_path / "other").symlink_to(tmp_path)
        output = tmp_path / "other" / "in.png"
    for force in (False, True):
        with pytest.raises(OutputError, match=r"is the input .*, and an input is never overwritten"):
            write_picture(noise(seed=1), output, force=force, inputs=[tmp_path / "none.png", source])
    assert source.read_bytes() == before


def test_a_dangling_link_counts_as_a_file_that_exists(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(OutputError, match="exists; pass `force=True`"):
        write_picture(noise(), tmp_path / "a.png", force=False)


# ---- writing whole or not at all -------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fail(number: int):
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path, monkeypatch, call, number):
    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(os, call, fail(number))
    with pytest.raises(OutputFailed, match=r"a\.png could not be written: the disk is full; free some space"):
        write_picture(noise(), tmp_path / "a.png", force=True)
    monkeypatch.undo()
    assert contents(tmp_path) == {"a.png": b"old"}


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as a full disk would")
def test_a_write_that_the_system_really_refuses(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputFailed, match=r"a\.png could not be written: File too large"):
            write_picture(noise(size=(64, 64)), tmp_path / "a.png", force=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(tmp_path) == {}


def test_interrupted_while_writing(tmp_path, monkeypatch):
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_picture(noise(), tmp_path / "a.png", force=False)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("lacking", [[], ["link"], ["link", "rename"]])
def test_a_file_that_appears_meanwhile_is_not_overwritten_without_force(tmp_path, monkeypatch, lacking):
    path = tmp_path / "a.json"
    if "link" in lacking:
        monkeypatch.setattr(os, "link", fail(errno.EPERM))
    if "rename" in lacking:
        monkeypatch.setattr(publish, "_renamed_exclusively", fail(errno.ENOSYS))
    with pytest.raises(OutputError, match="exists by now; pass `force=True`"):
        atomic_write(path, lambda file: path.write_bytes(b"theirs"))
    assert contents(tmp_path) == {"a.json": b"theirs"}
    atomic_write(path, b"ours", force=True)
    assert contents(tmp_path) == {"a.json": b"ours"}


def test_where_there_are_no_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", fail(errno.EOPNOTSUPP))
    atomic_write(tmp_path / "a.json", b"data")
    assert contents(tmp_path) == {"a.json": b"data"}
    monkeypatch.setattr(publish, "_renamed_exclusively", fail(errno.EIO))
    with pytest.raises(OutputFailed, match=r"b\.json could not be written"):
        atomic_write(tmp_path / "b.json", b"data")
    assert contents(tmp_path) == {"a.json": b"data"}


def test_one_of_many_writers_wins(tmp_path):
    won: list[bytes] = []

    def write(data: bytes) -> None:
        try:
            atomic_write(tmp_path / "a.json", data)
        except OutputError:
            return
        won.append(data)

    threads = [threading.Thread(target=write, args=[bytes([i]) * 1000]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert contents(tmp_path) == {"a.json": won[0]}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_honoured(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_picture(noise(), tmp_path / "a.png", force=False)
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == mode


def test_files_that_belong_together_are_all_put_back(tmp_path, monkeypatch):
    (tmp_path / "old.json").write_bytes(b"old")
    whole = atomic._publish

    def failing(temporary: Path, path: Path, force: bool) -> None:
        if path.name == "picture.jpg":
            raise OSError(errno.EIO, "Input/output error")
        whole(temporary, path, force)

    monkeypatch.setattr(atomic, "_publish", failing)
    files = {tmp_path / "old.json": b"new", tmp_path / "more.json": b"new", tmp_path / "picture.jpg": b"new"}
    with pytest.raises(OutputFailed, match=r"picture\.jpg could not be written: Input/output error"):
        atomic_write_all(files, force=True)
    assert contents(tmp_path) == {"old.json": b"old"}
    monkeypatch.undo()
    atomic_write_all(files, force=True)
    assert contents(tmp_path) == dict.fromkeys(["old.json", "more.json", "picture.jpg"], b"new")


# ---- what is written -------------------------------------------------------------------------------------------


def test_jpeg_is_near_and_lays_alpha_on_white(tmp_path):
    image = Image.new("RGBA", (16, 16), (200, 30, 40, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 16))
    write_picture(image, tmp_path / "a.jpg", force=False)
    got = pixels_of(tmp_path / "a.jpg").astype(int)
    assert np.abs(got[:, :8] - 255).max() <= 3
    assert np.abs(got[:, 8:] - (200, 30, 40)).max() <= 3
    with Image.open(tmp_path / "a.jpg") as file:
        assert {component[1:3] for component in file.layer} == {(1, 1)}  # no chroma subsampling


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_xmp_comes_back(tmp_path, name):
    packet = '<x:xmpmeta xmlns:x="adobe:ns:meta/">é</x:xmpmeta>'.encode()
    write_picture(noise(), tmp_path / name, force=False, xmp=packet)
    with Image.open(tmp_path / name) as file:
        assert file.info["xmp"] == packet


def test_nothing_of_info_leaks_into_the_file():
    image = noise()
    image.info = {"icc_profile": SRGB, "comment": b"private", "xmp": b"private", "exif": b"Exif\0\0private"}
    for name in ["a.png", "a.jpg", "a.webp", "a.tif"]:
        data = encode_picture(image, name)
        assert b"private" not in data
        assert "icc_profile" not in Image.open(io.BytesIO(data)).info


def test_a_picture_too_large_for_its_format(tmp_path):
    with pytest.raises(OutputFailed, match=r"a\.webp could not be encoded as WEBP at 16384 x 1 pixels .*; try \.png"):
        write_picture(Image.new("RGB", (16384, 1)), tmp_path / "a.webp", force=False)
    assert contents(tmp_path) == {}


# ---- pixels ----------------------------------------------------------------------------------------------------


def test_tensors_equal_diffusers_both_ways():
    x = torch.randn(3, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        unit = (x.to(dtype) / 2 + 0.5).clamp(0, 1)  # IFPipeline's and VaeImageProcessor's post-processing
        expected = VaeImageProcessor.numpy_to_pil(VaeImageProcessor.pt_to_numpy(unit))
        for ours, theirs in zip(to_images(x.to(dtype)), expected, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    image = noise(size=(16, 8))
    expected_x = VaeImageProcessor(vae_scale_factor=1).preprocess(image)
    torch.testing.assert_close(to_tensor(image), expected_x, rtol=0, atol=0)


def test_every_8_bit_value_survives_the_round_trip():
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    x = to_tensor(image)
    assert (x.shape, x.dtype, x.min().item(), x.max().item()) == ((1, 3, 16, 16), torch.float32, -1.0, 1.0)
    np.testing.assert_array_equal(np.asarray(to_images(x)[0]), np.asarray(image))


def test_values_that_are_no_numbers():
    with pytest.raises(ModelError, match=r'no numbers \(NaN\), expected a picture; try `dtype="float32"`'):
        to_images(torch.full((1, 3, 2, 2), torch.nan))


def halves() -> Image.Image:
    """White left of the middle, black right of it, 40 x 20, with a red frame of the outer 10 columns."""
    image = Image.new("RGB", (40, 20), "white")
    image.paste("black", (20, 0, 40, 20))
    image.paste("red", (0, 0, 10, 20))
    image.paste("red", (30, 0, 40, 20))
    return image


def test_fit():
    image = halves()
    assert fit(image, (40, 20)) is image
    crop = np.asarray(fit(image, (20, 20), "crop"))
    np.testing.assert_array_equal(crop, np.asarray(image)[:, 10:30])  # the middle, evenly cut
    pad = np.asarray(fit(image, (40, 40), "pad", background=(1, 2, 3)))
    np.testing.assert_array_equal(pad[10:30], np.asarray(image))
    np.testing.assert_array_equal(pad[[0, 9, 30, 39]], np.broadcast_to(np.uint8([1, 2, 3]), (4, 40, 3)))
    stretch = fit(image, (20, 40), "stretch")
    np.testing.assert_array_equal(np.asarray(stretch), np.asarray(image.resize((20, 40), Image.Resampling.LANCZOS)))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(halves()))


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_fit_of_extreme_shapes(how):
    for size in [(1000, 1), (1, 1000), (1, 1)]:
        assert fit(Image.new("RGB", size), (64, 48), how).size == (64, 48)
    with pytest.raises(UsageError, match="at least 1 x 1 pixels, got 0 x 4"):
        fit(Image.new("RGB", (2, 2)), (0, 4), how)


def test_enlarge():
    image = noise(size=(4, 3))
    assert enlarge(image, 1) is image
    np.testing.assert_array_equal(
        np.asarray(enlarge(image, 3, "nearest")), np.asarray(image).repeat(3, axis=0).repeat(3, axis=1)
    )
    assert enlarge(image, 3).size == (12, 9)
    flat = Image.new("RGB", (4, 4), (10, 20, 30))
    np.testing.assert_array_equal(np.asarray(enlarge(flat, 5)), np.full((20, 20, 3), [10, 20, 30], np.uint8))
    with pytest.raises(UsageError, match="enlargement of 1 or more, got 0"):
        enlarge(image, 0)


def test_alpha():
    image = noise("RGBA", (20, 20))
    pixels = np.asarray(image).astype(float)
    alpha = pixels[..., 3:] / 255
    for background in [(255, 255, 255), (10, 200, 30)]:
        expected = pixels[..., :3] * alpha + np.array(background) * (1 - alpha)
        assert np.abs(np.asarray(flatten(image, background)) - expected).max() <= 1
    np.testing.assert_array_equal(np.asarray(alpha_of(image)), pixels[..., 3])
    plain = noise()
    assert alpha_of(plain) is None
    assert flatten(plain) is plain
