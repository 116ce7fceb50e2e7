"""A lesson from its words to its files: the experiment is run, and what it has found is written."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffusion_tricks_learn.course import lesson
from diffusion_tricks_learn.findings import Findings
from diffusion_tricks_learn.report import Told, check_folder, inputs_of, measured_times, write
from diffusion_tricks_learn.session import Session, whisper

Experiment = Callable[..., Iterator[Findings]]


def experiment(name: str) -> Experiment:
    """The function that does the experiment of a lesson: called with a session and the lesson's options."""
    word = name.replace("-", "_")
    found: Experiment = getattr(importlib.import_module(f"diffusion_tricks_learn.experiments.{word}"), word)
    return found


def teach(name: str, options: Mapping[str, Any], shared: Mapping[str, Any], command: str) -> Path:
    """Does a lesson and writes its figure, numbers and report; gives the report's place.

    options: of the experiment. shared: out, seed, quick, model, device, force, quiet. command: what repeats it.
    Where it is interrupted, what was found by then is written before the interrupt goes on.
    """
    one, folder = lesson(name), Path(shared["out"])
    check_folder(folder, force=bool(shared["force"]), inputs=inputs_of(options))
    tell = None if shared["quiet"] else whisper
    session = Session(shared["model"], shared["seed"], not shared["quick"], shared["device"], tell)
    session.say(f"{name}: {measured_times(one)[session.full]} on two cores")
    begun, kept = time.monotonic(), list[Findings]()
    told = Told(one, session, options, command)

    def written() -> Path:
        return write(folder, told, kept[-1], time.monotonic() - begun, force=bool(shared["force"]))

    try:
        for found in experiment(name)(session, **options):
            kept[:] = [found]
    except KeyboardInterrupt:
        if kept:
            written()
            session.say(f"interrupted: what was found so far is in {folder}")
        raise
    return written()
