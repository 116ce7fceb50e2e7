"""What one looks at while a model learns: sheets of samples, and the figure of the one-step denoiser.

The figure of the losses has a file of its own, `curves`; it is offered here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.grid import TILE, labelled_grid
from diffusion_tricks.io.pictures import write_picture
from diffusion_tricks.io.pixels import to_images
from diffusion_tricks.training.curves import loss_figure


def sheet(
    pictures: Tensor, file: str | Path, columns: int | None = None, captions: Sequence[str] | None = None,
    scale: int | None = None, title: str = "",
) -> None:  # fmt: skip
    """Writes pictures (n c h w) in -1..1, c 1 or 3, as one PNG: in rows, each with its caption.

    Captions that are the same in every row, such as names of classes, stand once, above the columns; others below
    their pictures.  columns: pictures in a row; None makes the sheet about square.  scale: how many pixels wide one of
    theirs is shown; None enlarges small ones.  title: above all.  An older sheet is replaced. Raises UsageError for
    another shape or number of captions, or no columns, and ModelError for values that are no numbers.
    """
    _check(pictures, captions)
    if (columns is not None and columns < 1) or (scale is not None and scale < 1):
        raise UsageError(f"expected 1 column or more and a scale of 1 or more, got {columns} and {scale}")
    across = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    above, below = _labels(captions or (), across)
    page = labelled_grid(
        _images(pictures), columns=above, captions=below, across=across, tile=_shown(pictures, scale), title=title
    )
    write_picture(page, file, force=True)


def _labels(captions: Sequence[str], across: int) -> tuple[Sequence[str], Sequence[str]]:
    """The captions as labels of the columns, where every row has the same; else as they are."""
    above = captions[:across]
    cycled = len(captions) > across and all(text == above[i % across] for i, text in enumerate(captions))
    return (above, ()) if cycled and any(captions) else ((), captions if any(captions) else ())


def denoiser_figure(
    noisy: Tensor, before: Tensor, after: Tensor, sigmas: Sequence[float], file: str | Path, *, trained: float,
    errors: Mapping[str, Sequence[float]], scale: int | None = None,
) -> None:  # fmt: skip
    """Writes what a one-step denoiser makes of each noise level, as one PNG: a column a level, three rows a picture.

    noisy, before, after: its inputs, and its outputs before and after training (levels n c h w) in -1..1.
    sigmas: the noise of each level; that of `trained` is marked.  errors: lines below the pictures, each a label
    and a held-out mean squared error per level.  Raises UsageError where these do not fit each other.
    """
    _check_levels(noisy, before, after, sigmas, errors)
    named = {"noisy input": noisy, "before training": before, "after training": after}
    shown = torch.stack(list(named.values())).permute(2, 0, 1, 3, 4, 5).flatten(0, 2)  # a picture's three rows together
    at_home = [i for i, sigma in enumerate(sigmas) if math.isclose(sigma, trained)]
    page = labelled_grid(
        _images(shown), rows=[*named] * noisy.shape[1], tile=_shown(shown, scale), marked=at_home,
        columns=[f"sigma {sigma:g}" + ("\ntrained" if i in at_home else "") for i, sigma in enumerate(sigmas)],
        footer={f"mean squared error, {name}": list(map(_short, row)) for name, row in errors.items()},
    )  # fmt: skip
    write_picture(page, file, force=True)


def _images(pictures: Tensor) -> list[Image.Image]:
    return to_images(pictures.float().expand(-1, 3, -1, -1))


def _shown(pictures: Tensor, scale: int | None) -> int:
    """How wide pictures (n c h w) are shown, in pixels."""
    return TILE if scale is None else scale * pictures.shape[-1]


def _check(pictures: Tensor, captions: Sequence[str] | None) -> None:
    if pictures.ndim != 4 or len(pictures) == 0 or pictures.shape[1] not in {1, 3}:
        raise UsageError(f"expected pictures (n c h w) of 1 or 3 channels, got {tuple(pictures.shape)}")
    if captions is not None and len(captions) != len(pictures):
        raise UsageError(f"expected a caption for each of {len(pictures)} pictures, got {len(captions)}")


def _check_levels(
    noisy: Tensor, before: Tensor, after: Tensor, sigmas: Sequence[float], errors: Mapping[str, Sequence[float]]
) -> None:
    shapes = [tuple(x.shape) for x in (noisy, before, after)]
    if len(set(shapes)) > 1 or noisy.ndim != 5 or 0 in noisy.shape:
        raise UsageError(f"expected three tensors (levels n c h w) of one shape, got {', '.join(map(str, shapes))}")
    _check(noisy[0], None)
    lengths = {len(sigmas), *(len(row) for row in errors.values())}
    if lengths != {len(noisy)}:
        raise UsageError(f"expected {len(noisy)} noise levels and as many errors, got {sorted(lengths)}")


def _short(error: float) -> str:
    return f"{error:.4f}" if error < 10 else f"{error:.3g}"


__all__ = ["denoiser_figure", "loss_figure", "sheet"]
