"""What one sees of a training, and keeps of it: metrics and their figure, held-out loss, sheets, the model itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import ModelError
from diffusion_tricks.training import folder
from diffusion_tricks.training.averages import PowerAverages
from diffusion_tricks.training.averages_kept import averages_kept, keep
from diffusion_tricks.training.data.stream import Batch, Source
from diffusion_tricks.training.figures import loss_figure, sheet
from diffusion_tricks.training.learner import Learner
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.progress import Progress
from diffusion_tricks.training.showing import defaults, write_denoiser_figure
from diffusion_tricks.training.task import Task
from diffusion_tricks.training.tasks import task_for

SHEETS = 50  # about how many are made in a run of epochs, where none are named
DENOISER = "denoiser.png"


class Watch:
    """The part of a training that looks on; in its main process only. held: pictures that are not learned from."""

    def __init__(
        self, learner: Learner, scheduler: Any, source: Source, held: Source | None, home: Path, progress: Progress
    ):
        self.learner, self.scheduler, self.source, self.held, self.home = learner, scheduler, source, held, home
        self.options: TrainOptions = learner.options
        self.task: Task = learner.task
        self.progress = progress
        self.rows = folder.metrics(home)
        self._batches: list[Batch] = []

    def held_out_loss(self) -> float | None:
        """The mean loss of the pictures that are kept from training; None where there are none."""
        if self.held is None or not self.options.held_out:
            return None
        if not self._batches:
            random, count = np.random.default_rng([self.options.seed, 4]), min(self.options.held_out, len(self.held))
            places = np.linspace(0, len(self.held) - 1, count).astype(int).tolist()  # all classes, be they in order
            starts = range(0, count, self.options.batch)
            self._batches = [self.held.draw(places[s : s + self.options.batch], random) for s in starts]
        return self.learner.measured(self._batches)

    def note(self, row: dict[str, Any]) -> None:
        """Adds a row to metrics.jsonl."""
        folder.add_metrics(self.home, row)
        self.rows.append(row)

    def draw_losses(self) -> None:
        """Draws loss.png."""
        loss_figure(self.rows, self.home / folder.LOSS)

    def pipeline(self) -> Any:
        """The model as it is saved: with the average of the weights."""
        with self.learner.averaged():
            return self.task.pipeline(self.scheduler)

    def save_model(self, place: Path | None = None) -> None:
        """Writes the model into the directory, or into another."""
        with quiet_libraries():
            folder.save_pipeline(place or self.home, self.pipeline(), defaults(self.options, self.task))

    def keep_averages(self, seen: int) -> None:
        """Keeps a copy of the averages every so many pictures, if the options ask for it."""
        average, every = self.learner.average, self.options.averages
        if every is not None and isinstance(average, PowerAverages):
            kept = [int(file.stem.split("-")[1]) for file in averages_kept(self.home)]
            if seen // every > max(kept, default=0) // every:
                keep(self.home, seen, average)

    def shows(self, epoch: int, epochs: int | None) -> bool:
        """Whether a sheet is due after an epoch of so many; None is not known."""
        if not self.options.shown:
            return False
        if self.options.sheets:
            return epoch in self.options.sheets
        return epoch % math.ceil(max(epochs or 1, 1) / SHEETS) == 0

    def sheet(self, name: str) -> Path:
        """Writes a sheet of samples, and its model where that is kept.

        A model that has come apart so far that it gives no numbers has no sheet.
        """
        file = self.home / folder.SAMPLES / f"{name}.png"
        file.parent.mkdir(exist_ok=True)
        if self.options.keep_models:
            kept = self.home / folder.MODELS / name
            kept.mkdir(parents=True, exist_ok=True)
            self.save_model(kept)
        self.progress(f"sampling {self.options.sheet_count} pictures ...")
        try:
            with quiet_libraries():
                seen = self.source if self.held is None else self.held
                page = self.task.page(self.pipeline(), seen, self.options, self.learner.device)
            sheet(page.pictures, file, page.columns, page.captions, title=self._title(name))
        except ModelError as error:
            self.progress.say(f"Warning: no sheet {name}: {error}")
        return file

    def _title(self, name: str) -> str:
        """Of a sheet: when it was made, and with what guidance."""
        when = " ".join(str(int(part)) if part.isdigit() else part for part in name.split("-"))
        return when if self.task.guidance == 1 else f"{when}, guidance {self.task.guidance:g}"

    def denoiser_figure(self) -> None:
        """Writes the figure of noise levels, before and after training."""
        with torch.random.fork_rng():
            torch.manual_seed(self.options.seed)
            first = task_for(self.options, self.source, self.home).pipeline(self.scheduler)
        held = self.source if self.held is None else self.held
        write_denoiser_figure(first, self.pipeline(), held, self.options, self.home / DENOISER)
