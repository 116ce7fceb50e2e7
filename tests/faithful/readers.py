"""Readers that share nothing with the program's own: PNG by NumPy from the standard, TIFF by tifffile, else Pillow."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # ISO/IEC 15948, table 11.1: colour types without a palette


def samples_of(path: Path) -> np.ndarray:
    """(h w c) as the file holds them, without any turning; of 1 bit 0 and 255."""
    if path.suffix == ".png":
        return png(path.read_bytes())
    values = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
    values = values.astype(np.uint8) * np.uint8(255) if values.dtype == bool else values
    return values.reshape(*values.shape[:2], -1)


def said_by(path: Path) -> tuple[Any, Any, bytes, bytes | None]:
    """Copyright and orientation of EXIF, XMP, and the ICC profile."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            rights, turn, xmp, icc = (tags.valueof(tag) for tag in (0x8298, 0x0112, 700, 34675))
        return rights, turn, bytes(xmp or b""), bytes(icc) if icc else None
    with Image.open(path) as image:
        image.load()
        exif = image.getexif()
        return exif.get(0x8298), exif.get(0x0112), image.info.get("xmp", b""), image.info.get("icc_profile") or None


def png(data: bytes) -> np.ndarray:
    """The samples of a PNG that is neither of a palette nor interlaced."""
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(name + body), name
        chunks.append((name, body))
        place += 12 + length
    width, height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    assert not interlaced
    step = max(1, CHANNELS[kind] * bits // 8)
    rows = unfiltered(zlib.decompress(b"".join(b for n, b in chunks if n == b"IDAT")), height, step)
    if bits < 8:
        assert bits == 1
        return np.unpackbits(rows, axis=1)[:, :width, None] * np.uint8(255)
    values = rows.reshape(-1).view(">u2").astype(np.uint16) if bits == 16 else rows
    return np.asarray(values.reshape(height, width, CHANNELS[kind]))


def unfiltered(data: bytes, height: int, step: int) -> np.ndarray:
    """ISO/IEC 15948, 9.2: rows of bytes without their filters."""
    lines = np.frombuffer(data, np.uint8).reshape(height, -1)
    rows = np.zeros((height, lines.shape[1] - 1 + step), np.int32)  # `step` zeros stand before each row
    for y in range(height):
        above = rows[y - 1] if y else np.zeros_like(rows[0])
        for x, value in enumerate(lines[y, 1:].tolist(), step):
            a, b, c = int(rows[y, x - step]), int(above[x]), int(above[x - step])
            p = a + b - c
            nearest = min((a, b, c), key=lambda each: abs(p - each))
            rows[y, x] = (value + (0, a, b, (a + b) // 2, nearest)[lines[y, 0]]) % 256
    return rows[:, step:].astype(np.uint8)
