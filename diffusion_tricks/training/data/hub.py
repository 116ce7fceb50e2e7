"""Any Hugging Face data set with a column of pictures, by name or saved to a directory; needs `datasets`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion_tricks.errors import PictureError, UnknownName, UsageError
from diffusion_tricks.io.pictures import DAMAGE
from diffusion_tricks.training.data.squares import SIZE, Kept, in_channels, square_bytes
from diffusion_tricks.training.data.stream import Batch

CAPTIONS = ("caption", "captions", "text", "prompt", "description", "sentence", "title")
LABELS = ("label", "labels", "class", "fine_label", "coarse_label", "category")
HELD_OUT = ("validation", "valid", "val", "dev", "test")
GRAY = {"1", "L", "LA"}


class HubSource:
    """The pictures of a loaded data set, cut to squares about their middle, with its captions and labels.

    size: side in pixels; None is the shorter side of the first picture, at most 64.  image_column, caption_column,
    label_column: which columns to use; None finds them by their type, then by their name. A caption column may hold
    several texts a picture; without one the name of the label is the caption.
    Raises UsageError where no column holds pictures, or a named one holds something else, and UnknownName for a
    column that is not there.
    """

    def __init__(
        self, data: Any, size: int | None = None, *, image_column: str | None = None,
        caption_column: str | None = None, label_column: str | None = None,
    ):  # fmt: skip
        if not len(data):
            raise UsageError("the data set is empty, expected at least one picture")
        self.data, features = data, dict(data.features)
        self.image = _named(image_column, features, _is_image, "pictures") or image_column_of(features)
        self.label = _named(label_column, features, _is_label, "labels") or label_column_of(features)
        self.caption = _named(caption_column, features, _is_text, "texts") or caption_column_of(features, self.label)
        first = self._image(0)
        self.channels = 1 if first.mode in GRAY else 3
        self.size = size or min(SIZE, *first.size)
        self.pixels = Kept(self._read)
        self.values, self.classes = _labels(data, features, self.label)

    def __len__(self) -> int:
        """All rows."""
        return len(self.data)

    def draw(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """Pictures (b c size size); `random` draws one caption where there are several."""
        pictures = torch.stack([self.pixels[i] for i in indices]).float() / 127.5 - 1
        classes = [self.values.get(label, -1) for label in self._column(self.label, indices)]
        texts = self._column(self.caption, indices)
        captions = [self._text(t, c, random) for t, c in zip(texts, classes, strict=True)]
        return Batch(in_channels(pictures, self.channels), captions, torch.tensor(classes))

    def _column(self, name: str | None, indices: Sequence[int]) -> list[Any]:
        return [None] * len(indices) if name is None else self.data.select_columns([name])[list(indices)][name]

    def _text(self, value: object, label: int, random: np.random.Generator) -> str:
        ways = value if isinstance(value, list) else [value]
        texts = [way.strip() for way in ways if isinstance(way, str) and way.strip()]
        if texts:
            return str(random.choice(texts))
        return self.classes[label].replace("_", " ") if label >= 0 else ""

    def _read(self, index: int) -> Tensor:
        return square_bytes(self._image(index), self.size)

    def _image(self, index: int) -> Any:
        try:
            image = self.data.select_columns([self.image])[index][self.image]
        except DAMAGE as error:
            raise PictureError(f"row {index} of the data set holds a picture that cannot be read ({error})") from error
        if image is None:
            raise PictureError(f"row {index} of the data set holds no picture; filter such rows out, and save it anew")
        return image


def image_column_of(features: Mapping[str, Any]) -> str:
    """The first column whose type is a picture. Raises UsageError where there is none."""
    found = [name for name, kind in features.items() if _is_image(kind)]
    if not found:
        raise UsageError(f"the data set has no column of pictures; its columns are {', '.join(features)}")
    return found[0]


def label_column_of(features: Mapping[str, Any]) -> str | None:
    """The first column of class labels, or one of whole numbers or texts that is called so."""
    labels = [name for name, kind in features.items() if type(kind).__name__ == "ClassLabel"]
    plain = [name for name in LABELS if _is_label(features.get(name))]
    return next(iter([*labels, *plain]), None)


def caption_column_of(features: Mapping[str, Any], label: str | None) -> str | None:
    """A column of texts, or of lists of texts, that is called as captions are, or that is the only one."""
    texts = [name for name, kind in features.items() if name != label and _is_text(kind)]
    called = [name for name in CAPTIONS if name in texts]
    return called[0] if called else texts[0] if len(texts) == 1 else None


def load_splits(name: str, config: str | None = None) -> Mapping[str, Any]:
    """The splits of a data set by name: a directory it was saved to, or OWNER/NAME on the Hugging Face hub.

    Raises UsageError where `datasets` is not installed, or where it cannot load that.
    """
    try:
        import datasets
    except ImportError:
        raise UsageError(
            "Hugging Face data sets need the package `datasets`; install it with"
            " `pip install 'diffusion-tricks[datasets]'`"
        ) from None
    try:
        loaded = datasets.load_from_disk(name) if Path(name).is_dir() else datasets.load_dataset(name, config)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UsageError(
            f"{name!r} is no folder here, nor a data set that can be loaded ({error}); check its name and the network"
            if not Path(name).is_dir()
            else f"{name} cannot be read as a saved data set ({error}); save it anew with `save_to_disk`"
        ) from error
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def chosen_split(splits: Mapping[str, Any], split: str | None, held_out: bool) -> tuple[Any, bool]:
    """The split to train on, or the one held out, and whether it must be parted because there is no other.

    Raises UnknownName for a split that is not there.
    """
    if split is not None and split not in splits:
        raise UnknownName("split", split, splits)
    home = split or ("train" if "train" in splits else next(iter(splits)))
    others = [name for name in HELD_OUT if name in splits and name != home]
    return splits[others[0] if held_out and others else home], not others


def _named(column: str | None, features: Mapping[str, Any], fits: Callable[[Any], bool], what: str) -> str | None:
    if column is not None and column not in features:
        raise UnknownName("column", column, features)
    if column is not None and not fits(features[column]):
        raise UsageError(f"the column {column!r} holds no {what}, its type is {features[column]}; name another")
    return column


def _is_image(kind: Any) -> bool:
    return type(kind).__name__ == "Image"


def _is_label(kind: Any) -> bool:
    plain = type(kind).__name__ == "Value" and str(kind.dtype).startswith(("int", "uint", "string", "bool"))
    return plain or type(kind).__name__ == "ClassLabel"


def _is_text(kind: Any) -> bool:
    """True for texts and for lists of texts."""
    kind = getattr(kind, "feature", kind)
    return getattr(kind, "dtype", None) in {"string", "large_string"} and type(kind).__name__ == "Value"


def _labels(data: Any, features: Mapping[str, Any], label: str | None) -> tuple[dict[object, int], tuple[str, ...]]:
    """The class of each value in the column of labels, and what the classes are called."""
    if label is None:
        return {}, ()
    names = getattr(features[label], "names", None)
    values = range(len(names)) if names else sorted({value for value in data[label] if value is not None})
    return {value: i for i, value in enumerate(values)}, tuple(names or map(str, values))
