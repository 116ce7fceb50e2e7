"""Batches that are killed at every write, alone or as one of several processes, over nothing or an earlier run: gone on
with, they come to what an uninterrupted one comes to."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

from PIL import Image

from command_line import run
from diffusion_tricks_batch.engines.process import end_with_parent
from diffusion_tricks_batch.engines.rank import work
from faults.harness import FAILED, Case, Harness, in_a_fork
from faults.models import tiny
from faults.touches import killed, places, spare

BATCH = Harness(
    "batch", "a batch that is killed goes on to the same files, byte for byte", 20, 250, lambda rng: _kills(rng)
)
HOME = Path("out")
TIMES = {"at", "seconds"}  # of what is noted
NOTED = ("*.jsonl", "*.log", "after.json", "run.json", "work.json", "launch.json")  # in the ledger: no output
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
LISTS = {"pictures": (8, "out/{id}-{index}.png"), SCORED: (4, "out/{id}-{index}.jpg")}


@dataclass(frozen=True)
class Kind:
    """How a list is made, is killed and goes on.

    of: the list. words: of the run that is killed. again: of the runs that go on, one after another. earlier: of a run
    that was there before; none where there was none. may_end: see `killed`.
    """

    of: str = "pictures"
    words: tuple[str, ...] = ()
    again: tuple[tuple[str, ...], ...] = (("--resume",),)
    earlier: tuple[str, ...] = ()
    may_end: bool = False


KINDS = {
    "pictures": Kind(),
    SCORED: Kind(SCORED),
    "by two shards": Kind(words=("--shard", "1/2"), again=(("--shard", "2/2"), ("--shard", "1/2")), may_end=True),
    "by two workers": Kind(  # a job may be at work as both are killed, and as all is
        words=("--workers", "2", "--retry", "3"), again=(("--resume", "--retry", "3"),), may_end=True,
    ),
    "anew, with other options": Kind(words=("--resume",), earlier=("--no-provenance",), may_end=True),
    "anew by force": Kind(
        words=("--force",), again=(("--resume", "--force"),), earlier=("--no-provenance",), may_end=True,
    ),
}  # fmt: skip
STRAYS = 2  # touches of the disk that one run of a list may have less than another
STALE = {"DIFFUSION_TRICKS_STALE": "0.2"}  # seconds after which a shard that was killed is given up


class Forked:
    """As `engines.process.Process`, but a fork of this process, which has imported all by now; it is killed once."""

    def __init__(self, name: str, command: Sequence[str], log: Path):
        self.name, self.command, self.log, self._before = name, command, log, 0
        self.begin()

    def begin(self) -> None:
        line, self._mine = os.pipe()
        self._ended: int | None = None
        self._number = os.fork()
        if not self._number:
            os.close(self._mine)
            os.dup2(line, 0)
            end_with_parent()
            if self._before:
                spare()
            try:
                work(Path(self.command[-2]), int(self.command[-1]))
                os._exit(0)
            finally:
                os._exit(1)
        os.close(line)
        self._before += 1

    @property
    def code(self) -> int | None:
        if self._ended is None:
            number, status = os.waitpid(self._number, os.WNOHANG)
            self._ended = os.waitstatus_to_exitcode(status) if number else None
        return self._ended

    @property
    def why(self) -> str:
        return f"with exit code {self.code}"

    def end(self) -> None:
        if self.code is None:
            os.kill(self._number, signal.SIGKILL)
            self._ended = os.waitstatus_to_exitcode(os.waitpid(self._number, 0)[1])


@cache
def before(earlier: tuple[str, ...] = ()) -> Path:
    """A folder with a picture, a model and lists of jobs, and what an earlier run has made."""
    folder = Path(mkdtemp())
    if earlier:
        shutil.copytree(before(), folder, dirs_exist_ok=True)
        with chdir(folder):
            assert run(*words("pictures", *earlier)).code == FAILED
        return folder
    shutil.copytree(tiny(), folder / "tiny")
    Image.linear_gradient("L").resize((16, 16)).save(folder / "in.png")
    for name, (count, _) in LISTS.items():
        (folder / f"{name}.jsonl").write_text(_list(count))
    return folder


def words(name: str, *more: str) -> list[str]:
    """Those of a command over a list."""
    scores = "--scores" if name == SCORED else "--no-scores"
    return ["batch", f"{name}.jsonl", "-o", LISTS[name][1], "--seed", "1", "--batch", "4", scores, "--quiet", *more]


@cache
def after(name: str) -> Files:
    """What there is of a list where nothing happens, whoever makes it."""
    shutil.copytree(before(), folder := Path(mkdtemp()) / "after")
    with chdir(folder):
        outcome = run(*words(name))
        assert outcome.code == FAILED, outcome.err
        return held()


def held() -> Files:
    """What stands in each file that a user sees; of the ledger, where each job stands in the end."""
    leases = HOME / "ledger" / "leases"
    files = [file for file in HOME.rglob("[!.]*") if file.is_file() and leases not in file.parents]
    found = {str(file): file.read_bytes() for file in files if not any(file.match(f"ledger/{one}") for one in NOTED)}
    return found | {"ledger": _ends()}


def _ends() -> bytes:
    lines = [json.loads(line) for path in (HOME / "ledger").glob("*.jsonl") for line in path.read_text().splitlines()]
    last: dict[str, Any] = {}
    for line in sorted(lines, key=lambda line: float(line.get("at", 0))):
        said = {key: value for key, value in line.items() if key not in TIMES}
        last |= {said[key]: said for key in ("begun", "done", "failed") if key in said}
    return json.dumps(last, sort_keys=True).encode()


def _kills(rng: random.Random) -> Iterator[Case]:
    """Those of each kind in turn."""
    every: list[list[Case]] = []
    for name, kind in KINDS.items():
        after(kind.of)
        count = _count(kind.of, () if "--workers" in kind.words else kind.words, kind.earlier)
        cases: list[Case] = [
            (f"{name}, at {place}", partial(wrong_after_a_kill, name, place)) for place in range(count)
        ]
        rng.shuffle(cases)
        every.append(cases)
    for turn in zip_longest(*every):
        yield from (case for case in turn if case)


@cache
def _count(of: str, more: tuple[str, ...], earlier: tuple[str, ...]) -> int:
    """How often a run touches the disk."""
    with chdir(shutil.copytree(before(earlier), Path(mkdtemp()) / "counted")):
        return places(partial(run, *words(of, *more)))


def _is_last(kind: Kind, at: int) -> bool:
    """Whether a place is among the last, which a run may not come to: touches of the disk stray by a few."""
    return at >= _count(kind.of, kind.words, kind.earlier) - STRAYS


def wrong_after_a_kill(name: str, at: int) -> str | None:
    """What is wrong, in an empty folder, when a batch was killed at a place and gone on with."""
    kind = KINDS[name]
    shutil.copytree(before(kind.earlier), ".", dirs_exist_ok=True)
    with mock.patch.dict(os.environ, STALE), mock.patch("diffusion_tricks_batch.engines.launch.Process", Forked):
        if wrong := killed(partial(run, *words(kind.of, *kind.words)), at, may_end=kind.may_end or _is_last(kind, at)):
            return wrong
        for again in kind.again:
            if wrong := in_a_fork(partial(_gone_on, words(kind.of, *again)))[1]:
                return wrong
    whole, now = after(kind.of), held()
    return ", ".join(name for name in whole.keys() | now.keys() if whole.get(name) != now.get(name)) or None


def _gone_on(again: list[str]) -> str:
    outcome = run(*again)
    return "" if outcome.code == FAILED else f"exit code {outcome.code}: {outcome.err[-300:]}"
