"""Batches that are killed at every write: gone on with, they come to what an uninterrupted one comes to."""

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
from faults.harness import FAILED, Case, Harness, in_a_fork
from faults.models import tiny
from faults.touches import killed, places

BATCH = Harness(
    "batch", "a batch that is killed goes on to the same files, byte for byte", 20, 250, lambda rng: _kills(rng)
)
HOME = Path("out")
TIMES = {"at", "seconds"}  # of what is noted
NOTED = {"here.jsonl", "after.json"}  # in the ledger, which is no output
Files = dict[str, bytes]


def _job(number: int) -> dict[str, Any]:
    said: dict[str, Any] = {"id": f"j{number}", "thing": "abcd"[number % 4]}
    if number % 5 == 1:
        said |= {"count": 2}
    if number % 5 == 2:
        said |= {"tricks": [{"trick": "sdedit", "image": "in.png", "strength": 1.0}], "steps": 2}
    if number == 3:
        said |= {"model": "./nothing"}  # a bad one
    return said


def _list(count: int) -> str:
    base = {"prompt": "a {thing}", "steps": 1, "model": "./tiny"}
    return "".join(json.dumps(line) + "\n" for line in ({"base": base}, *map(_job, range(count))))


SCORED = "scored pictures with side-cars"
LISTS = {"pictures": (16, "out/{id}-{index}.png"), SCORED: (6, "out/{id}-{index}.jpg")}


@cache
def before() -> Path:
    """A folder with a picture, a model and lists of jobs."""
    folder = Path(mkdtemp())
    shutil.copytree(tiny(), folder / "tiny")
    Image.linear_gradient("L").resize((16, 16)).save(folder / "in.png")
    for name, (count, _) in LISTS.items():
        (folder / f"{name}.jsonl").write_text(_list(count))
    return folder


def words(name: str) -> list[str]:
    """Those of a command."""
    scores = "--scores" if name == SCORED else "--no-scores"
    return ["batch", f"{name}.jsonl", "-o", LISTS[name][1], "--seed", "1", "--batch", "4", scores, "--quiet"]


@cache
def after(name: str) -> Files:
    """What there is where nothing happens."""
    shutil.copytree(before(), folder := Path(mkdtemp()) / "after")
    with chdir(folder):
        outcome = run(*words(name))
        assert outcome.code == FAILED, outcome.err
        return held()


def held() -> Files:
    """What stands in each file that a user sees; of the ledger, where each job stands in the end."""
    files = [file for file in HOME.rglob("[!.]*") if file.is_file() and file.name not in NOTED]
    journal = (HOME / "ledger" / "here.jsonl").read_text()
    return {str(file): file.read_bytes() for file in files} | {"ledger": _ends(journal)}


def _ends(journal: str) -> bytes:
    last: dict[str, Any] = {}
    for line in map(json.loads, journal.splitlines()):
        line = {key: value for key, value in line.items() if key not in TIMES}
        last |= {line[key]: line for key in ("begun", "done", "failed") if key in line}
    return json.dumps(last, sort_keys=True).encode()


def _kills(rng: random.Random) -> Iterator[Case]:
    cases: list[Case] = []
    for name in LISTS:
        after(name)
        with chdir(shutil.copytree(before(), Path(mkdtemp()) / "counted")):
            count = places(partial(run, *words(name)))
        cases += [(f"{name}, at {place}", partial(wrong_after_a_kill, name, place)) for place in range(count)]
    rng.shuffle(cases)
    yield from cases


def wrong_after_a_kill(name: str, at: int) -> str | None:
    """What is wrong, in an empty folder, when a batch was killed at a place and gone on with."""
    shutil.copytree(before(), ".", dirs_exist_ok=True)
    if wrong := killed(partial(run, *words(name)), at):
        return wrong
    return in_a_fork(partial(_gone_on, [*words(name), "--resume"], after(name)))[1] or None


def _gone_on(again: list[str], whole: Files) -> str:
    outcome = run(*again)
    if outcome.code != FAILED:
        return f"exit code {outcome.code}: {outcome.err[-300:]}"
    now = held()
    return ", ".join(name for name in whole.keys() | now.keys() if whole.get(name) != now.get(name))
