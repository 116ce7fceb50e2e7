"""Classifier guidance (arXiv:2105.05233, Algorithm 2): the gradient of any classifier leads towards its class.

    python examples/classifier_guidance.py

Writes out/classifier.png: a heart led by a linear classifier of colours to blue, left alone, and led to red.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from diffusion_tricks import Model, load_model, sample
from diffusion_tricks.plugin import (
    Ask,
    Asking,
    Level,
    Step,
    Trick,
    TrickOptions,
    followed,
    hookimpl,
    labelled_grid,
    slope,
    to_images,
)
from diffusion_tricks_plugins import Guidance

Classifier = Callable[[Tensor, Level], Tensor]  # log p(y | x) (b) of the clean estimates (b c h w) and the noise level


class ClassifierGuidance(Trick[TrickOptions]):
    """eps = eps - scale * sigma * grad_x log p(y | x)"""

    name = "classifier-guidance"

    def __init__(self, log_probability: Classifier, scale: float = 1):
        super().__init__()
        self.log_probability, self.scale = log_probability, scale

    @hookimpl(tryfirst=True)  # outermost, so that it sees the answer of all the others
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The answer, moved towards the class."""
        question = followed(ask)
        (answer,) = yield [question]
        towards = slope(step.run, self.log_probability(answer.clean, step.level), question)
        answer = answer.detached()
        return answer.with_noise(answer.noise - self.scale * step.level.sigma * towards)


def red(clean: Tensor, level: Level) -> Tensor:
    """log p(red | x): a linear classifier of the mean red less blue of pictures (b 3 h w), in noise the less sure."""
    return F.logsigmoid(20 * level.alpha**2 * (clean[:, 0] - clean[:, 2]).mean((1, 2)))


def blue(clean: Tensor, level: Level) -> Tensor:
    """log p(blue | x) = log(1 - p(red | x))"""
    return red(clean.flip(1), level)


def main(model: Model | None = None, out: Path = Path("out"), scale: float = 150, steps: int = 20) -> Path:
    """The three pictures side by side, in one file."""
    model = model or load_model("emoji")
    classes: dict[str, list[Trick]] = {
        "blue": [ClassifierGuidance(blue, scale)],
        "alone": [],
        "red": [ClassifierGuidance(red, scale)],
    }
    pictures = []
    for tricks in classes.values():
        *_, last = sample(model, prompt="a heart", tricks=[*tricks, Guidance(scale=2)], seed=1, steps=steps)
        pictures += to_images(last.run.pixels())
    path = out / "classifier.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    labelled_grid(pictures, columns=list(classes)).save(path)
    return path


if __name__ == "__main__":
    print(main())
