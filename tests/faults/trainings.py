"""Trainings: killed at every write they go on to the same model; in folders with foreign or damaged files they stop."""

from __future__ import annotations

import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp

from command_line import Outcome, run
from faults.harness import MODEL, OK, USAGE, Case, Harness, in_a_fork, judged
from faults.touches import killed, places

KILLED_TRAININGS = Harness(
    "trainings", "a training that is killed goes on to the same model, or what it was to replace is there", 4, 60,
    lambda rng: _kills(rng),
)  # fmt: skip
FOLDERS = Harness(
    "training folders", "a training's folder with foreign or damaged files is used or refused, and none is lost",
    15, 300, lambda rng: _folders(rng),
)  # fmt: skip
HOME = Path("t")
TRAIN = [
    "train", "--data", "shapes", "--size", "8", "--channels", "1", "--width", "8", "--levels", "1", "--batch", "2",
    "--steps", "2", "--checkpoint", "1", "--sheet-count", "0", "--held-out", "0", "--quiet", "--output", HOME,
]  # fmt: skip
RESUME = ["train", "--resume", HOME, "--quiet"]
BEGUN = {"a new training": [*TRAIN], "one in the place of another": [*TRAIN, "--seed", "7", "--force"]}
WEIGHTS = HOME / "unet" / "diffusion_pytorch_model.safetensors"
MINE = b"what a user wrote"


@cache
def before() -> Path:
    """A folder with a training; made here, so that no fork need import what trainings do."""
    folder = Path(mkdtemp())
    with chdir(folder):
        assert run(*TRAIN).code == OK
    return folder


def _begin(words: list[object]) -> None:
    if "--force" in words:
        shutil.copytree(before(), ".", dirs_exist_ok=True)


@cache
def weights(kind: str) -> set[bytes]:
    """Of the models that may be there in the end."""
    with chdir(mkdtemp()):
        _begin(BEGUN[kind])
        in_a_fork(lambda: run(*BEGUN[kind]).err)
        return {WEIGHTS.read_bytes(), *([(before() / WEIGHTS).read_bytes()] if "--force" in BEGUN[kind] else [])}


def _kills(rng: random.Random) -> Iterator[Case]:
    cases: list[Case] = []
    before()
    for kind, words in BEGUN.items():
        with chdir(mkdtemp()):
            _begin(words)
            count = places(lambda words=words: run(*words))  # type: ignore[misc]
        cases += [(f"{kind}, at {place}", partial(_killed, kind, place)) for place in range(count)]
    rng.shuffle(cases)
    yield from cases


def _killed(kind: str, at: int) -> str | None:
    _begin(BEGUN[kind])
    if wrong := killed(lambda: run(*BEGUN[kind]), at):
        return wrong
    for file in HOME.glob("checkpoints/step-*.pt"):
        if zipfile.ZipFile(file).testzip():
            return f"{file} is not whole"
    wrong = in_a_fork(partial(_gone_on, BEGUN[kind]))[1]
    return wrong or (None if WEIGHTS.read_bytes() in weights(kind) else "it came to another model")


def _gone_on(words: list[object]) -> str:
    """What is wrong with going on, as a user would: by `--resume`; where there is nothing yet, anew."""
    resumed = run(*RESUME)
    if resumed.code == OK or "this training is complete" in resumed.err:
        return ""
    return judged(resumed, [USAGE]) or _ended(run(*words, *(["--force"] if HOME.exists() else [])))


def _ended(outcome: Outcome) -> str:
    return judged(outcome, [OK]) or ""


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "mine").write_bytes(MINE)


def _put(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(MINE)


FOREIGN = (
    "mine.txt", "notes/mine", "checkpoints/mine", "checkpoints/step-99999999.pt", "samples/mine.txt", "unet/mine",
    "scheduler/mine.json", ".replaced-mine/mine", "averages/mine",
)  # fmt: skip
OWN = (
    "training.json", "metrics.jsonl", "loss.png", "model_index.json", "diffusion_tricks.json", "unet/config.json",
    "checkpoints/step-00000002.pt", "checkpoints/model.json", "unet", "checkpoints", "samples", "scheduler",
)  # fmt: skip
ODD: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: path.write_bytes(b""),
    "null bytes": lambda path: path.write_bytes(bytes(100)),
    "another's file": _put,
    "a folder": Path.mkdir,
    "a folder with a file": _folder,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "gone": lambda path: None,
}
COMMANDS: dict[str, list[object]] = {
    "--resume": [*RESUME, "--steps", "3"], "--force": [*TRAIN, "--force"], "a new training": [*TRAIN],
}  # fmt: skip


def _folders(rng: random.Random) -> Iterator[Case]:
    before()
    foreign = [(f"foreign {name}", name, _put) for name in FOREIGN]
    odd = [(f"{name}: {what}", name, made) for name in OWN for what, made in ODD.items()]
    cases = [
        (f"{words}, {what}", partial(_tried, words, name, made))
        for words in COMMANDS
        for what, name, made in (*foreign, *odd)
    ]
    rng.shuffle(cases)
    yield from cases


def _tried(command: str, name: str, made: Callable[[Path], object]) -> str | None:
    shutil.copytree(before(), ".", dirs_exist_ok=True)
    path = HOME / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    made(path)
    foreign = [file for file in HOME.rglob("mine*") if file.is_file()]
    codes = (USAGE, MODEL) if command == "a new training" else (OK, USAGE, MODEL)
    if wrong := in_a_fork(lambda: judged(run(*COMMANDS[command]), codes) or "")[1]:
        return wrong
    lost = [str(file) for file in foreign if not file.is_file()]
    return f"lost: {', '.join(lost)}" if lost else None
