"""PNG files of 16 bit, which Pillow has modes for only in gray: libpng, through imagecodecs, has them all.

Source: ISO/IEC 15948, Portable Network Graphics.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from diffusion_tricks.io.raster import Samples

SIGNATURE = 8  # bytes
PIXELS = {b"IHDR", b"IDAT", b"IEND"}
DEFLATE = 3  # of 1 to 9: three times as fast as 6, and as small


def encode_png(samples: Samples, beside: bytes) -> bytes:
    """The PNG of deep samples (h w c) with all that another PNG, `beside`, says beside its pixels."""
    import imagecodecs  # here, as most pictures are 8 bit

    whole = np.ascontiguousarray(samples if samples.shape[2] > 1 else samples[..., 0])
    deep = bytes(imagecodecs.png_encode(whole, level=DEFLATE))
    head, *rest = _chunks(deep)
    extra = [chunk for chunk in _chunks(beside) if chunk[4:8] not in PIXELS]
    return deep[:SIGNATURE] + b"".join([head, *extra, *rest])


def decode_png(data: bytes) -> Samples:
    """The samples (h w c) of a PNG without a palette, as they are stored."""
    import imagecodecs

    bare = data[:SIGNATURE] + b"".join(chunk for chunk in _chunks(data) if chunk[4:8] in PIXELS)
    samples = np.asarray(imagecodecs.png_decode(bare))
    return samples.reshape(*samples.shape[:2], -1)


def _chunks(png: bytes) -> Iterator[bytes]:
    """The chunks of a PNG, whole: length, name, data and checksum."""
    place = SIGNATURE
    while place + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, place)
        yield png[place : place + 12 + length]
        place += 12 + length
