"""Kills and full disks at every write: a file is what it was, or what it should become, and nothing else."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
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
    "full disk", "where a file cannot be written all are as before, with a sentence, exit 1", 12, 120,
    lambda rng: _full(rng),
)  # fmt: skip
COMMANDS: dict[str, list[str]] = {
    "a new PNG": ["cover", "in.png", "--title", "x", "-o", "new.png"],
    "a JPEG with its side-car": ["cover", "in.png", "--title", "x", "-o", "old.jpg", "--force"],
    "a PNG in the place of another": ["cover", "in.png", "--title", "x", "-o", "old.png", "--force"],
    "a recipe": ["cover", "in.png", "--title", "x", "-o", "new.webp", "--save-recipe", "r.toml"],
}  # fmt: skip
Files = dict[str, bytes]


def _kills(rng: random.Random) -> Iterator[Case]:
    for command in COMMANDS:
        for place in range(places(command)):
            yield f"{command}, at {place}", lambda folder, c=command, place=place: _killed(folder, c, place)  # type: ignore[misc]


def _full(rng: random.Random) -> Iterator[Case]:
    while True:
        command, room = rng.choice(list(COMMANDS)), rng.choice((0, 1, 100, 500, 1000))
        yield f"{command}, {room} bytes", lambda folder, c=command, room=room: _refused(folder, c, room)  # type: ignore[misc]


def laid_out(folder: Path) -> Files:
    """A picture to work on, and outputs that are there already; what stands in each."""
    Image.effect_noise((48, 48), 90).convert("RGB").save(folder / "in.png")
    for name in ("old.png", "old.jpg"):
        run("cover", folder / "in.png", "--title", "before", "-o", folder / name)
    return held(folder)


def held(folder: Path) -> Files:
    """What stands in each file that a user sees."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def places(command: str) -> int:
    """How often a command touches the disk."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        laid_out(folder)
        reached, told = os.pipe()
        in_a_fork(lambda: _touching(folder, command, FIRST, told))
        os.close(told)
        with os.fdopen(reached) as said:
            return int(said.read())


def _touching(folder: Path, command: str, at: int, told: int | None = None) -> int:
    """Runs a command that is killed when it touches the disk for the `at`th time; in a process of its own."""
    os.chdir(folder)
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
        if writes or event in {"os.rename", "os.link", "os.remove", "os.truncate", "shutil.move"}:
            touch()

    fsync = os.fsync

    def synced(descriptor: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{descriptor}"):
            touch(descriptor)
        fsync(descriptor)

    sys.addaudithook(audited)
    with mock.patch("os.fsync", synced):
        code = run(*COMMANDS[command]).code
    if told is not None:
        os.write(told, str(touched).encode())
    return code


def _killed(folder: Path, command: str, at: int) -> str | None:
    before = laid_out(folder)
    whole = _whole(folder, command)
    code = in_a_fork(lambda: _touching(folder, command, at))
    if code != KILLED:
        return f"it was not killed, and ended with {code}"
    after = held(folder)
    if odd := [name for name, data in after.items() if data not in (before.get(name), whole.get(name))]:
        return f"neither as before nor whole: {', '.join(odd)}"
    if lost := before.keys() - after.keys():
        return f"lost: {', '.join(lost)}"
    return judged(run(*COMMANDS[command], *([] if "--force" in COMMANDS[command] else ["--force"])), [OK])


def _whole(folder: Path, command: str) -> Files:
    """What the files become where nothing happens, seen in a folder of its own."""
    beside = folder / ".whole"
    beside.mkdir()
    laid_out(beside)
    here = Path.cwd()
    os.chdir(beside)
    try:
        run(*COMMANDS[command])
    finally:
        os.chdir(here)
    return held(beside)


def _refused(folder: Path, command: str, room: int) -> str | None:
    before = laid_out(folder)
    told, tell = os.pipe()
    code = in_a_fork(lambda: _in_little_room(folder, command, room, tell))
    os.close(tell)
    with os.fdopen(told) as said:
        wrong = said.read()
    if wrong or code:
        return wrong or f"it ended with {code}"
    return None if held(folder) == before else "files were changed"


def _in_little_room(folder: Path, command: str, room: int, tell: int) -> int:
    os.chdir(folder)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    wrong = judged(run(*COMMANDS[command]), [FAILED])
    os.write(tell, (wrong or "").encode())
    return 0
