"""The training loop: steps, and between them measures, sheets and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from diffusion_tricks.devices.quiet import quiet_libraries
from diffusion_tricks.errors import NotANumber, UsageError
from diffusion_tricks.training import checkpoints, folder
from diffusion_tricks.training.data.stream import Source, Stream
from diffusion_tricks.training.feed import batches
from diffusion_tricks.training.interrupts import Interrupted, Interrupts
from diffusion_tricks.training.learner import Learner
from diffusion_tricks.training.objectives import objective, training_schedule
from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.progress import Progress, line, spoken
from diffusion_tricks.training.rates import learning_rate, sheet_shares, total_steps
from diffusion_tricks.training.tasks import seen, task_for
from diffusion_tricks.training.watch import Watch

MEASURE = 10  # reports between two measures of the held-out loss, in an epoch
LEFT = 0.1  # of a picture's variance in the noisiest step, above which there is a remark
TIMED = 20  # steps after which it is said how long the run takes
AGREE = 10  # steps between two agreements of processes, or two waits for a GPU
SAVE = 300.0  # seconds between two checkpoints at the most

Change = Callable[[nn.Module], object]  # of a new network, in place


@dataclass(frozen=True)
class Trained:
    """What came of a training: where it is, its steps, its last losses, its time and its speed over all processes."""

    folder: Path
    steps: int
    loss: float
    held_out: float | None
    seconds: float
    images_per_second: float


class Training:
    """One training in its directory; made and run in every process of it."""

    def __init__(
        self,
        options: TrainOptions,
        home: Path,
        learned: Source,
        held: Source | None,
        accelerator: Accelerator,
        progress: Progress,
        change: Change | None = None,
    ):
        self.options, self.home, self.accelerator, self.progress = options, home, accelerator, progress
        self.main: bool = accelerator.is_main_process
        learned, held = seen(learned, options), None if held is None else seen(held, options)
        self.world, rank = accelerator.num_processes, accelerator.process_index
        torch.manual_seed(options.seed)  # the same first weights in every process
        with accelerator.main_process_first(), quiet_libraries():
            task = task_for(options, learned, home)
        if change is not None:
            change(task.network)
        scheduler = training_schedule(options)
        self.learner = Learner(task, objective(options, scheduler), options, accelerator)
        torch.manual_seed(options.seed + 1 + rank)  # and noise of its own in each
        self.stream = Stream(learned, options.batch, options.seed, rank, self.world, before=options.seen_before)
        self.pictures = options.pictures or len(learned)  # of an epoch
        self.total = total_steps(options, self.pictures, self.world)
        self.shares = sheet_shares(options, None if self.total is None else self.epochs_after(self.total))
        self.every = 1 if self.world == 1 and self.learner.device.type == "cpu" else AGREE
        self.watch = Watch(self.learner, scheduler, learned, held, home, progress) if self.main else None
        self._note_what_is_left()
        self._note_shares()
        self.step, self.seconds, self.saved = 0, 0.0, 0.0
        self.learning = 0.0  # seconds spent on steps alone, in this process
        self.loss, self.rate = math.nan, 0.0
        self.held_out: float | None = None
        self.measured = 0  # the step of the last measure
        self.showed = 0.0  # the share of the run up to which sheets are made
        self.stopping = False  # agreed between processes, each of which may have heard a Ctrl-C
        self.losses: list[Tensor] = []  # since the last agreement
        self.means: list[float] = []  # of agreements since the last row of metrics

    def _note_shares(self) -> None:
        """A remark where the run ends before the epochs after which sheets were promised."""
        if self.shares:
            epochs = ", ".join(map(str, sorted(self.options.sheets)))
            ways = ", ".join(f"{share:.0%}" for share in self.shares)
            self.progress.say(
                f"Note: the run is shorter than {max(self.options.sheets)} epochs, so the sheets of epochs {epochs} "
                f"are made at {ways} of the way"
            )

    def _foretell(self, first: int) -> None:
        """A remark after the first steps on how long the run takes, where no clock decides."""
        if self.total is not None and self.step == first + TIMED:
            seconds = (self.total - self.step) * self.options.batch * self.world / self.rate
            self.progress.say(
                f"About {spoken(seconds)} for {self.total:,} steps at {self.rate:.0f} images/s, and the sheets beside"
            )

    def _note_what_is_left(self) -> None:
        """A remark where the noisiest step is far from noise, from which sampling starts all the same."""
        bars = self.learner.objective.alpha_bars
        if self.options.task != "denoiser" and bars is not None and bars[-1] > LEFT:
            self.progress.say(
                f"Note: at the last step {float(bars[-1]):.0%} of a picture's variance is left, and samples will be "
                "dull; raise beta_end or timesteps, or take the cosine schedule"
            )

    @property
    def done(self) -> float:
        """The share of the run that lies behind."""
        if self.options.minutes is not None:
            return self.seconds / 60 / float(self.options.minutes)
        return self.step / (self.total or 1)

    @property
    def seen(self) -> int:
        """Pictures that lie behind, in all processes."""
        pictures: int = self.step * self.options.batch * self.world
        return pictures

    @property
    def epoch(self) -> float:
        """Epochs that lie behind."""
        return self.epochs_after(self.step)

    def epochs_after(self, steps: int) -> float:
        """How many epochs so many steps are."""
        pictures: int = steps * self.options.batch * self.world
        return pictures / self.pictures

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint, if only to save its model. Raises UsageError where nothing is left to do."""
        self.learner.restore(state)
        self.step = self.stream.position = self.measured = int(state["step"])
        self.seconds = self.saved = float(state["seconds"])
        self.loss, self.held_out = float(state["loss"]), state["held_out"]
        self.showed = self.done
        if self.done >= 1 and checkpoints.model_step(self.home) == self.step:
            raise UsageError(
                f"this training is complete, at step {self.step}; for more, raise `steps`, `epochs` or `minutes`"
            )
        if self.watch:
            folder.cut_metrics(self.home, self.step)
            self.watch.rows = folder.metrics(self.home)

    def run(self) -> Trained:
        """Trains to the end. Raises Interrupted after Ctrl-C, NotANumber, OutputFailed."""
        began, first = time.monotonic() - self.seconds, self.step
        with Interrupts() as interrupts:
            if self.watch and not self.step:
                self.watch.save_model()
            self._learn(began, interrupts)
            self._save()
            if self.done < 1:
                raise Interrupted(f"stopped and saved at step {self.step}; go on with `resume={str(self.home)!r}`")
            if self.watch and self.options.task == "denoiser":
                self.watch.denoiser_figure()
        self.accelerator.wait_for_everyone()
        self.progress.clear()
        pictures = (self.step - first) * self.options.batch * self.world
        spent = time.monotonic() - began
        speed = round(pictures / self.learning, 1) if self.learning else 0.0
        return Trained(self.home, self.step, self.loss, self.held_out, round(spent, 1), speed)

    def _learn(self, began: float, interrupts: Interrupts) -> None:
        """Steps, until the run is done or is to stop."""
        workers = self.options.workers
        feed = batches(self.stream, (4 if self.learner.device.type == "cuda" else 0) if workers is None else workers)
        mark, marked, first = time.monotonic(), self.step, self.step
        while self.done < 1 and not self.stopping:
            epoch = int(self.epoch)
            rate = learning_rate(self.options, self.step, self.done)
            self.losses.append(self.learner.step(next(feed), rate, self.options.seen_before + self.seen))
            self.step += 1
            ended = int(self.epoch) > epoch or self.step == self.total
            if not (ended or self.step % self.every == 0 or self.step % self.options.report == 0 or self._due()):
                continue
            self._agree(began, interrupts)
            now = time.monotonic()
            self.rate = (self.step - marked) * self.options.batch * self.world / max(now - mark, 1e-9)
            self._foretell(first)
            self.progress(line(self.done, self.step, self.epoch, self.loss, self.rate, self.seconds))
            if self._pause(ended or self.done >= 1 or self._passed()):
                self.learning += now - mark
                mark, marked = time.monotonic(), self.step
        feed.close()  # type: ignore[attr-defined]

    def _due(self) -> bool:
        """Whether it is time for a checkpoint; the same in every process."""
        return self.step % self.options.checkpoint == 0 or self.seconds - self.saved > SAVE

    def _agree(self, began: float, interrupts: Interrupts) -> None:
        """One clock, one loss and one will for all processes. Raises NotANumber."""
        mean, seconds = torch.stack(self.losses).cpu().double().mean(), time.monotonic() - began
        self.losses = []
        if self.world == 1:
            self.loss, self.seconds = float(mean), seconds
        else:
            mine = [seconds if self.main else 0.0, float(interrupts.asked), float(mean)]
            told = torch.tensor(mine, dtype=torch.float64, device=self.learner.device)
            self.seconds, asked, total = self.accelerator.reduce(told, "sum").tolist()
            interrupts.asked, self.loss = asked > 0, total / self.world
        self.means.append(self.loss)
        self.stopping = interrupts.asked
        if not math.isfinite(self.loss):
            self._come_apart()

    def _come_apart(self) -> None:
        files = checkpoints.kept(self.home)
        whole = f"the last good checkpoint, {files[-1].name}, is kept" if files else "there is no checkpoint yet"
        raise NotANumber(
            f"the loss at step {self.step} is not a number: the training has come apart; {whole}. Try a lower `lr` "
            f'(it was {self.options.lr:g}), a longer `warm_up`, `clip=1`, or `precision="float32"`'
        )

    def _pause(self, ended: bool) -> bool:
        """What stands between steps: a row of metrics, an epoch's measures, a checkpoint. Whether there was any."""
        reported = ended or self.step % self.options.report == 0
        if reported:
            self._report(ended)
        due = self._due()
        if due and self.done < 1 and not self.stopping:
            self._save()
        return reported or due

    def _report(self, ended: bool) -> None:
        since = self.step - self.measured
        measuring = self.done >= 1 or since >= MEASURE * self.options.report or (ended and since >= self.options.report)
        self.loss, self.means = sum(self.means) / len(self.means), []
        row: dict[str, Any] = {
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "loss": self.loss,
        }
        if self.watch:
            if measuring:
                self.held_out = self.watch.held_out_loss()
                row["held_out"] = self.held_out
            if self.options.profiles:
                row |= {"seen": self.seen, "levels": self.learner.levels.rounded()}
            row["lr"] = learning_rate(self.options, self.step - 1, self.done)
            self.watch.note(row | {"images_per_second": round(self.rate, 1), "seconds": round(self.seconds, 2)})
            if measuring:
                self.watch.draw_losses()
            self._show(ended)
        self.showed = self.done
        self.measured = self.step if measuring else self.measured
        self.accelerator.wait_for_everyone()

    def _passed(self) -> bool:
        """Whether the run has come to a share of the way at which a sheet was promised."""
        return any(self.showed < share <= self.done for share in self.shares)

    def _show(self, ended: bool) -> None:
        """The sheet of an epoch that has ended, of a share of the way, or of the end."""
        assert self.watch is not None
        epoch = int(self.epoch)
        epochs = None if self.total is None else round(self.epochs_after(self.total))
        if self._passed():
            self.watch.sheet(f"step-{self.step:06}")
        elif ended and epoch and not self.shares and self.watch.shows(epoch, epochs):
            self.watch.sheet(f"epoch-{epoch:04}")
        elif self.done >= 1 and self.options.shown:
            self.watch.sheet("last")

    def _save(self) -> None:
        """A checkpoint and the model, if the weights are numbers. Raises NotANumber, OutputFailed."""
        if not self.learner.sound():
            self._come_apart()
        state = self.learner.state() | {
            "step": self.step, "seconds": self.seconds, "loss": self.loss, "held_out": self.held_out,
        }  # fmt: skip
        if self.watch:
            self.progress(f"saving step {self.step} ...")
            checkpoints.write(self.home, self.step, state, self.options.keep)
            self.watch.save_model()
            checkpoints.note_model(self.home, self.step)
            self.watch.keep_averages(self.seen)
            self.watch.draw_losses()
        self.saved = self.seconds
        self.accelerator.wait_for_everyone()
