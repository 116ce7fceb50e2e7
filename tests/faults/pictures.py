"""Mutated pictures: each is read, or refused with a sentence."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from faults.harness import OK, USAGE, Case, Harness, spoken

KINDS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP", "gif": "GIF"}
MODES = {"PNG": ("RGB", "RGBA", "P", "L", "I;16"), "TIFF": ("RGB", "CMYK", "L"), "JPEG": ("RGB", "CMYK")}
PICTURES = Harness(
    "pictures", "a damaged picture is read or refused with a sentence, exit 2", 24, 500, lambda rng: _cases(rng)
)


def _cases(rng: random.Random) -> Iterator[Case]:
    yield "palette PNG without palette", partial(_read, "png", without_palette())
    while True:
        ending, kind = rng.choice(list(KINDS.items()))
        mode = rng.choice(MODES.get(kind, ("RGB",)))
        how = rng.choice(list(MUTATIONS))
        data = MUTATIONS[how](rng, encoded(kind, mode))
        yield f"{kind} {mode} {how}", partial(_read, ending, data)


def _read(ending: str, data: bytes) -> str | None:
    file = Path(f"in.{ending}")
    file.write_bytes(data)
    return (
        spoken("cover", file, "--title", "x", "-o", "out.png", codes=(OK, USAGE))
        or spoken("show", file, codes=(OK, USAGE))
        or (None if file.read_bytes() == data else "the input was changed")
    )


def encoded(kind: str, mode: str) -> bytes:
    """A small picture as a file."""
    values = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    image, file = Image.fromarray(values), io.BytesIO()
    image = Image.fromarray(values[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    image.save(file, kind)
    return file.getvalue()


def without_palette() -> bytes:
    """A PNG whose pixels are numbers of colours that it does not hold."""
    data = encoded("PNG", "P")
    at = data.index(b"PLTE") - 4
    return data[:at] + data[at + 12 + int.from_bytes(data[at : at + 4], "big") :]


def _flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 32))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _head_flipped(rng: random.Random, data: bytes) -> bytes:
    return _flipped(rng, data[:64]) + data[64:]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _removed(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 64) :]


def _filled(rng: random.Random, data: bytes) -> bytes:
    at, length = rng.randrange(len(data)), rng.choice((1, 4, 8))
    return data[:at] + rng.choice((b"\0", b"\xff")) * length + data[at + length :]


def _doubled(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at // 2 :]


MUTATIONS = {
    "bits flipped": _flipped, "bits of the head flipped": _head_flipped, "cut short": _cut, "bytes removed": _removed,
    "bytes filled": _filled, "a part doubled": _doubled,
}  # fmt: skip
