"""`train`: a model of your own. No torch here."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import click

from diffusion_tricks.errors import UsageError
from diffusion_tricks.training.options import options_from
from diffusion_tricks_cli.common import Sectioned, example
from diffusion_tricks_cli.failures import say_failure
from diffusion_tricks_cli.from_options import given
from diffusion_tricks_cli.interrupts import INTERRUPTED
from diffusion_tricks_cli.printable import echo
from diffusion_tricks_cli.train_options import RUNNING, train_options
from diffusion_tricks_cli.wording import in_flags

ABOUT = """Train a small diffusion model.

What it writes is a model directory, which every other command takes with -m. Presets are sets of options; any option
beside one has its way. Ctrl-C saves, and --resume goes on as if nothing had been."""


def train_command() -> click.Command:
    """`train`, with one option for each of `TrainOptions`."""
    return Sectioned(
        "train", params=train_options(), callback=_train, help=ABOUT,
        epilog=example(
            "train --task class --data shapes --size 16 --channels 1 --width 16 --steps 40 --output shapes",
            'generate "circle" -m shapes --steps 10 -o circle.png',
        ),
    )  # fmt: skip


def _train(preset: str | None, resume: str | None, force: bool, quiet: bool, as_json: bool, **_: Any) -> None:
    ctx = click.get_current_context()
    values = given(ctx, [p for p in ctx.command.params if p.name not in RUNNING])
    if resume is not None and (preset is not None or force):
        raise UsageError("--resume goes on with a training that has its options; leave out --preset and --force")
    options = options_from(values, preset) if resume is None else None
    from diffusion_tricks.training import run
    from diffusion_tricks.training.interrupts import Interrupted

    try:
        done = (
            run.train(options, force=force, quiet=quiet) if options else run.resume(resume or "", values, quiet=quiet)
        )
    except Interrupted as stopped:
        message = in_flags(str(stopped))
        echo(message, err=True)
        if as_json:
            say_failure(message)
        ctx.exit(INTERRUPTED)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first speaks for all
        _say({**asdict(done), "folder": str(done.folder)}, as_json)


def _say(facts: dict[str, Any], as_json: bool) -> None:
    """The directory, or all there is to know."""
    click.echo(json.dumps(facts) if as_json else facts["folder"])
