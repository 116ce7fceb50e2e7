"""What one looks at while a model learns: sheets of samples, and the figure of the one-step denoiser.

The figure of the losses has a file of its own, `curves`; it is offered here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.pictures import write_picture
from diffusion_tricks.io.pixels import enlarge, to_images
from diffusion_tricks.training.curves import loss_figure
from diffusion_tricks.training.lettering import FAINT, INK, font, wrapped

CELL = 112  # pixels: about how large a small picture is shown
GAP = 6
LETTERS, LINE = 13, 17  # pixels
LINES = 2  # of a caption
TRAINED = (178, 58, 20)
PAPER = (238, 238, 241)  # neither the white nor the black of a picture's own ground


def sheet(
    pictures: Tensor, file: str | Path, columns: int | None = None, captions: Sequence[str] | None = None,
    scale: int | None = None,
) -> None:  # fmt: skip
    """Writes pictures (n c h w) in -1..1, c 1 or 3, as one PNG: in rows, each with its caption below it.

    columns: pictures in a row; None makes the sheet about square.  scale: how many pixels wide one of theirs is
    shown; None enlarges small ones.  An older sheet is replaced. Raises UsageError for another shape or number of
    captions, or no columns, and ModelError for values that are no numbers.
    """
    _check(pictures, captions)
    if (columns is not None and columns < 1) or (scale is not None and scale < 1):
        raise UsageError(f"expected 1 column or more and a scale of 1 or more, got {columns} and {scale}")
    count, _, h, w = pictures.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    scale = scale or enlargement(w)
    letters = font(LETTERS)
    lines = [wrapped(text, letters, w * scale, LINES) for text in captions or []]
    below = max(map(len, lines), default=0) * LINE
    wide, high = w * scale + GAP, h * scale + below + GAP
    page = Image.new("RGB", (columns * wide + GAP, math.ceil(count / columns) * high + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    for place, tile in enumerate(tiles(pictures, scale)):
        x, y = GAP + place % columns * wide, GAP + place // columns * high
        page.paste(tile, (x, y))
        for row, text in enumerate(lines[place] if lines else []):
            draw.text((x + w * scale / 2, y + h * scale + 2 + row * LINE), text, INK, letters, anchor="ma")
    write_picture(page, file, force=True)


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
    levels, count, _, h, w = noisy.shape
    scale, letters = scale or enlargement(w), font(LETTERS)
    names = ["noisy input", "before training", "after training"]
    left = math.ceil(max(letters.getlength(name) for name in [*names, *errors, "mean squared error"])) + 2 * GAP
    wide, high, top = w * scale + GAP, h * scale + GAP, 2 * LINE + 2 * GAP
    bottom = top + 3 * count * high + (count - 1) * GAP
    size = (left + levels * wide, bottom + (len(errors) + 1) * LINE + 2 * GAP)
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    for column, sigma in enumerate(sigmas):
        x = left + column * wide
        middle, at_home = x + w * scale / 2, math.isclose(sigma, trained)
        colour = TRAINED if at_home else INK
        draw.text((middle, GAP), f"sigma {sigma:g}", colour, letters, anchor="ma")
        draw.text((middle, GAP + LINE), "trained" if at_home else "", colour, letters, anchor="ma")
        for row, name in enumerate(errors):
            draw.text((middle, bottom + LINE + row * LINE), _short(errors[name][column]), colour, letters, anchor="ma")
    for row, (name, rows) in enumerate(zip(names, (noisy, before, after), strict=True)):
        for number in range(count):
            y = top + (3 * number + row) * high + number * GAP
            draw.text((left - GAP, y + h * scale / 2), name, INK, letters, anchor="rm")
            for column, tile in enumerate(tiles(rows[:, number], scale)):
                page.paste(tile, (left + column * wide, y))
    draw.text((left - GAP, bottom), "mean squared error", FAINT, letters, anchor="ra")
    for row, name in enumerate(errors):
        draw.text((left - GAP, bottom + LINE + row * LINE), name, INK, letters, anchor="ra")
    write_picture(page, file, force=True)


def enlargement(width: int) -> int:
    """How many times larger pictures of that width are shown."""
    return max(1, round(CELL / width))


def tiles(pictures: Tensor, scale: int) -> list[Image.Image]:
    """Pictures (n c h w) in -1..1 as images, each pixel a crisp square of `scale`."""
    return [enlarge(image, scale, "nearest") for image in to_images(pictures.float().expand(-1, 3, -1, -1))]


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


__all__ = ["denoiser_figure", "enlargement", "loss_figure", "sheet", "tiles"]
