"""Runs over many pictures, killed at every write: gone on with, they come to what an uninterrupted run comes to."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import chdir
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from PIL import Image

from command_line import run
from faults.harness import OK, Case, Harness, in_a_fork
from faults.models import tiny
from faults.touches import killed, places

MANY = Harness(
    "many", "a run over many pictures that is killed goes on to the same files, byte for byte", 6, 150,
    lambda rng: _kills(rng),
)  # fmt: skip
HOME, MANIFEST = Path("out"), "manifest.jsonl"
COMMANDS = {
    "covers, with side-cars": ["cover", "in/", "--title", "x", "--seed", "1", "-o", "out/{stem}.jpg"],
    "parts made anew, after masks": [
        "inpaint", "in/*.png", "a", "--masks", "masks", "--steps", "1", "--seed", "1", "-o", "out/{stem}.png",
    ],
    "a sweep": ["generate", "a", "--sweep", "steps=1,2", "--seed", "1", "-o", "out/"],
    "anew, with films and recipes": [
        "inpaint", "in/*.png", "a", "--masks", "masks", "--steps", "1", "--seed", "1", "-o", "out/{stem}.png",
        "--steps-out", "out/{stem}.gif", "--save-recipe", "out/{stem}.toml",
    ],
}  # fmt: skip
# What an earlier run was asked besides, whose pictures are made anew.
EARLIER = {"anew, with films and recipes": ["--no-provenance", "--guidance", "3"]}
Files = dict[str, bytes]


@cache
def before(command: str) -> Path:
    """A folder with pictures and masks, and what an earlier run made of them, if there was one."""
    folder = Path(mkdtemp())
    for name in ("in/a.png", "in/b.png", "masks/a.png", "masks/b.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.linear_gradient("L").resize((16, 16)).rotate(90 * (name[-5] == "b")).save(folder / name)
    if command in EARLIER:
        with chdir(folder):
            assert run(*_asked(command), *EARLIER[command], "--quiet").code == OK
    return folder


def words(command: str) -> list[str]:
    """Those of a command, with its model."""
    return [*_asked(command), *(["--resume"] if command in EARLIER else [])]


def _asked(command: str) -> list[str]:
    return [*COMMANDS[command], *([] if command.startswith("covers") else ["-m", tiny()])]


@cache
def after(command: str) -> Files:
    """What there is where nothing happens."""
    shutil.copytree(before(command), folder := Path(mkdtemp()) / "after")
    with chdir(folder):
        assert run(*words(command), "--quiet").code == OK
        return held()


def held() -> Files:
    """What stands in each file that a user sees; of the journal, where each job stands in the end."""
    found = {str(file): file.read_bytes() for file in HOME.rglob("[!.]*") if file.is_file()}
    return found | {MANIFEST: _ends((HOME / MANIFEST).read_text()), str(HOME / MANIFEST): b""}


def _ends(journal: str) -> bytes:
    last: dict[str, Any] = {}
    for line in map(json.loads, journal.splitlines()):
        last |= {line[key]: line for key in ("begun", "done", "failed") if key in line}
    return json.dumps(last, sort_keys=True).encode()


def _kills(rng: random.Random) -> Iterator[Case]:
    cases: list[Case] = []
    for command in COMMANDS:
        after(command)
        with chdir(shutil.copytree(before(command), Path(mkdtemp()) / "counted")):
            count = places(partial(run, *words(command)))
        cases += [(f"{command}, at {place}", partial(wrong_after_a_kill, command, place)) for place in range(count)]
    rng.shuffle(cases)
    yield from cases


def wrong_after_a_kill(command: str, at: int) -> str | None:
    """What is wrong, in an empty folder, when a run was killed at a place and gone on with."""
    shutil.copytree(before(command), ".", dirs_exist_ok=True)
    if wrong := killed(partial(run, *words(command)), at):
        return wrong
    return in_a_fork(partial(_gone_on, [*_asked(command), "--resume"], after(command)))[1] or None


def _gone_on(again: list[str], whole: Files) -> str:
    outcome = run(*again)
    if outcome.code != OK:
        return f"exit code {outcome.code}: {outcome.err[-300:]}"
    now = held()
    return ", ".join(name for name in whole.keys() | now.keys() if whole.get(name) != now.get(name))
