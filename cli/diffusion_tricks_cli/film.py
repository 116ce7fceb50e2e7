"""`--steps-out`: the denoising as a film or a strip, from the model's idea of the clean picture at each step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from diffusion_tricks.generate.strip import side_by_side
from diffusion_tricks.io.animation import Animation
from diffusion_tricks.io.atomic import atomic_write
from diffusion_tricks.io.pictures import encode_picture
from diffusion_tricks.io.pixels import enlarge, to_images

if TYPE_CHECKING:
    from diffusion_tricks.sampling.run import Run, Step

FEW = 12  # frames of a strip, and of a film whose latents must be decoded by a VAE
FRAME, LAST = 100, 1500  # milliseconds
ANIMATED = ".gif"


class Strip:
    """Frames side by side, for any name that is not a film's."""

    def __init__(self, path: Path):
        self.path = path
        self.frames: list[Image.Image] = []

    @property
    def length(self) -> int:
        """How many there are so far."""
        return len(self.frames)

    def add(self, frame: Image.Image) -> None:
        """Adds one to the right."""
        self.frames.append(frame)

    def save(self, *, force: bool, inputs: list[Path]) -> None:
        """Writes them in one picture. Raises OutputError and OutputFailed."""
        atomic_write(self.path, encode_picture(side_by_side(self.frames), self.path), force=force, inputs=inputs)
        self.close()

    def close(self) -> None:
        """Gives them up."""
        self.frames = []


class Films:
    """Called with every step; shows frames of the pictures that are in the works. paths: a film's or strip's for each.

    factor: of enlargement. A strip holds `FEW` frames at the most; a film is written as they come. Those of a first
    stage are shown in squares, as large as those of the last.
    """

    def __init__(self, paths: list[Path], factor: int):
        self.paths, self.factor = paths, factor
        self.few = any(path.suffix.lower() != ANIMATED for path in paths)
        self.run: Run | None = None
        self.films: list[Animation | Strip] = []

    def __call__(self, step: Step) -> None:
        """Shows the step's clean estimate, if it is one of those to be shown."""
        run = step.run
        if run is not self.run:
            if self.run is None or run.previous is not self.run:
                self._begin(run.count)
            self.run = run
        total = len(run.timesteps) - run.first
        few = self.few or run.model.family.scale > 1
        if step.index - run.first in chosen(total, FEW // run.stage_count if few else total):
            pixels = run.model.decode(step.estimate.clean.to(run.model.dtype), run.max_rows)
            size = run.stages[-1].size
            for film, image in zip(self.films[-run.count :], to_images(pixels), strict=True):
                film.add(enlarge(image.resize(size, Image.Resampling.NEAREST), self.factor))

    def of(self, index: int) -> Animation | Strip | None:
        """What shows picture number `index` of the recipe, None where no step was run."""
        return self.films[index] if index < len(self.films) and self.films[index].length else None

    def _begin(self, count: int) -> None:
        """The films of the next so many pictures."""
        of_these = self.paths[len(self.films) : len(self.films) + count]
        self.films += [
            Animation(path, FRAME, LAST) if path.suffix.lower() == ANIMATED else Strip(path) for path in of_these
        ]

    def close(self) -> None:
        """Gives up what was not saved."""
        for film in self.films:
            film.close()


def chosen(total: int, most: int) -> set[int]:
    """At most `most` of `total` steps, evenly spaced, the first and the last among them."""
    if total <= most:
        return set(range(total))
    return {round(i * (total - 1) / (most - 1)) for i in range(most)}
