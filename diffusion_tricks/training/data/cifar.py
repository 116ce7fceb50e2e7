"""CIFAR-10's own files: `data_batch_1.bin` and its fellows, or `data_batch_1` and its fellows for Python, unpickled.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A record is a label and 3 x 32 x 32 bytes:
red, green and blue, row by row (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.data.captions import named
from diffusion_tricks.training.data.plain_pickle import plain_pickle
from diffusion_tricks.training.data.scanned import resized
from diffusion_tricks.training.data.stream import Batch

SIDE = 32
VALUES = 3 * SIDE * SIDE  # of a picture
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MOST = 1 << 28  # bytes of a file; CIFAR-10's have 31 million


def cifar_files(folder: Path, part: str) -> list[Path]:
    """The files of a part, "train" or "test", in order; those for C before those for Python."""
    pattern = "data_batch_*" if part == "train" else "test_batch*"
    files = sorted(file for file in folder.glob(pattern) if file.is_file() and file.suffix in {"", ".bin"})
    return [file for file in files if file.suffix == ".bin"] or files


class CifarSource:
    """Colour pictures and their labels from a folder with CIFAR-10's files.

    size: side in pixels; 32 is as they are, all else is resized.  part: "train" or "test".
    Raises UsageError for files that are missing, cut short, or hold anything else; pickles in them are not run.
    """

    channels = 3
    classes: tuple[str, ...] = NAMES

    def __init__(self, folder: Path, size: int = SIDE, part: str = "train"):
        self.size = size
        files = cifar_files(folder, part)
        if not files:
            raise UsageError(f"{folder} lacks CIFAR-10's files of the part {part!r}; put them beside the others")
        read = [_binary(file) if file.suffix == ".bin" else _pickled(file) for file in files]
        labels, pixels = (np.concatenate(each) for each in zip(*read, strict=True))
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.pixels: Tensor = torch.from_numpy(pixels).reshape(-1, 3, SIDE, SIDE)

    def __len__(self) -> int:
        """All pictures of the part."""
        return len(self.labels)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Pictures (b 3 size size) as they are in the files; the captions vary."""
        classes = self.labels[list(indices)]
        pictures = resized(self.pixels[list(indices)].float() / 127.5 - 1, self.size)
        return Batch(pictures, [named(NAMES[label], random) for label in classes.tolist()], classes)


def _binary(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n) and bytes (n 3072)."""
    data = _whole(file)
    if not data or len(data) % (1 + VALUES):
        raise UsageError(f"{file} has {len(data):,} bytes, expected records of {1 + VALUES:,}; get another copy of it")
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + VALUES)
    return _checked(file, records[:, 0].copy(), records[:, 1:].copy())


def _pickled(file: Path) -> tuple[np.ndarray, np.ndarray]:
    held = plain_pickle(_whole(file), file)
    labels, pixels = held.get("labels"), held.get("data")
    if not isinstance(labels, list) or not isinstance(pixels, np.ndarray):
        raise UsageError(f"{file} lacks `labels` and `data`, which CIFAR-10's files have; get another copy of it")
    if not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise UsageError(f"{file}: expected labels of 0 to {len(NAMES) - 1}; get another copy of it")
    return _checked(file, np.array(labels, np.uint8), pixels)


def _checked(file: Path, labels: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if pixels.shape != (len(labels), VALUES) or not len(labels):
        raise UsageError(
            f"{file}: expected {VALUES:,} values for each of {len(labels)} labels, got {pixels.shape}; "
            "get another copy of it"
        )
    if labels.max() >= len(NAMES):
        raise UsageError(f"{file}: expected labels of 0 to {len(NAMES) - 1}, got {labels.max()}; is it CIFAR-10's?")
    return labels, pixels


def _whole(file: Path) -> bytes:
    if file.stat().st_size > MOST:
        raise UsageError(f"{file} has {file.stat().st_size:,} bytes, more than any of CIFAR-10's; is it another file?")
    return file.read_bytes()
