"""MNIST's own files: `train-images-idx3-ubyte` and its fellows in a folder, gzipped or not.

Format: http://yann.lecun.com/exdb/mnist, two zero bytes, 8 for bytes, the number of axes, their lengths, the values.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.plain import NUMERALS
from diffusion_tricks.io.signatures import kind_of
from diffusion_tricks.training.data.stream import Batch

SIDE = 28
NAMES = {1: "{part}-labels{sep}idx1-ubyte{zip}", 3: "{part}-images{sep}idx3-ubyte{zip}"}
# Zalando's pictures of clothes come in files of the same names; these are the labels that theirs begin with.
FASHION = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FASHION_BEGINS = {"train": bytes([9, 0, 0, 3, 0, 2, 7, 2, 5, 5]), "t10k": bytes([9, 2, 1, 1, 6, 1, 4, 6, 5, 7])}
BYTES = 0x08  # the only type of value that these files have


def idx_file(folder: Path, part: str, axes: int) -> Path | None:
    """The file with the pictures (3 axes) or the labels (1) of `part`, "train" or "t10k", or None."""
    ways = [NAMES[axes].format(part=part, sep=sep, zip=zipped) for sep in ("-", ".") for zipped in ("", ".gz")]
    return next((folder / name for name in ways if (folder / name).is_file()), None)


class MnistSource:
    """Gray pictures and their labels from a folder with MNIST's files, or those of Fashion-MNIST, KMNIST and the like.

    size: side in pixels; 28 is as they are, up to a third more adds a black rim, all else is resized.
    part: "train" or "t10k".  names: what the labels 0 to 9 are called in captions; unless given, digits are "a seven"
    and such, and Fashion-MNIST's clothes, known by their first labels or a folder of that name, go by their names.
    Raises UsageError for files that are missing, cut short, of another kind, or that do not belong together.
    """

    channels = 1

    def __init__(self, folder: Path, size: int = SIDE, part: str = "train", names: Sequence[str] | None = None):
        self.size = size
        pictures, labels = (read_idx(_found(folder, part, axes), axes) for axes in (3, 1))
        if len(pictures) != len(labels):
            raise UsageError(
                f"{folder} has {len(pictures)} pictures but {len(labels)} labels for {part!r}, expected as many of"
                " each; get all files from one place"
            )
        top = max(9, int(labels.max(initial=0)))
        names = names or (FASHION if is_fashion(folder, part, labels) else None)
        self.classes = tuple(names) if names else tuple(map(str, range(top + 1)))
        if top >= len(self.classes):
            raise UsageError(f"{folder} has labels up to {top}, but {len(self.classes)} names were given")
        self.words = tuple(names) if names else (*NUMERALS, *self.classes[10:])
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.pixels = torch.from_numpy(pictures.copy())[:, None]  # (n 1 h w)

    def __len__(self) -> int:
        """All pictures of the part."""
        return len(self.labels)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Pictures (b 1 size size) as they are in the files; the captions vary."""
        classes = self.labels[list(indices)]
        captions = []
        for label in classes.tolist():
            word = self.words[label]
            article = "an" if word[:1].lower() in "aei" else "a"
            captions.append((f"{article} {word}", self.classes[label])[int(random.integers(2))])
        pixels = _sized(self.pixels[list(indices)].float(), self.size)
        return Batch(pixels / 127.5 - 1, captions, classes)


def is_fashion(folder: Path, part: str, labels: np.ndarray) -> bool:
    """Whether the labels of a part are those of Fashion-MNIST, or its folder says so."""
    return "fashion" in folder.name.lower() or labels[:10].tobytes() == FASHION_BEGINS[part]


def _kind(data: bytes) -> str:
    """What a file is that is not the expected one."""
    if data[:2] != b"\0\0" or len(data) < 4:
        return kind_of(data)
    return f"an idx file of {data[3]} axes" if data[2] == BYTES else "an idx file of other numbers than bytes"


def read_idx(file: Path, axes: int) -> np.ndarray:
    """The bytes in an idx file of so many axes. Raises UsageError where it is not one, or not whole."""
    data = _unzipped(file)
    kind, head = bytes([0, 0, BYTES, axes]), 4 + 4 * axes
    if data[:4] != kind or len(data) < head:
        raise UsageError(f"{file} is no idx file of {axes} axes of bytes, as MNIST's are: got {_kind(data)}; get"
                         " another copy of it")  # fmt: skip
    shape = tuple(int(length) for length in np.frombuffer(data[4:head], ">u4"))
    expected = int(np.prod(shape, dtype=object))
    if len(data) - head != expected:
        raise UsageError(
            f"{file} is cut short or overlong: its head promises {' x '.join(map(str, shape))} = {expected:,} bytes,"
            f" {len(data) - head:,} follow; get another copy of it"
        )
    if not expected:
        raise UsageError(f"{file} holds nothing, expected at least one picture; get another copy of it")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _found(folder: Path, part: str, axes: int) -> Path:
    file = idx_file(folder, part, axes)
    if file is None:
        name = NAMES[axes].format(part=part, sep="-", zip="")
        raise UsageError(f"{folder} lacks {name} (or {name}.gz); put it beside the others")
    return file


def _unzipped(file: Path) -> bytes:
    data = file.read_bytes()
    if data[:2] != b"\x1f\x8b":  # some downloads are unpacked on the way and keep their name
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{file} is damaged or cut short ({error}); get another copy of it") from error


def _sized(pictures: Tensor, size: int) -> Tensor:
    """Pictures (b 1 h w) in 0..255 at (b 1 size size): with a black rim where it stays narrow, else resized."""
    h, w = pictures.shape[2:]
    if max(h, w) <= size <= max(h, w) * 4 // 3:
        left, above = (size - w) // 2, (size - h) // 2
        return F.pad(pictures, (left, size - w - left, above, size - h - above))
    resized = F.interpolate(pictures, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 255)
