"""Trainings on the spot, in the toolkit's own training room: what they leave, and the curves of their losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from diffusion_tricks import Model, Recipe, load_model, making
from diffusion_tricks.training import metrics, options_from, train
from diffusion_tricks_learn.figures import chart
from diffusion_tricks_learn.session import Session

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image
    from torch import nn

TRAINING, HELD_OUT = "#a9c4e6", "#d65c12"


@dataclass(frozen=True)
class Learned:
    """A model that was trained just now, and how it went.

    rows: of metrics, the loss of each step and now and then the held-out one. steps, seconds: of the training.
    epochs: the model as it was after some of them, where that was asked for.
    """

    model: Model
    rows: list[dict[str, Any]]
    steps: int
    seconds: float
    epochs: dict[str, Model] = field(default_factory=dict)

    def curve(self, key: str = "held_out") -> tuple[list[int], list[float]]:
        """Steps, and the values that were measured at them under a key of the metrics."""
        known = [row for row in self.rows if row.get(key) is not None]
        return [row["step"] for row in known], [row[key] for row in known]

    @property
    def held_out(self) -> float:
        """The last held-out loss; of the training where nothing was held out."""
        return (self.curve()[1] or self.curve("loss")[1])[-1]


def learned(
    session: Session, asked: Mapping[str, Any], preset: str, change: Callable[[nn.Module], object] | None = None
) -> Learned:
    """Trains a model as a preset says, with other options in its place, on the session's seed and device.

    change: is given the network before it learns, and that of the model that comes of it. Raises what `train` does.
    """
    device = "cpu" if session.device == "cpu" else "auto"
    with TemporaryDirectory(ignore_cleanup_errors=True) as place:
        out = str(Path(place) / "model")
        options = options_from({**asked, "seed": session.seed, "device": device, "out": out}, preset)
        done = train(options, quiet=session.tell is None, change=change)
        kept = sorted((done.folder / "models").glob("epoch-*"))
        epochs = {f"epoch {int(folder.name.split('-')[1])}": _opened(folder, session) for folder in kept}
        model = _opened(done.folder, session)
        rows = metrics(done.folder)
    if change:
        change(model.pipe.unet)
    return Learned(model, rows, done.steps, done.seconds, epochs)


def _opened(folder: Path, session: Session) -> Model:
    return load_model(folder, device=session.device)


def drawn(session: Session, model: Model, prompts: Sequence[str], **how: Any) -> list[Image]:
    """A picture for each prompt, the seeds counting up from the session's: the same noise for every model."""
    recipe = Recipe(prompt=list(prompts), count=len(prompts), seed=session.seed, **how)
    return [result.image for result in making(recipe, model, watch=lambda step: session.clock.tick())]


def losses(run: Learned, title: str) -> Image:
    """The loss of each step and of held-out pictures, on a linear axis and on a logarithmic one."""
    return chart(partial(_losses, run, title, "linear"), partial(_losses, run, title, "log"), width=1100, height=380)


def _losses(run: Learned, title: str, scale: str, ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    (steps, values), (at, held) = run.curve("loss"), run.curve()
    ax.plot(steps, values, color=TRAINING, linewidth=1.2, label=f"training, last {values[-1]:.4f}")
    if held:
        ax.plot(at, held, color=HELD_OUT, marker="o", markersize=3.5, label=f"held out, last {held[-1]:.4f}")
    ax.set(yscale=scale, xlabel="step", ylabel=f"mean squared error ({scale})", title=title)
    if scale == "linear":
        ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.25, which="both")
    ax.legend(frameon=False)


def alone(session: Session) -> None:
    """Says of a lesson that has its own models that the one which was asked for takes no part."""
    if session.model is not None:
        session.say(f"this lesson shows data and models that are trained on it, so `model` {session.model} is not used")
