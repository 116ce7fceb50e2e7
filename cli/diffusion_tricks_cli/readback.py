"""What was written is read again: whether it is the picture, and what became of the pixels that were to stay."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffusion_tricks.errors import OutputFailed, PictureError
from diffusion_tricks.io.encode import format_of
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.raster import Raster, changed_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_back(path: Path, made: Raster, lossy: bool, data: bytes | None = None) -> Raster:
    """The picture of a file that was just written; `data` is what went elsewhere than into a file.

    made: what was written. Raises OutputFailed for a file that cannot be read, or that holds other pixels.
    """
    width, height = made.size
    try:
        written = read_picture(path if data is None else io.BytesIO(data), max_pixels=width * height).raster
    except PictureError as error:
        raise OutputFailed(f"{path} was written, but cannot be read back: {error}; the disk may be failing") from error
    if written.size != (width, height) or not (lossy or not changed_pixels(made, written).any()):
        raise OutputFailed(f"{path} was written, but reads back with other pixels; the disk may be failing")
    return written


def outside(source: Raster, written: Raster, kept: NDArray[np.bool_]) -> dict[str, Any]:
    """How many pixels of the input file that were to be kept (h w) are others in the file written, at full depth."""
    return {"changed_outside": int(np.count_nonzero(changed_pixels(source, written) & kept))}


def loss(made: Raster, written: Raster, kept: NDArray[np.bool_] | None) -> dict[str, Any]:
    """What a lossy format did to a picture, where it was to stay as it was or everywhere: `loss`.

    Its `pixels` of `of` changed, by `largest` of 255 at the most and `mean` on the average of all channels.
    """
    before, after = (np.asarray(raster.shown().convert("RGB")).astype(np.int16) for raster in (made, written))
    distance = np.abs(before - after)[slice(None) if kept is None else kept].reshape(-1, 3)
    told = {
        "pixels": int(np.count_nonzero(distance.any(axis=1))), "of": len(distance),
        "largest": int(distance.max(initial=0)), "mean": round(float(distance.mean()) if distance.size else 0.0, 2),
    }  # fmt: skip
    return {"loss": told} | ({} if kept is None else {"changed_outside": None})


def loss_note(path: Path, told: dict[str, Any], exact: bool) -> str:
    """What a lossy format costs, in a sentence; exact: pixels were to stay as they were."""
    cost = (
        f"{told['pixels']:,} of {told['of']:,} pixels{' there' if exact else ''}, by up to {told['largest']} of 255, "
        f"{told['mean']:g} on the average; write .png to keep them"
    )
    where = " changes pixels everywhere, also outside the mask:" if exact else ", a lossy format, changed"
    return f"{path}: {format_of(path)}{where} {cost}"
