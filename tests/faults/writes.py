"""Kills and full disks at every write: a file is what it was, or what it should become, and nothing else."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import chdir
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

from PIL import Image

from faults.harness import FAILED, OK, Case, Harness, in_a_fork, judged, run

KILLED = 77
FIRST = 10_000  # places to be killed at; far more than a command has
KILLS = Harness(
    "kills", "a file that was being written when all ended is as before, or whole", 40, 400, lambda rng: _kills(rng)
)
FULL = Harness(
    "full disk", "where a file cannot be written it is as before, with a sentence, exit 1", 12, 120,
    lambda rng: _full(rng),
)  # fmt: skip
COMMANDS: dict[str, list[str]] = {
    "a new PNG": ["cover", "in.png", "--title", "x", "--seed", "1", "-o", "new.png"],
    "a JPEG with its side-car": ["cover", "in.png", "--title", "x", "--seed", "1", "-o", "old.jpg", "--force"],
    "a PNG in the place of another": ["cover", "in.png", "--title", "x", "--seed", "1", "-o", "old.png", "--force"],
    "a recipe": ["cover", "in.png", "--title", "x", "--seed", "1", "-o", "new.webp", "--save-recipe", "r.toml"],
}  # fmt: skip
FORCED = ["--force"]
Files = dict[str, bytes]


def _kills(rng: random.Random) -> Iterator[Case]:
    for command in COMMANDS:
        for place in range(places(command)):
            yield f"{command}, at {place}", partial(_killed, command, place)


def _full(rng: random.Random) -> Iterator[Case]:
    while True:
        command, room = rng.choice(list(COMMANDS)), rng.choice((0, 1, 50, 200))
        yield f"{command}, {room} bytes", partial(_refused, command, room)


@cache
def before() -> Path:
    """A folder with a picture to work on, and outputs that are there already."""
    folder = Path(mkdtemp())
    with chdir(folder):
        Image.linear_gradient("L").resize((48, 48)).convert("RGB").save("in.png")
        for name in ("old.png", "old.jpg"):
            run("cover", "in.png", "--title", "before", "--seed", "1", "-o", name)
    return folder


@cache
def after(command: str) -> Files:
    """What the files become where nothing happens."""
    folder = shutil.copytree(before(), Path(mkdtemp()) / "after")
    with chdir(folder):
        run(*COMMANDS[command])
    return held(folder)


def held(folder: Path) -> Files:
    """What stands in each file that a user sees."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def places(command: str) -> int:
    """How often a command touches the disk."""
    folder = shutil.copytree(before(), Path(mkdtemp()) / "counted")
    with chdir(folder):
        return int(in_a_fork(partial(_touching, command, FIRST))[1])


def _touching(command: str, at: int) -> str:
    """How often a command touches the disk; it is killed when it does for the `at`th time."""
    touched = 0

    def touch(descriptor: int | None = None) -> None:
        nonlocal touched
        if touched == at:
            if descriptor is not None:  # half of it is on the disk
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os._exit(KILLED)
        touched += 1

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in {"os.rename", "os.link", "os.remove", "os.truncate"}:
            touch()

    fsync = os.fsync

    def synced(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            touch(descriptor)
        fsync(descriptor)

    sys.addaudithook(audited)
    with mock.patch("os.fsync", synced):
        run(*COMMANDS[command])
    return str(touched)


def _killed(command: str, at: int) -> str | None:
    shutil.copytree(before(), ".", dirs_exist_ok=True)
    code, _ = in_a_fork(partial(_touching, command, at))
    if code != KILLED:
        return f"it was not killed, and ended with {code}"
    return _partial(command) or judged(run(*COMMANDS[command], *FORCED[: "--force" not in COMMANDS[command]]), [OK])


def _partial(command: str) -> str | None:
    """What of the files is neither as before nor as it should become."""
    was, is_now = held(before()), held(Path())
    if odd := [name for name, data in is_now.items() if data not in (was.get(name), after(command).get(name))]:
        return f"neither as before nor whole: {', '.join(odd)}"
    lost = was.keys() - is_now.keys()
    return f"lost: {', '.join(lost)}" if lost else None


def _refused(command: str, room: int) -> str | None:
    shutil.copytree(before(), ".", dirs_exist_ok=True)
    code, wrong = in_a_fork(partial(_in_little_room, command, room))
    return wrong or (f"it ended with {code}" if code else _partial(command))


def _in_little_room(command: str, room: int) -> str:
    """What is wrong with how a command ends that can write so many bytes to a file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    return judged(run(*COMMANDS[command]), [FAILED]) or ""
