"""The options of `train`. No torch here."""

from __future__ import annotations

import click

from diffusion_tricks.training.options import TrainOptions
from diffusion_tricks.training.presets import PRESETS
from diffusion_tricks_cli.from_options import parameters
from diffusion_tricks_cli.values import Name

RUNNING = ("preset", "resume", "force", "quiet", "as_json")  # beside those of a training itself


def train_options() -> list[click.Parameter]:
    """Fresh Click options: how to run a training, then one for each of `TrainOptions`."""
    own = parameters(TrainOptions)
    for option in own:
        if option.name == "out":
            option.opts = ["-o", *option.opts]
    return [*_running(), *own]


def _running() -> list[click.Parameter]:
    names = "; ".join(f"{name}: {summary}" for name, (summary, _) in PRESETS.items())
    return [
        click.Option(["--preset"], type=Name("preset", lambda: PRESETS), help=f"A set of options. {names}."),
        click.Option(["--resume"], type=click.Path(), metavar="DIR", help="Go on with the training in a directory."),
        click.Option(["--force"], is_flag=True, help="Replace an earlier training in the directory."),
        click.Option(["--quiet"], is_flag=True, help="No progress."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object at the end."),
    ]
