"""Films in four formats, each frame written as soon as it is computed, so that none is kept.

GIF: GIF89a. WebP: RIFF container of developers.google.com/speed/webp/docs/riff_container; views at rest are lossless.
APNG: W3C PNG, third edition, section 11.3.2. MP4: H.264 by imageio-ffmpeg.
"""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from PIL import Image

from diffusion_tricks.plugin import Animation, PluginError, UsageError, atomic_write
from diffusion_tricks_show.film import Shot

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LOSSY = 90  # quality of what moves in a WebP
MOST_GIF = 50  # frames a second: browsers show shorter times as a tenth of a second
CRF = 18  # of x264: visually lossless
ANIMATED, OPAQUE = 0x02, 0x02  # flags of VP8X and ANMF: it moves; a frame replaces what was there


def write_film(path: Path, shots: Iterable[Shot], fps: int, count: int, *, force: bool, source: Path) -> None:
    """Writes the film in the format that its name says, whole or not at all.

    count: how many shots there are. source: the picture, which is never overwritten.
    Raises UsageError for another format, PluginError where what writes it is not installed, and as `atomic_write`.
    """
    check_format(path, fps)
    if path.suffix.lower() == ".gif":
        _write_gif(path, shots, fps, force=force, source=source)
        return
    writers = {
        ".webp": partial(write_webp, shots=shots, fps=fps), ".mp4": partial(write_mp4, shots=shots, fps=fps),
        ".apng": partial(write_apng, shots=shots, fps=fps, count=count),
    }  # fmt: skip
    atomic_write(path, writers[path.suffix.lower()], force=force, inputs=[source])


def check_format(path: Path, fps: int) -> None:
    """Raises UsageError and PluginError for a film that cannot be written by that name."""
    kind = path.suffix.lower()
    if kind not in {".gif", ".webp", ".apng", ".mp4"}:
        raise UsageError(f"{path}: expected a film's name, .gif, .webp, .apng or .mp4, got {kind or 'no ending'!r}")
    if kind == ".gif" and fps > MOST_GIF:
        raise UsageError(f"a GIF shows up to {MOST_GIF} frames a second, got {fps}; choose fewer, or another format")
    if kind == ".mp4":
        _ffmpeg()


def _write_gif(path: Path, shots: Iterable[Shot], fps: int, *, force: bool, source: Path) -> None:
    animation = Animation(path, 0, 0)
    try:
        for shot, milliseconds in _timed(shots, fps, 10):
            animation.add(shot.image, milliseconds)
        animation.save(force=force, inputs=[source])
    finally:
        animation.close()


def _timed(shots: Iterable[Shot], fps: int, unit: int = 1) -> Iterator[tuple[Shot, int]]:
    """Each with its milliseconds, a multiple of `unit`; what is rounded off is made up for by the next."""
    ticks, before = 0, 0
    for shot in shots:
        ticks += shot.ticks
        now = round(ticks * 1000 / fps / unit) * unit
        yield shot, now - before
        before = now


def write_webp(file: BinaryIO, shots: Iterable[Shot], fps: int) -> None:
    """A WebP that plays for ever; `file` can seek."""
    file.write(b"RIFF\0\0\0\0WEBP")
    begun = False
    for shot, milliseconds in _timed(shots, fps):
        width, height = shot.image.size
        if not begun:
            file.write(_riff(b"VP8X", struct.pack("<I", ANIMATED) + _three(width - 1) + _three(height - 1)))
            file.write(_riff(b"ANIM", b"\xff\xff\xff\xff\0\0"))
            begun = True
        head = bytes(6) + _three(width - 1) + _three(height - 1) + _three(milliseconds) + bytes([OPAQUE])
        file.write(_riff(b"ANMF", head + _bitstream(shot)))
    length = file.tell() - 8
    file.seek(4)
    file.write(struct.pack("<I", length))


def _riff(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _bitstream(shot: Shot) -> bytes:
    """A frame's own chunk, VP8L or VP8, out of a WebP of the frame alone."""
    data = io.BytesIO()
    shot.image.save(data, "WEBP", lossless=shot.rests, quality=80 if shot.rests else LOSSY)
    body, at = data.getvalue(), 12
    while body[at : at + 4] not in {b"VP8L", b"VP8 "}:
        at += 8 + (struct.unpack_from("<I", body, at + 4)[0] + 1) // 2 * 2
    return body[at : at + 8 + (struct.unpack_from("<I", body, at + 4)[0] + 1) // 2 * 2]


def write_apng(file: BinaryIO, shots: Iterable[Shot], fps: int, count: int) -> None:
    """A PNG of `count` frames that plays for ever, without loss."""
    number = 0
    for index, shot in enumerate(shots):
        parts = _chunks(shot.image)
        if index == 0:
            file.write(SIGNATURE + _chunk(b"IHDR", parts[0][1]) + _chunk(b"acTL", struct.pack(">II", count, 0)))
        control = struct.pack(">IIIIIHHBB", number, *shot.image.size, 0, 0, shot.ticks, fps, 0, 0)
        file.write(_chunk(b"fcTL", control))
        number += 1
        for data in (body for name, body in parts if name == b"IDAT"):
            file.write(_chunk(b"IDAT", data) if index == 0 else _chunk(b"fdAT", struct.pack(">I", number) + data))
            number += index > 0
    file.write(_chunk(b"IEND", b""))


def _chunks(image: Image.Image) -> list[tuple[bytes, bytes]]:
    """The chunks of a picture as a PNG: name and body."""
    data = io.BytesIO()
    image.save(data, "PNG")
    body, at, found = data.getvalue(), len(SIGNATURE), []
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        found.append((body[at + 4 : at + 8], body[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def write_mp4(file: BinaryIO, shots: Iterable[Shot], fps: int) -> None:
    """An MP4 of H.264, which every browser and phone plays."""
    ffmpeg = _ffmpeg()
    with tempfile.TemporaryDirectory(prefix=".diffusion-tricks-") as folder:
        place, sink = Path(folder) / "film.mp4", None
        try:
            for shot in shots:
                pixels = _even(shot.image)
                if sink is None:
                    sink = ffmpeg.write_frames(
                        str(place), pixels.size, fps=fps, codec="libx264", macro_block_size=1, ffmpeg_log_level="error",
                        output_params=["-crf", str(CRF), "-movflags", "+faststart"],
                    )  # fmt: skip
                    sink.send(None)
                for _ in range(shot.ticks):
                    sink.send(pixels.tobytes())
        finally:
            if sink is not None:
                sink.close()
        with place.open("rb") as made:
            shutil.copyfileobj(made, file)


def _even(image: Image.Image) -> Image.Image:
    """The picture with sides that H.264 can halve: a last column or row of white, where one is odd."""
    if image.width % 2 == image.height % 2 == 0:
        return image
    page = Image.new("RGB", (image.width + image.width % 2, image.height + image.height % 2), "white")
    page.paste(image)
    return page


def _ffmpeg() -> ModuleType:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise PluginError(
            "a film in .mp4 needs imageio-ffmpeg, which is not installed: pip install 'diffusion-tricks[film]'; .gif,"
            " .webp and .apng need nothing more"
        ) from None
    made: ModuleType = imageio_ffmpeg
    return made
