"""TIFF files of any depth: pages that Pillow has no mode for, and pictures with all that is said of them.

tifffile writes the pixels and the tags; the directories of EXIF are appended, as TIFF 6.0 and EXIF 2.32, 4.6.3, say.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from diffusion_tricks.io.metadata import EXIF, GPS, IPTC_TAG
from diffusion_tricks.io.raster import Raster, Samples

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it finds odd in a file is not said
XMP, MOST_SAMPLES = 700, 6  # of a pixel
PHOTOMETRIC = {"1": "minisblack", "L": "minisblack", "RGB": "rgb", "CMYK": "separated"}
HEAD = b"II*\0\x08\0\0\0"  # little-endian, and its first directory follows at once


def encode_tiff(
    raster: Raster, *, exif: Image.Exif | None = None, xmp: bytes | None = None, iptc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:  # fmt: skip
    """The bytes of a TIFF file (deflate) that holds the samples as they are."""
    import tifffile  # here, as most pictures are none

    samples = raster.samples if raster.samples.shape[2] > 1 else raster.samples[..., 0]
    packed = {"bitspersample": 12} if raster.top == 4095 else {"compression": "zlib"}
    file = io.BytesIO()
    tifffile.imwrite(
        file, samples > 0 if raster.mode == "1" else samples, byteorder="<", photometric=PHOTOMETRIC[raster.mode],
        planarconfig="contig" if samples.ndim == 3 else None, extrasamples=["unassalpha"] if raster.alpha else None,
        iccprofile=raster.icc, metadata=None, software=False, extratags=_tags(exif, xmp, iptc),
        resolution=dpi, resolutionunit=2 if dpi else None, **packed,
    )  # fmt: skip
    further = {tag: entries for tag in (int(EXIF), int(GPS)) if exif is not None and (entries := exif.get_ifd(tag))}
    return _with_directories(file.getvalue(), further) if further else file.getvalue()


def _tags(exif: Image.Exif | None, xmp: bytes | None, iptc: bytes | None) -> list[tuple[int, int, int, Any, bool]]:
    """The tags of the picture in tifffile's form."""
    found = [_packed(tag, value) for tag, value in exif.items() if tag not in (EXIF, GPS)] if exif is not None else []
    found += [(tag, kind, len(data), data, True) for tag, kind, data in ((XMP, 1, xmp), (IPTC_TAG, 7, iptc)) if data]
    return found


def _packed(tag: int, value: Any) -> tuple[int, int, int, Any, bool]:
    """One tag with the type that Pillow finds for it, as bytes."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(HEAD)
    directory[tag] = value
    data = directory.tobytes(0)
    kind, count, inline = struct.unpack_from("<HI4s", data, 4)
    size = count * _size_of(kind)
    if size <= 4:
        return tag, kind, count, inline[:size], True
    (start,) = struct.unpack("<I", inline)
    return tag, kind, count, data[start : start + size], True


def _size_of(kind: int) -> int:
    """Bytes of one value of a type of TIFF 6.0."""
    return {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}[kind]


def _with_directories(file: bytes, further: Mapping[int, Mapping[int, Any]]) -> bytes:
    """A file with further directories behind it, and a first one that names them, in the place of that it had."""
    (start,) = struct.unpack_from("<I", file, 4)
    (count,) = struct.unpack_from("<H", file, start)
    lines = [file[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    data = bytearray(file + b"\0" * (len(file) % 2))
    for tag, entries in further.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(HEAD, group=tag)
        for name, value in entries.items():
            directory[name] = value
        lines.append(struct.pack("<HHII", tag, 4, 1, len(data)))
        data.extend(directory.tobytes(len(data)))
        data.extend(b"\0" * (len(data) % 2))
    struct.pack_into("<I", data, 4, len(data))
    lines.sort(key=lambda line: line[1::-1])  # by tag, whose second byte counts more
    return bytes(data) + struct.pack("<H", len(lines)) + b"".join(lines) + bytes(4)


def read_samples(path: Path | io.BytesIO, page: int = 0) -> tuple[Samples, bool]:
    """The samples (h w c) of a page of a TIFF file at their own depth, and whether the last channel is alpha.

    Raises ValueError for more samples than pictures have, and what tifffile does for what it cannot read.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        one = file.pages[page]
        if one.imagedepth != 1 or one.samplesperpixel > MOST_SAMPLES:  # type: ignore[union-attr]
            raise ValueError(f"{one.samplesperpixel} samples of {one.imagedepth} layers")  # type: ignore[union-attr]
        samples = one.asarray()
        extra = one.extrasamples  # type: ignore[union-attr]
        if one.planarconfig == 2 and samples.ndim == 3:  # type: ignore[union-attr]
            samples = samples.transpose(1, 2, 0)
        if one.photometric == 0 and samples.dtype.kind == "u":  # type: ignore[union-attr]
            samples = np.iinfo(samples.dtype).max - samples
    return samples.reshape(*samples.shape[:2], -1), bool(extra)
