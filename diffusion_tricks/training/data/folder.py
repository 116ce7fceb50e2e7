"""A folder of pictures: what each shows is said by a text file beside it, its class's folder, or its own name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.training.data.squares import SIZE, Kept, square_bytes
from diffusion_tricks.training.data.stream import Batch

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"}
NAMED = 10  # broken pictures that are named one by one


class FolderSource:
    """The pictures below a folder, cut to squares about their middle, turned upright, alpha on white.

    Captions: each line of `NAME.txt` beside `NAME.png`, one of them drawn at a time; else the name of the class; else
    the file's name, underscores read as spaces.  Classes: the sub-folders, where two or more hold all the pictures.
    size: side in pixels.  flip: mirror half of the pictures.
    Pictures that cannot be read are left out with a warning that names them and says why.
    Raises UsageError where there is no picture, or none that can be read.
    """

    channels = 3

    def __init__(self, folder: Path, size: int = SIZE, flip: bool = False):
        self.folder, self.size, self.flip = folder, size, flip
        self.pixels = Kept(partial(squared, size=size))
        self.files = self._readable(picture_files(folder))
        self.classes = class_folders(folder, self.files)
        self.captions = [captions_of(file, self._class(file)) for file in self.files]

    def __len__(self) -> int:
        """The pictures that can be read."""
        return len(self.files)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Pictures (b 3 size size); `random` draws which are mirrored, and one caption where there are several."""
        pictures = torch.stack([self.pixels[self.files[i]] for i in indices]).float() / 127.5 - 1
        mirrored = torch.from_numpy(random.random(len(pictures)) < (0.5 if self.flip else 0.0))
        pictures = torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)
        captions = [str(random.choice(self.captions[i])) for i in indices]
        names = [self._class(self.files[i]) for i in indices]
        classes = [self.classes.index(name) if name is not None else -1 for name in names]
        return Batch(pictures, captions, torch.tensor(classes))

    def _class(self, file: Path) -> str | None:
        return file.relative_to(self.folder).parts[0] if self.classes else None

    def _readable(self, files: list[Path]) -> list[Path]:
        broken: dict[Path, PictureError] = {}
        for file in files:
            try:
                self.pixels[file]
            except PictureError as error:
                broken[file] = error
        said = "; ".join(str(error) for error in list(broken.values())[:NAMED])
        more = f"; and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        if len(broken) == len(files):
            raise UsageError(f"none of the {len(files)} pictures in {self.folder} can be read: {said}{more}")
        if broken:
            warnings.warn(f"{len(broken)} of {len(files)} pictures are left out: {said}{more}", stacklevel=3)
        return [file for file in files if file not in broken]


def picture_files(folder: Path) -> list[Path]:
    """The picture files below a folder, hidden ones left out, in the order of their names.

    Raises UsageError where there is none.
    """
    found = sorted(_pictures(folder))
    if not found:
        raise UsageError(f"{folder} holds no pictures; expected files that end in {', '.join(sorted(ENDINGS))}")
    return found


def class_folders(folder: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """The names of the sub-folders that hold the pictures; empty where one lies outside them, or they are not two."""
    parts = [file.relative_to(folder).parts for file in files]
    names = sorted({first for first, *_ in parts})
    return tuple(names) if len(names) > 1 and all(len(path) > 1 for path in parts) else ()


def captions_of(file: Path, class_name: str | None) -> list[str]:
    """What a picture may be called: the lines of the text beside it, or its class, or its own name."""
    text = file.with_suffix(".txt")
    lines = text.read_text(encoding="utf-8", errors="replace").splitlines() if text.is_file() else []
    written = [line.strip() for line in lines if line.strip()]
    return written or [" ".join((class_name or file.stem).replace("_", " ").split())]


def squared(file: Path, size: int) -> Tensor:
    """The picture of a file, upright, as bytes (3 size size). Raises PictureError as `read_picture`."""
    return square_bytes(read_picture(file).srgb, size)


def _pictures(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if path.suffix.lower() in ENDINGS and path.is_file() and not any(part.startswith(".") for part in inside):
            yield path
