"""TIFF files of any depth: pages that Pillow has no mode for, and pictures with all that is said of them.

tifffile writes the pixels and the tags; the directories of EXIF are appended, as TIFF 6.0 and EXIF 2.32, 4.6.3, say.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from diffusion_tricks.io.metadata import EXIF, GPS, IPTC_TAG
from diffusion_tricks.io.raster import Raster, Samples

XMP, COPYABLE = 700, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
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
    data = bytearray(file.getvalue())
    for tag in (EXIF, GPS):
        if exif is not None and (entries := exif.get_ifd(tag)):
            _append(data, tag, entries)
    return bytes(data)


def _tags(exif: Image.Exif | None, xmp: bytes | None, iptc: bytes | None) -> list[tuple[int, int, int, Any, bool]]:
    """The tags of the picture in tifffile's form; those of further directories hold no place yet."""
    found = [_packed(tag, value) for tag, value in exif.items() if tag not in (EXIF, GPS)] if exif is not None else []
    found += [(tag, 1, len(data), data, True) for tag, data in ((XMP, xmp), (IPTC_TAG, iptc)) if data]
    found += [(tag, 4, 1, 0, True) for tag in (EXIF, GPS) if exif is not None and exif.get_ifd(tag)]
    return found


def _packed(tag: int, value: Any) -> tuple[int, int, int, Any, bool]:
    """One tag with the type that Pillow finds for it, as bytes."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(HEAD)
    directory[tag] = value
    data = directory.tobytes(0)
    kind, count, inline = struct.unpack_from("<HI4s", data, 4)
    size = count * tifffile_size(kind)
    if size <= 4:
        return tag, kind, count, inline[:size], True
    (start,) = struct.unpack("<I", inline)
    return tag, kind, count, data[start : start + size], True


def tifffile_size(kind: int) -> int:
    """Bytes of one value of a type of TIFF 6.0."""
    return {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}[kind]


def _append(data: bytearray, tag: int, entries: Mapping[int, Any]) -> None:
    """Puts a directory at the end of a file, and its place where the tag that names it stands."""
    data.extend(b"\0" * (len(data) % 2))
    directory = TiffImagePlugin.ImageFileDirectory_v2(HEAD, group=tag)
    for name, value in entries.items():
        directory[name] = value
    struct.pack_into("<I", data, _value_of(data, tag), len(data))
    data.extend(directory.tobytes(len(data)))


def _value_of(data: bytearray, tag: int) -> int:
    """Where the value of a tag of the first directory stands."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    places = range(int(start) + 2, int(start) + 2 + 12 * int(count), 12)
    return next(place + 8 for place in places if (tag,) == struct.unpack_from("<H", data, place))


def read_samples(path: Path | io.BytesIO, page: int = 0) -> tuple[Samples, bool]:
    """The samples (h w c) of a page of a TIFF file at their own depth, and whether the last channel is alpha.

    Raises what tifffile does for what it cannot read.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        one = file.pages[page]
        samples = one.asarray()
        extra = one.extrasamples  # type: ignore[union-attr]
        if one.planarconfig == 2 and samples.ndim == 3:  # type: ignore[union-attr]
            samples = samples.transpose(1, 2, 0)
        if one.photometric == 0 and samples.dtype.kind == "u":  # type: ignore[union-attr]
            samples = np.iinfo(samples.dtype).max - samples
    return samples.reshape(*samples.shape[:2], -1), bool(extra)
