"""ICC profiles made by hand, of ICC.1:2022's simplest kind: three primaries, or a gray, and one gamma."""

from __future__ import annotations

import struct

import numpy as np
from PIL import ImageCms

D65, D50 = np.array([0.95047, 1.0, 1.08883]), np.array([0.96422, 1.0, 0.82521])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
ADAPTED = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))  # SMPTE EG 432-1
ADOBE = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
GAMMA = 2.2  # as u8Fixed8Number


def matrix(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """From linear RGB to XYZ under D50 (3 3), by the primaries and a white of D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return np.asarray(ADAPTED @ (columns * np.linalg.solve(columns, D65)))


def _number(value: float) -> int:
    return round(float(value) * 65536)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *map(_number, values))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    header = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061) + bytes(48)  # D50, as 7.2.16 has it
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, place + len(body), len(data))
        body += data
    whole = header + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


CURVE = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(GAMMA * 256))


def rgb_profile(primaries: tuple[tuple[float, float], ...]) -> bytes:
    columns = matrix(primaries).T
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    return _profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), CURVE) | {b"wtpt": _xyz(D50)})


GRAY = _profile(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": CURVE})
DISPLAY_P3, ADOBE_RGB = rgb_profile(P3), rgb_profile(ADOBE)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def lab(rgb: np.ndarray, primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """CIE L*a*b* (... 3) of 8-bit colours of a space of these primaries and this gamma: CIE 15:2004."""
    ratio = ((np.asarray(rgb, float) / 255) ** (round(GAMMA * 256) / 256)) @ matrix(primaries).T / D50
    cube = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(cube, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def srgb_lab(rgb: np.ndarray) -> np.ndarray:
    """The same of sRGB: IEC 61966-2-1."""
    value = np.asarray(rgb, float) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    ratio = linear @ matrix(primaries).T / D50
    cube = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(cube, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
