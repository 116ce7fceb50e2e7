"""`--steps-out`: the denoising as a film or a strip, from the model's idea of the clean picture at each step."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from diffusion_tricks.generate.strip import side_by_side
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.io.pictures import encode_picture
from diffusion_tricks.io.pixels import enlarge, to_images

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run, Step

FEW = 12  # frames of a strip, and of a film whose latents must be decoded by a VAE
FRAME, LAST = 100, 1500  # milliseconds


class Film:
    """Called with every step; keeps frames of the pictures that are in the works. few: keep `FEW` at the most."""

    def __init__(self, few: bool):
        self.few = few
        self.run: Run | None = None
        self.frames: list[list[Image.Image]] = []
        self.first = 0

    def __call__(self, step: Step) -> None:
        """Keeps the step's clean estimate, if it is one of those to be shown."""
        if step.run is not self.run:
            if self.run is None or step.run.previous is not self.run:
                self.first += len(self.frames)
                self.frames = [[] for _ in range(step.run.count)]
            self.run = step.run
        total = len(step.run.timesteps) - step.run.first
        few = self.few or step.run.model.family.scale > 1
        most = FEW // step.run.stage_count if few else total
        if step.index - step.run.first in chosen(total, most):
            clean = step.estimate.clean.to(step.run.model.dtype)
            pixels = step.run.model.decode(clean, step.run.max_rows)
            for frames, image in zip(self.frames, to_images(pixels), strict=True):
                frames.append(image)

    def of(self, index: int) -> list[Image.Image]:
        """The frames of picture number `index` of the recipe, which must be of the batch made last."""
        return self.frames[index - self.first]


def chosen(total: int, most: int) -> set[int]:
    """At most `most` of `total` steps, evenly spaced, the first and the last among them."""
    if total <= most:
        return set(range(total))
    return {round(i * (total - 1) / (most - 1)) for i in range(most)}


def write_film(frames: list[Image.Image], path: Path, factor: int, *, force: bool, inputs: list[Path]) -> None:
    """Writes frames as an animated GIF, or side by side for any other name. factor: of enlargement.

    Those of a first stage are shown in squares, as large as those of the second.
    """
    size = frames[-1].size
    frames = [enlarge(frame.resize(size, Image.Resampling.NEAREST), factor) for frame in frames]
    if path.suffix.lower() == ".gif":
        atomic_write(path, _animated(frames), force=force, inputs=inputs)
    else:
        atomic_write(path, encode_picture(side_by_side(frames), path), force=force, inputs=inputs)


def _animated(frames: list[Image.Image]) -> bytes:
    file = io.BytesIO()
    times = [FRAME] * (len(frames) - 1) + [LAST]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return file.getvalue()
