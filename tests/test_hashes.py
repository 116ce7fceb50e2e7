"""Digests of files that are too large to be read whole each time (`io/hashes.py`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from diffusion_tricks.io.hashes import PART, PARTS, WHOLE, sampled

SIZE = WHOLE + 1


def digest(tmp_path: Path, data: bytes | bytearray) -> str:
    (tmp_path / "file").write_bytes(data)
    return sampled(tmp_path / "file")


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * (WHOLE // 256)
    assert digest(tmp_path, data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("at", [0, PART - 1, SIZE // 31 * 15, SIZE - PART, SIZE - 1])
def test_of_a_large_one_what_lies_in_a_part_counts(tmp_path: Path, at: int) -> None:
    data = bytearray(SIZE)
    before = digest(tmp_path, data)
    data[at] = 1
    assert digest(tmp_path, data) != before


def test_so_does_its_size(tmp_path: Path) -> None:
    assert digest(tmp_path, bytes(SIZE)) != digest(tmp_path, bytes(SIZE + 1))


def test_it_is_made_of_parts_at_equal_distances(tmp_path: Path) -> None:
    data = bytes(i * i // 7 % 251 for i in range(SIZE))
    parts = [data[i * (SIZE - PART) // (PARTS - 1) :][:PART] for i in range(PARTS)]
    assert digest(tmp_path, data) == hashlib.sha256(str(SIZE).encode() + b"".join(parts)).hexdigest()
