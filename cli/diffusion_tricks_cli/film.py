"""`--steps-out`: the denoising as a film or a strip: noisy pictures, the model's ideas of the clean one, or both."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from diffusion_tricks.io.animation import Animation
from diffusion_tricks.io.atomic import Before, atomic_write
from diffusion_tricks.io.grid import labelled_grid
from diffusion_tricks.io.pictures import encode_picture
from diffusion_tricks.io.pixels import enlarge, to_images

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.sampling.run import Run
    from diffusion_tricks.sampling.step import Step

FEW = 12  # frames of a strip, and of a film whose latents must be decoded by a VAE
FRAME, LAST = 100, 1500  # milliseconds
ANIMATED = ".gif"
WIDTH = 128  # pixels: of a frame's pictures at the least, so that no line of a label is broken
NOISY, CLEAN, BOTH = "noisy", "clean", "both"
NAMES = {NOISY: "noisy, x_t", CLEAN: "clean estimate"}
Frame = list[Image.Image]  # the pictures of one step, as many as are shown of it


class Film:
    """Frames one after the other, in a GIF: the pictures of a step side by side."""

    def __init__(self, path: Path, names: list[str]):
        self.path, self.names = path, names
        self.title = ""
        self._animation = Animation(path, FRAME, LAST)

    @property
    def length(self) -> int:
        """How many there are so far."""
        return self._animation.length

    def add(self, frame: Frame, label: str) -> None:
        """Adds one, which is written at once."""
        captions = [label, *[""] * (len(frame) - 1)]
        self._animation.add(labelled_grid(frame, columns=self.names, captions=captions, title=self.title, tile=WIDTH))

    def save(self, *, force: bool, inputs: list[Path], before: Before | None = None) -> None:
        """Puts the film in its place, which `before` is given first. Raises OutputError and OutputFailed."""
        self._animation.save(force=force, inputs=inputs, before=before)

    def close(self) -> None:
        """Gives it up."""
        self._animation.close()


class Strip:
    """Frames from left to right in one picture, for any name that is not a film's: a row for all that is shown."""

    def __init__(self, path: Path, names: list[str]):
        self.path, self.names = path, names
        self.title = ""
        self.frames: list[tuple[Frame, str]] = []

    @property
    def length(self) -> int:
        """How many there are so far."""
        return len(self.frames)

    def add(self, frame: Frame, label: str) -> None:
        """Adds one to the right."""
        self.frames.append((frame, label))

    def save(self, *, force: bool, inputs: list[Path], before: Before | None = None) -> None:
        """Writes them in one picture, which `before` is given first. Raises OutputError and OutputFailed."""
        data = encode_picture(self.page(), self.path)
        if before:
            before({self.path: data})
        atomic_write(self.path, data, force=force, inputs=inputs)
        self.close()

    def page(self) -> Image.Image:
        """All of them, `FEW` in a row, and below each what step it is."""
        across = min(FEW, self.length)
        tiles: list[Image.Image | None] = []
        captions: list[str] = []
        for start in range(0, self.length, across):
            part = self.frames[start : start + across]
            missing = across - len(part)
            for row in range(len(self.names)):
                tiles += [*(frame[row] for frame, _ in part), *[None] * missing]
                last = row == len(self.names) - 1
                captions += [*(label if last else "" for _, label in part), *[""] * missing]
        rows = self.names * math.ceil(self.length / across)
        return labelled_grid(tiles, rows=rows, captions=captions, across=across, title=self.title, tile=WIDTH)

    def close(self) -> None:
        """Gives them up."""
        self.frames = []


class Films:
    """Called with every step; shows frames of the pictures that are in the works. paths: a film's or strip's for each.

    factor: of enlargement. show: one of `common.SHOWN`. every: of so many steps one is shown, and the last; None shows
    all, but of a strip, and of a film whose latents must be decoded, `FEW` at the most; a film is written as they come.
    Those of a first stage are shown in squares, as large as those of the last.
    """

    def __init__(self, paths: list[Path], factor: int, show: str = CLEAN, every: int | None = None):
        self.paths, self.factor, self.every = paths, factor, every
        self.shown = [name for name in NAMES if show in (name, BOTH)]
        self.few = any(path.suffix.lower() != ANIMATED for path in paths)
        self.run: Run | None = None
        self.films: list[Film | Strip] = []

    def __call__(self, step: Step) -> None:
        """Shows the step, if it is one of those to be shown."""
        run = step.run
        if run is not self.run:
            if self.run is None or run.previous is not self.run:
                self._begin(run)
            self.run = run
        if step.index - run.first not in self._chosen(run):
            return
        seen = [self._images(run, self._latents(step, name)) for name in self.shown]
        for film, *frame in zip(self.films[-run.count :], *seen, strict=True):
            film.add(frame, label_of(step))

    def of(self, index: int) -> Film | Strip | None:
        """What shows picture number `index` of the recipe, None where no step was run."""
        return self.films[index] if index < len(self.films) and self.films[index].length else None

    def _begin(self, run: Run) -> None:
        """The films of the next so many pictures."""
        names = [NAMES[name] for name in self.shown]
        of_these = self.paths[len(self.films) : len(self.films) + run.count]
        self.films += [
            Film(path, names) if path.suffix.lower() == ANIMATED else Strip(path, names) for path in of_these
        ]
        for i, film in enumerate(self.films[-run.count :]):
            prompt = run.prompt[i] if isinstance(run.prompt, tuple) else run.prompt
            film.title = ", ".join(filter(None, [prompt, f"seed {run.noise.seeds[i]}", run.model.name]))

    def _chosen(self, run: Run) -> set[int]:
        """The steps of a run that are shown, from 0 for the first that is made."""
        total = len(run.timesteps) - run.first
        if self.every is not None:
            return {*range(0, total, self.every), total - 1}
        few = self.few or run.model.family.scale > 1
        return chosen(total, FEW // run.stage_count if few else total)

    def _latents(self, step: Step, name: str) -> Tensor:
        """What is shown of a step (b c h w); noise that grows without bound, as Euler's does, is scaled to be seen."""
        if name == CLEAN:
            return step.estimate.clean
        return step.estimate.x / max(1.0, math.hypot(step.alpha, step.sigma))

    def _images(self, run: Run, latents: Tensor) -> list[Image.Image]:
        pixels = run.model.decode(latents.to(run.model.dtype), run.max_rows)
        size = run.stages[-1].size
        return [enlarge(image.resize(size, Image.Resampling.NEAREST), self.factor) for image in to_images(pixels)]

    def close(self) -> None:
        """Gives up what was not saved."""
        for film in self.films:
            film.close()


def label_of(step: Step) -> str:
    """Which step it is, from 0, its timestep, and its noise level: alpha-bar, or sigma where the two are no circle."""
    stage = f"stage {step.stage}, " if step.run.stage_count > 1 else ""
    circle = math.isclose(step.alpha**2 + step.sigma**2, 1, abs_tol=1e-3)
    level = f"alpha-bar {step.alpha**2:.3f}" if circle else f"sigma {step.sigma:.3g}"
    return f"{stage}step {step.index}\nt = {float(step.run.timesteps[step.index]):.4g}\n{level}"


def chosen(total: int, most: int) -> set[int]:
    """At most `most` of `total` steps, evenly spaced, the first and the last among them."""
    if total <= most:
        return set(range(total))
    return {round(i * (total - 1) / (most - 1)) for i in range(most)}
