"""The directory of a training: its options, its metrics, and the model, which any command takes at once.

DIR/model_index.json, unet/, ...     the model, as a pipeline of diffusers, with diffusion_tricks.json
DIR/training.json                    the options
DIR/metrics.jsonl, loss.png          how it went
DIR/samples/                         sheets
DIR/models/                          the model as it was at each sheet, if the options ask for it
DIR/checkpoints/                     what --resume goes on from
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from diffusion_tricks.errors import OutputError, OutputFailed, UsageError
from diffusion_tricks.io.atomic import PREFIX, atomic_write, atomic_write_all
from diffusion_tricks.io.foreign import read_object
from diffusion_tricks.io.leftovers import alone, held, sweep
from diffusion_tricks.io.reading import Unreadable, read_text
from diffusion_tricks.training import replaced
from diffusion_tricks.training.checkpoints import ROOM
from diffusion_tricks.training.options import TrainOptions, options_from
from diffusion_tricks.training.replaced import OPTIONS

MODEL_IN_THE_MAKING = ".model-"
METRICS, LOSS, SAMPLES, MODELS, AVERAGES = "metrics.jsonl", "loss.png", "samples", "models", "averages"
MODEL = (
    "model_index.json", "diffusion_tricks.json", "unet", "scheduler", "text_encoder", "tokenizer",
    "image_noising_scheduler",
)  # fmt: skip
OWN = (OPTIONS, METRICS, LOSS, SAMPLES, MODELS, AVERAGES, ROOM, "denoiser.png", *MODEL)  # what `force` removes
NETWORK, SCHEDULER = ("config.json", "*.safetensors", "*.safetensors.index.json"), ("scheduler_config.json",)
INSIDE = {  # what trainings write in the folders of these
    ROOM: ("step-*.pt", "step-*.damaged", "model.json"), SAMPLES: ("epoch-*.png", "last.png"),
    AVERAGES: ("seen-*.safetensors", "seen-*.partial"), MODELS: ("epoch-*",), "unet": NETWORK, "text_encoder": NETWORK,
    "tokenizer": ("*.json", "*.txt"), "scheduler": SCHEDULER, "image_noising_scheduler": SCHEDULER,
}  # fmt: skip
MOST_METRICS = 2**28  # bytes


def folder_for(options: TrainOptions) -> Path:
    """Where a training goes."""
    return Path(options.out or f"{options.task}-{Path(options.data).name}")


@contextlib.contextmanager
def taken(folder: Path, main: bool = True) -> Iterator[None]:
    """While it lasts, no other process trains in a directory. Raises OutputError where one does, as far as can be told.

    It cannot on Windows, nor on network disks that lock no directory. main: whether this process is the one of its
    training that writes; others take nothing.
    """
    with alone(folder.resolve()) if main else contextlib.nullcontext(True) as mine:
        if not mine:
            raise OutputError(f"another training is writing to {folder}; stop it first (Ctrl-C saves), or let it end")
        yield


@contextlib.contextmanager
def begun_in(folder: Path, options: TrainOptions, force: bool) -> Iterator[None]:
    """The directory of a new training, `begun`, and taken for as long as it lasts."""
    with contextlib.ExitStack() as open:
        if there := folder.is_dir():
            open.enter_context(taken(folder))
        begun(folder, options, force)
        if not there:
            open.enter_context(taken(folder))
        yield


def begun(folder: Path, options: TrainOptions, force: bool) -> None:
    """Makes the directory and notes the options. Raises OutputError for one that holds something, unless `force`.

    With `force` an earlier training in it is hidden, and nothing else, until the new one is complete: see `replaced`.
    """
    for source in (options.start_from, options.data):
        if source is not None and folder.exists() and Path(source).exists() and folder.samefile(source):
            raise OutputError(
                f"{folder} is what the training reads, and that is never overwritten; choose another `out`"
            )
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, expected a directory to write the training to; choose another name")
    hidden_found(folder)
    if folder.is_dir() and any(folder.iterdir()):
        if not force:
            advice = f"go on with it with `resume={str(folder)!r}`, or " if (folder / OPTIONS).is_file() else ""
            raise OutputError(f"{folder} is there and not empty; {advice}choose another `out`, or pass `force=True`")
        if not (folder / OPTIONS).is_file():
            raise OutputError(f"{folder} holds no training, so `force` leaves it alone; choose another `out`")
        _check_own(folder)
        replaced.hide(folder, OWN)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note_options(folder, options)
    except BaseException as error:
        abandon(folder)
        if isinstance(error, OSError):
            raise OutputError(
                f"the directory {folder} cannot be made: {error.strerror}; choose another `out`"
            ) from None
        raise


def _check_own(folder: Path) -> None:
    """Raises OutputError where something lies in the place of a training's files, or among them, that is none."""
    check_places(folder)
    for name, patterns in INSIDE.items():
        inside = sorted((folder / name).iterdir()) if (folder / name).is_dir() else []
        for file in inside:
            if not (file.is_file() and _is_own(file.name, patterns)):
                raise OutputError(
                    f"{file} is no part of a training, so `force` leaves all in {folder} as it is; "
                    "move it away, or choose another `out`"
                )


def check_places(folder: Path) -> None:
    """Raises OutputError where what a training writes cannot stand: a file in the place of a directory, or such."""
    for name in OWN:
        path, kind = folder / name, "directory" if name in INSIDE else "file"
        if os.path.lexists(path) and not (path.is_dir() if name in INSIDE else path.is_file()):
            raise OutputError(f"{path} is no {kind}, expected that of a training; move it away")


def _is_own(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in (*patterns, f"{PREFIX}*.tmp"))


def hidden_found(folder: Path) -> None:
    """Brings back a training that was hidden for one that never came to anything, and tells of others that wait."""
    if not replaced.waiting(folder):
        return
    if not _is_something(folder) and replaced.bring_back(folder, OWN):
        warnings.warn(f"{folder}: the training that was to be replaced is back, as the new one came to nothing",
                      stacklevel=3)  # fmt: skip
    tell_of_hidden(folder)


def tell_of_hidden(folder: Path) -> None:
    """Says where earlier trainings wait, if any do."""
    if places := replaced.waiting(folder):
        names = ", ".join(str(place) for place in places)
        warnings.warn(f"an earlier training is kept in {names} until the one in {folder} is complete", stacklevel=3)


def _is_something(folder: Path) -> bool:
    """Whether a training can be gone on with, or has said how it went where there is nothing else to have."""
    if not (folder / OPTIONS).is_file():
        return False
    return any((folder / ROOM).glob("step-*.pt")) or ((folder / METRICS).is_file() and not replaced.waiting(folder))


def abandon(folder: Path) -> None:
    """Takes away a training that failed before its first checkpoint, and the directory if nothing else is in it.

    What it was to replace comes back; where the new one has checkpoints, both are kept, and that is said.
    """
    if _is_something(folder):
        tell_of_hidden(folder)
        return
    replaced.bring_back(folder, OWN)
    with contextlib.suppress(OSError):
        folder.rmdir()


def note_options(folder: Path, options: TrainOptions) -> None:
    """Writes the options of the training."""
    data = json.dumps(options.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    atomic_write(folder / OPTIONS, data.encode(), force=True)


def noted_options(folder: Path) -> TrainOptions:
    """The options of the training in a directory. Raises UsageError where there is none."""
    file = folder / OPTIONS
    if not file.is_file():
        raise UsageError(f"{folder} holds no training to go on with: it has no {OPTIONS}")
    try:
        return options_from(read_object(file, UsageError))
    except (UsageError, TypeError) as error:
        raise UsageError(f"{folder} holds no training to go on with: {error}") from None


def save_pipeline(folder: Path, pipe: Any, about: Mapping[str, object]) -> None:
    """Writes the model into the directory, all its files or none, and `about` as its diffusion_tricks.json.

    Raises OutputFailed where the disk refuses it; the model that was there then stays.
    """
    try:
        sweep(folder, f"{MODEL_IN_THE_MAKING}*")
        with tempfile.TemporaryDirectory(prefix=MODEL_IN_THE_MAKING, dir=folder) as place, held(Path(place)):
            made = Path(place)
            pipe.save_pretrained(made)
            (made / "diffusion_tricks.json").write_text(json.dumps(dict(about), ensure_ascii=False), encoding="utf-8")
            files = {folder / file.relative_to(made): file for file in sorted(made.rglob("*")) if file.is_file()}
            for file in files:
                file.parent.mkdir(exist_ok=True)
            atomic_write_all({file: source.read_bytes() for file, source in files.items()}, force=True)
    except OutputFailed:
        raise
    except Exception as error:  # safetensors has errors of its own for what a disk refuses
        raise OutputFailed(f"the model could not be written to {folder}: {error}") from error


def add_metrics(folder: Path, row: Mapping[str, object]) -> None:
    """Appends a row to the metrics. Raises OutputFailed."""
    try:
        with (folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise OutputFailed(f"{folder / METRICS} could not be written: {error.strerror}") from error


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows so far; a last line that was cut off is left out, and what is no row. Raises UsageError."""
    file = folder / METRICS
    try:
        lines = read_text(file, MOST_METRICS).splitlines() if file.is_file() else []
    except Unreadable as error:
        raise UsageError(f"{file} {error}; remove it to go on without it") from None
    return [row for line in lines if (row := _row(line))]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def cut_metrics(folder: Path, step: int) -> None:
    """Takes away the rows after a step: a training goes on from there, and makes them again."""
    rows = [json.dumps(row) + "\n" for row in metrics(folder) if row["step"] <= step]
    atomic_write(folder / METRICS, "".join(rows).encode(), force=True)
