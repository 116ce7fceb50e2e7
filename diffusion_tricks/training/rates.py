"""The learning rate over a run. No torch here."""

from __future__ import annotations

import math

from diffusion_tricks.training.options import TrainOptions


def learning_rate(options: TrainOptions, step: int, done: float) -> float:
    """The rate of step `step`, from 0, when a share `done`, 0..1, of the run lies behind it."""
    rise = min(1.0, (step + 1) / (options.warm_up + 1))
    falls = {
        "constant": 1.0,
        "cosine": (1 + math.cos(math.pi * min(done, 1.0))) / 2,
        "exponential": options.lr_final ** min(done, 1.0),
        "inverse-sqrt": max(1.0, (step + 1) / options.lr_hold) ** -0.5,  # arXiv:2312.02696, eq. 15
    }
    rate: float = options.lr * rise * falls[options.lr_schedule]
    return rate * min(1.0, max(0.0, 1 - done) / options.cool_down) if options.cool_down else rate


def shift_after(options: TrainOptions, seen: float) -> float:
    """The shift of noise levels after so many pictures: from `shift` to `shift_end`, in even ratios."""
    if options.shift_end is None:
        return options.shift
    shift: float = options.shift * (options.shift_end / options.shift) ** min(1.0, seen / options.shift_over)
    return shift


def sheet_shares(options: TrainOptions, epochs: float | None) -> tuple[float, ...]:
    """The shares of the way, 0..1, at which sheets stand in for those of epochs that steps or minutes do not reach.

    epochs: of the whole run; None when the clock decides. Nothing where these epochs come to pass, or were asked for.
    """
    last = max(options.sheets, default=0)
    counted = options.steps is None and options.minutes is None
    if counted or not options.shown or (epochs is not None and epochs >= last):
        return ()
    return tuple(epoch / last for epoch in sorted(options.sheets))


def total_steps(options: TrainOptions, pictures: int, world: int) -> int | None:
    """Steps of the whole run over `pictures` an epoch in `world` processes; None when the clock decides."""
    if options.minutes is not None:
        return None
    if options.steps is not None:
        return options.steps
    return math.ceil((options.epochs or 10) * pictures / (options.batch * world))
