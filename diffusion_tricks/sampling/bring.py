"""The picture that a run edits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.source import Source
from diffusion_tricks.types import Fit

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run


def bring(run: Run, path: str | None, how: Fit = "crop") -> None:
    """Makes the picture at `path` the run's source; without a path, or with the one that is there, all stays as it is.

    For a trick's `prepare`. Raises UsageError where another trick brought another picture, PictureError from reading.
    """
    if path is None:
        return
    if run.source is None:
        run.source = Source(read_picture(path), None, how)
    elif (there := run.source.picture.path).resolve() != Path(path).resolve():
        raise UsageError(f"a run edits one picture, but its tricks bring two: {there} and {path}; leave one out")
