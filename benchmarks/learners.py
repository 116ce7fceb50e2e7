"""Which learner learns most by the clock: candidates train for the same time, then their one-step errors are measured.

    python benchmarks/learners.py drawings.npz --minutes 10 --json learners.json

The error is that of the velocity, alpha eps - sigma x0, whatever a network predicts, so that all compare: mean squares
over pictures that none has seen, at ten noise levels of the cosine schedule, the least noisy first. Each candidate runs
in a process of its own, with its last weights. The clock is that of the cores the process was given, so that other work
on the machine does not decide; compiling is not counted, and said apart, by the wall's clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from diffusion_tricks.training.data.opening import open_source
from diffusion_tricks.training.data.stream import Batch, Stream
from diffusion_tricks.training.learner import Learner
from diffusion_tricks.training.objectives import objective, training_schedule
from diffusion_tricks.training.options import TrainOptions, options_from
from diffusion_tricks.training.rates import learning_rate
from diffusion_tricks.training.tasks import task_for

# What each candidate has that the first has not.
CANDIDATES: dict[str, dict[str, Any]] = {
    "base": {},
    "narrow": {"widths": "16,32,64,128,256"},
    "wide": {"widths": "32,64,128,256,256"},
    "four levels": {"widths": "48,64,128,192"},
    "float32": {"precision": "float32"},
    "compiled": {"compile": True},
    "batch 16": {"batch": 16},
    "flow": {"objective": "flow"},
    "min-SNR 5": {"min_snr": 5.0},
    "shift 1": {"shift": 1.0},
    "wide in the middle": {"widths": "32,64,128,192,224"},
    "rate 2e-3": {"lr": 2e-3},
    "warm start": {"start_from": "diffusion_tricks/models/emoji", "widths": None},
}
LEVELS = tuple(range(50, 1000, 100))  # timesteps
PICTURES = 128  # that are measured on
SCHEDULE = options_from({}, "emoji")


def trained(options: TrainOptions, home: Path) -> tuple[Learner, dict[str, float]]:
    """A learner after the time of the options, and what it did in that time."""
    source = open_source(options.data, held_out=False, seed=options.seed)
    torch.manual_seed(options.seed)
    scheduler = training_schedule(options)
    learner = Learner(task_for(options, source, home), objective(options, scheduler), options, Accelerator(cpu=True))
    stream = Stream(source, options.batch, options.seed)
    began = time.monotonic()
    learner.step(stream.next(), 0.0)  # compiles, and learns nothing
    first, began, steps, done = time.monotonic() - began, time.process_time(), 0, 0.0
    while done < 1:
        learner.step(stream.next(), learning_rate(options, steps, done), steps * options.batch)
        steps += 1
        done = (time.process_time() - began) / torch.get_num_threads() / 60 / float(options.minutes or 1)
    pictures = steps * options.batch
    speed = pictures / done / 60 / float(options.minutes or 1)
    weights = sum(p.numel() for p in learner.parameters) / 1e6
    return learner, {"millions": weights, "first": first, "pictures": pictures, "speed": speed}


@torch.no_grad()
def errors(learner: Learner, held: list[Batch]) -> list[float]:
    """The mean squared error of the velocity at each of `LEVELS`."""
    bars = training_schedule(SCHEDULE).alphas_cumprod
    return [float(np.mean([_error(learner, batch, bars[t]) for batch in held])) for t in LEVELS]


def _error(learner: Learner, batch: Batch, bar: Tensor) -> float:
    """At one alpha_bar. A flow is asked at the same signal-to-noise ratio; x0 = alpha x - sigma v there, as x - s v."""
    alpha, sigma = bar.sqrt(), (1 - bar).sqrt()
    x0 = batch.pictures
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    flow = learner.objective.kind == "flow"
    s = sigma / (alpha + sigma)
    bars = learner.objective.alpha_bars
    level = s * learner.objective.total if bars is None else (bar - bars).abs().argmin()
    x = (1 - s) * x0 + s * eps if flow else alpha * x0 + sigma * eps
    with learner.autocast():
        told = learner.task.condition(batch, 0.0)
        said = learner.task.network(x, level.expand(len(x)), **told).float()
    clean = x - s * said if flow else alpha * x - sigma * said
    return float((clean - x0).square().mean() / sigma**2)


def one(options: TrainOptions, home: Path) -> dict[str, Any]:
    """Trains and measures one candidate."""
    learner, facts = trained(options, home)
    held = open_source(options.data, held_out=True, seed=options.seed, things=options.things)
    random = np.random.default_rng(4)
    places = random.integers(0, 1 << 30, PICTURES).tolist()
    batches = [held.draw(places[i : i + 32], random) for i in range(0, PICTURES, 32)]
    return facts | {"errors": errors(learner, batches)}


def options_of(given: argparse.Namespace, changes: Mapping[str, Any]) -> TrainOptions:
    """The options of a candidate: the long run's, over the minutes given."""
    base = {
        "data": str(given.drawings), "things": given.things, "minutes": given.minutes, "widths": "32,64,96,128,256",
        "batch": 32, "channels_last": True, "lr": 1e-3, "warm_up": 50, "lr_schedule": "constant", "cool_down": 0.3,
        "shift": 4.0, "device": "cpu", "processes": 1,
    }  # fmt: skip
    return options_from({**base, **changes}, "emoji")


def row(name: str, found: Mapping[str, Any]) -> str:
    """A line of the table."""
    levels = " ".join(f"{error:6.3f}" for error in found["errors"])
    facts = f"{found['millions']:5.1f} M {found['speed']:5.1f}/s {found['pictures']:7.0f} {found['first']:5.0f} s"
    return f"{name:12} {facts}  {levels}  {np.mean(found['errors']):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawings", type=Path, help="what `diffusion_tricks.training.data.sets` wrote")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each candidate")
    parser.add_argument("--things", type=int, default=150)
    parser.add_argument("--only", action="append", choices=CANDIDATES, help="may be given several times")
    parser.add_argument("--json", type=Path, default=Path("learners.json"), help="where all numbers are added to")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.only or list(CANDIDATES)
    known = json.loads(given.json.read_text()) if given.json.is_file() else {}
    if given.one:
        home = given.json.parent / "learners-tokenizer"
        known[names[0]] = one(options_of(given, CANDIDATES[names[0]]), home)
        given.json.write_text(json.dumps(known, indent=1) + "\n")
        print(row(names[0], known[names[0]]), flush=True)
        return
    idle = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # what waits for the other core does not count
    for name in names:
        asked = [
            "--minutes",
            str(given.minutes),
            "--things",
            str(given.things),
            "--json",
            str(given.json),
            "--only",
            name,
            "--one",
        ]
        subprocess.run([sys.executable, __file__, str(given.drawings), *asked], check=True, env=idle)


if __name__ == "__main__":
    main()
