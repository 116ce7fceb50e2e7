"""The picture a run starts from or edits, and the part of it that the model sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.pictures import Picture, read_picture
from diffusion_tricks.io.pixels import fit, flatten, to_tensor
from diffusion_tricks.types import Box, Fit

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.sampling.run import Run


@dataclass(frozen=True)
class Source:
    """A picture, the region of it the model works on (None: all), and how that is fitted to the model's size."""

    picture: Picture
    region: Box | None = None
    how: Fit = "crop"

    def on(self, region: Box) -> Source:
        """The same picture seen through another region, which is stretched to the model's size."""
        return replace(self, region=region, how="stretch")

    def seen(self, size: tuple[int, int]) -> Image:
        """The region at `size` (width, height), as RGB."""
        image = self.picture.image
        return fit(flatten(image.crop(self.region) if self.region else image), size, self.how)

    def tensor(self, size: tuple[int, int]) -> Tensor:
        """The region at `size`: (1 3 h w) in -1..1."""
        return to_tensor(self.seen(size))


def bring(run: Run, path: str | None, how: Fit = "crop") -> None:
    """Makes the picture at `path` the run's source; without a path, or with the one that is there, all stays as it is.

    For a trick's `prepare`. Raises UsageError where another trick brought another picture, PictureError from reading.
    """
    if path is None:
        return
    if run.source is None:
        run.source = Source(read_picture(path), None, how)
    elif run.source.picture.path.resolve() != Path(path).resolve():
        raise UsageError(
            f"a run edits one picture, but its tricks bring two: {run.source.picture.path} and {path}; leave one out"
        )
