"""Data by name: which word or path stands for which source, and which part of it is held out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import UnknownName, UsageError
from diffusion_tricks.training.data.cifar import SIDE as CIFAR
from diffusion_tricks.training.data.cifar import CifarSource, cifar_files
from diffusion_tricks.training.data.digits import DigitsSource
from diffusion_tricks.training.data.folder import FolderSource
from diffusion_tricks.training.data.hub import HubSource, chosen_split, load_splits
from diffusion_tricks.training.data.mnist import MnistSource, idx_file
from diffusion_tricks.training.data.parts import InChannels, Labelled, Redrawn, part
from diffusion_tricks.training.data.scanned import SIDE as SCANNED
from diffusion_tricks.training.data.scanned import ScannedDigits
from diffusion_tricks.training.data.shapes import ShapesSource
from diffusion_tricks.training.data.squares import SIZE
from diffusion_tricks.training.data.stream import Source

ON_HUB = re.compile(r"(hub:)?[\w.-]+/[\w.-]+|hub:[\w.-]+")
SAVED = ({"dataset_dict.json"}, {"dataset_info.json", "state.json"})


@dataclass(frozen=True)
class Wanted:
    """What was asked for: the word or path, the side in pixels, the channels, the part and the seed."""

    data: str
    size: int | None
    channels: int | None
    held_out: bool | None
    seed: int

    @property
    def folder(self) -> Path:
        """The path, the home folder written out."""
        return Path(self.data).expanduser()


def open_source(
    data: str, *, size: int | None = None, channels: int | None = None, held_out: bool | None = None,
    seed: int = 0, labels: Sequence[str] = (), **options: Any,
) -> Source:  # fmt: skip
    """The pictures that `data` stands for: a word or a path of `KINDS`, the part to train on, or the one to test on.

    size: side in pixels; None is what is usual there.  channels: 1, 3, or None for the data's own.
    held_out: False is all but the held-out pictures, True is those, None is all.  They are every twentieth picture, or
    a part that comes with the data; generated data have no end, and there they are others, which `seed` settles.
    labels: other names for the classes, in their order; none leaves the data's own.
    options: those of the kind; None stands for its default.
    Raises UnknownName for data or an option that is not known, and UsageError for data that cannot be used.
    """
    if (size is not None and size < 1) or channels not in {None, 1, 3}:
        raise UsageError(f"expected a size of 1 or more and 1 or 3 channels, got {size} and {channels}")
    wanted = Wanted(data, size, channels, held_out, seed)
    kind = kind_of(wanted)
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - set(kind.options):
        raise UnknownName(f"option of {kind.name}", name, kind.options)
    source = kind.opens(wanted, **given)
    source = Labelled(source, tuple(labels)) if labels else source
    return source if channels in {None, source.channels} else InChannels(source, channels or source.channels)


def _emoji(
    wanted: Wanted, *, names: Any = None, looks: Any = None, variety: Any = None, drawings: Any = None
) -> Source:
    from diffusion_tricks.training.data.emoji import EmojiSource, concepts

    names = concepts() if names is None and wanted.data == "emoji" else names
    options = {"names": names, "looks": looks, "variety": variety, "drawings": drawings, "size": wanted.size}
    return _redrawn(EmojiSource(**{name: value for name, value in options.items() if value is not None}), wanted)


def _drawn(wanted: Wanted, *, things: int | None = None, taught: int = 0) -> Source:
    from diffusion_tricks.training.data.drawn import DrawnSource, Pace
    from diffusion_tricks.training.data.sets import Drawings

    pace = None if wanted.held_out else Pace()
    held = Drawings.read(wanted.folder)
    return _redrawn(DrawnSource(held, wanted.size or 64, things, pace=pace, taught=taught), wanted)


def _shapes(wanted: Wanted, *, length: int = 10_000) -> Source:
    return _redrawn(ShapesSource(wanted.size or 32, wanted.channels or 3, length), wanted)


def _digits(wanted: Wanted, *, length: int = 60_000) -> Source:
    return _redrawn(DigitsSource(wanted.size or 28, length), wanted)


def _scanned(wanted: Wanted) -> Source:
    return _part(ScannedDigits(wanted.size or SCANNED), wanted)


def _redrawn(source: Source, wanted: Wanted) -> Source:
    return Redrawn(source, wanted.seed) if wanted.held_out else source


def _part(source: Source, wanted: Wanted) -> Source:
    return source if wanted.held_out is None else part(source, wanted.held_out)


def _mnist(wanted: Wanted, *, names: Any = None) -> Source:
    apart = idx_file(wanted.folder, "t10k", 3) is not None
    name = "t10k" if apart and wanted.held_out else "train"
    source = MnistSource(wanted.folder, wanted.size or 28, name, names)
    return source if apart else _part(source, wanted)


def _cifar(wanted: Wanted) -> Source:
    apart = bool(cifar_files(wanted.folder, "test"))
    source = CifarSource(wanted.folder, wanted.size or CIFAR, "test" if apart and wanted.held_out else "train")
    return source if apart else _part(source, wanted)


def _saved(
    wanted: Wanted, *, image_column: str | None = None, caption_column: str | None = None,
    label_column: str | None = None, split: str | None = None, config: str | None = None,
) -> Source:  # fmt: skip
    name = wanted.data.removeprefix("hub:")
    data, whole = chosen_split(load_splits(str(Path(name).expanduser()), config), split, bool(wanted.held_out))
    columns = {"image_column": image_column, "caption_column": caption_column, "label_column": label_column}
    source = HubSource(data, wanted.size, **columns)
    return _part(source, wanted) if whole else source


def _folder(wanted: Wanted, *, flip: bool = False) -> Source:
    source = FolderSource(wanted.folder, wanted.size or SIZE, flip and not wanted.held_out)
    return _part(source, wanted)


def _is_saved(wanted: Wanted) -> bool:
    return any(all((wanted.folder / name).is_file() for name in names) for names in SAVED)


@dataclass(frozen=True)
class Kind:
    """A kind of data: how it is written, how it is recognised, and how it is opened."""

    name: str
    written: str
    fits: Callable[[Wanted], bool]
    opens: Callable[..., Source]

    @property
    def options(self) -> tuple[str, ...]:
        """The options it takes beside the common ones."""
        return tuple(inspect.signature(self.opens).parameters)[1:]


KINDS = (
    Kind("emoji", "emoji", lambda w: w.data == "emoji", _emoji),
    Kind("all-emoji", "all-emoji", lambda w: w.data == "all-emoji", _emoji),
    Kind("drawings", "an .npz file of drawings", lambda w: w.folder.suffix == ".npz", _drawn),
    Kind("shapes", "shapes", lambda w: w.data == "shapes", _shapes),
    Kind("digits", "digits", lambda w: w.data == "digits", _digits),
    Kind("scikit-learn's digits", "sklearn-digits", lambda w: w.data == "sklearn-digits", _scanned),
    Kind(
        "MNIST", "a folder with train-images-idx3-ubyte", lambda w: idx_file(w.folder, "train", 3) is not None, _mnist
    ),
    Kind("CIFAR-10", "a folder with data_batch_1", lambda w: bool(cifar_files(w.folder, "train")), _cifar),
    Kind("saved data sets", "a folder from `save_to_disk`", _is_saved, _saved),
    Kind("folders", "a folder of pictures", lambda w: w.folder.is_dir(), _folder),
    Kind("hub data sets", "OWNER/NAME or hub:NAME", lambda w: bool(ON_HUB.fullmatch(w.data)), _saved),
)  # the first that fits; a name goes before a folder of that name, which `./name` still reaches


def kind_of(wanted: Wanted) -> Kind:
    """The kind of data that a word or path stands for. Raises UnknownName, or UsageError for a path to nothing."""
    for kind in KINDS:
        if kind.fits(wanted):
            return kind
    if wanted.folder.exists():
        raise UsageError(f"{wanted.data} is a file, expected a folder")
    if len(wanted.folder.parts) > 1:
        raise UsageError(f"the folder {wanted.data} does not exist; check its name")
    raise UnknownName("data", wanted.data, [kind.written for kind in KINDS])
