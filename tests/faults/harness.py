"""What all harnesses share: cases from a seed, the command line without mercy, and what is no traceback."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from command_line import Outcome, run

SEED = 20
PATIENCE = 60  # seconds of one case
OK, FAILED, USAGE, MODEL = range(4)

Case = tuple[str, Callable[[], str | None]]  # its name; what is wrong, tried in an empty folder; None for nothing


@dataclass(frozen=True)
class Harness:
    """A promise, and the cases that try it.

    small: how many of them are tried in CI. full: how many by `python -m tests.faults --all`.
    """

    name: str
    promise: str
    small: int
    full: int
    cases: Callable[[random.Random], Iterator[Case]]

    def failures(self, count: int, place: Path) -> Iterator[tuple[str, str | None]]:
        """The name of each case, and what is wrong."""
        cases = self.cases(random.Random(SEED))
        for index, (name, tried) in zip(range(count), cases, strict=False):
            folder = place / f"{self.name}-{index}"
            folder.mkdir()
            with chdir(folder):
                yield name, _wrong(tried)


def _wrong(tried: Callable[[], str | None]) -> str | None:
    try:
        with patience():
            return tried()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's may be any
        return f"{type(error).__name__}: {error}"


@contextmanager
def patience() -> Iterator[None]:
    """What waits for ever is a fault as well."""

    def late(*_: object) -> NoReturn:
        raise TimeoutError(f"not done within {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def spoken(*words: object, codes: Collection[int] = (OK, USAGE, MODEL)) -> str | None:
    """What is wrong with how a command ended: it is one of the codes, and with any but 0 a sentence is said."""
    try:
        outcome = run(*words)
    except TimeoutError:
        raise
    except BaseException as error:  # would have been a traceback
        return f"{type(error).__name__}: {error}"
    return judged(outcome, codes)


def judged(outcome: Outcome, codes: Collection[int]) -> str | None:
    """What is wrong with how a command ended; see `spoken`."""
    last = outcome.err[-300:]
    if "Traceback" in outcome.err:
        return f"a traceback: {last}"
    if outcome.code not in codes:
        return f"exit code {outcome.code}: {last}"
    if outcome.code and "Error: " not in outcome.err:
        return f"exit code {outcome.code} and no sentence: {last}"
    return None


def in_a_fork(work: Callable[[], str]) -> tuple[int, str]:
    """The exit code of a process that is as this one and does `work`, or is killed, and what came of it."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.write(tell, work().encode())
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    with os.fdopen(told) as said:
        text = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text
