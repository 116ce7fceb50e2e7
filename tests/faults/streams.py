"""Streams that are closed, full or left: what was asked is made, and nothing but a sentence is said."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from PIL import Image

from command_line import run
from faults.harness import Case, Harness, in_a_fork

STREAMS = Harness(
    "streams", "a stream that is closed, full or left keeps nothing from being made", 65, 200, lambda rng: _cases(rng)
)
PROGRAM = f'"{sys.executable}" -m diffusion_tricks_cli'
ROOT = Path(__file__).resolve().parents[2]
MAKES = "cover in.png --title x -o out.png"
COMMANDS = [MAKES, f"{MAKES} --json", "plugins --json", "--help", "models", "views", "show made.png",
            "generate a --dry-run", "cover none.png --title x -o out.png"]  # fmt: skip
FEW = 5
TO: dict[str, dict[int, str]] = {
    "stdin closed": {0: "closed"}, "stdout closed": {1: "closed"}, "stderr closed": {2: "closed"},
    "both closed": {1: "closed", 2: "closed"}, "all closed": {0: "closed", 1: "closed", 2: "closed"},
    "stdout full": {1: "full"}, "stderr full": {2: "full"}, "both full": {1: "full", 2: "full"},
    "stdout left": {1: "left"}, "both left": {1: "left", 2: "left"},
    "stdout full, stderr closed": {1: "full", 2: "closed"},
}  # fmt: skip
REDIRECTED = [
    "2>&-",
    ">&-",
    ">&- 2>&-",
    "<&-",
    ">/dev/full",
    "2>/dev/full",
    ">/dev/full 2>&1",
    "| head -1",
    "2>&1 | true",
]


def _cases(rng: random.Random) -> Iterator[Case]:
    """A few in processes of their own, then all that a fork can try, which is quicker, then the rest."""
    apart = [(f"{command} {to}", partial(_ended, command, to)) for command in COMMANDS for to in REDIRECTED]
    forked = [
        (f"{command}, {name}", partial(wrong_in_a_fork, command, to)) for command in COMMANDS for name, to in TO.items()
    ]
    rng.shuffle(apart)
    rng.shuffle(forked)
    yield from [*apart[:FEW], *forked, *apart[FEW:]]


@cache
def _made() -> bytes:
    """A picture with its record."""
    with TemporaryDirectory() as folder, chdir(folder):
        Image.new("RGB", (16, 16)).save("in.png")
        run(*shlex.split(MAKES))
        return Path("out.png").read_bytes()


def wrong_in_a_fork(command: str, to: dict[int, str]) -> str | None:
    """What is wrong with a command in a fork whose streams, by their descriptors, are replaced."""
    Image.new("RGB", (16, 16)).save("in.png")
    Path("made.png").write_bytes(_made())
    ended = json.loads(in_a_fork(partial(_redirected, shlex.split(command), to))[1] or '["it died", -1]')
    return _judged(command, *ended)


def _redirected(words: list[str], to: dict[int, str]) -> str:
    """What was said on stderr, as far as it can be known, and the exit code, in JSON."""
    from diffusion_tricks_cli.main import main

    with TemporaryFile() as heard:
        for number in range(3):
            _redirect(number, to.get(number, ""), heard.fileno())
        sys.stdin, sys.stdout, sys.stderr = (
            None if to.get(number) == "closed" else open(number, mode, closefd=False)  # noqa: SIM115
            for number, mode in enumerate("rww")
        )  # type: ignore[assignment]
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()  # as the interpreter does, as it ends
        heard.seek(0)
        return json.dumps([heard.read().decode(), code])


def _redirect(number: int, to: str, heard: int) -> None:
    """Leads a descriptor to nowhere: "closed", "full", or "left" by its reader; else stderr to what is heard."""
    if to == "closed":
        os.close(number)
    elif to == "left":
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, number)
    else:
        target = os.open("/dev/full" if to == "full" else os.devnull, os.O_RDWR)
        os.dup2(heard if number == 2 and not to else target, number)


def _ended(command: str, to: str) -> str | None:
    Image.new("RGB", (16, 16)).save("in.png")
    Path("made.png").write_bytes(_made())
    paths = ":".join(str(ROOT / part) for part in ("", "plugins", "cli"))
    line = f"({PROGRAM} {command}; echo $? > code) {to}".replace("; echo", f" {to.partition('|')[0]}; echo")
    ended = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    return _judged(command, ended.stdout + ended.stderr, int(Path("code").read_text()))


def _judged(command: str, said: str, code: int) -> str | None:
    """What is wrong with what was said, how it ended and what there is."""
    if "Traceback" in said or "Exception ignored" in said:
        return f"a traceback: {said[-300:]}"
    if code not in (0, 1, 2):
        return f"exit code {code}: {said[-300:]}"
    if "in.png" in command and not Path("out.png").is_file():
        return "nothing was made"
    return None
