"""Ends a process where it touches the disk: a file is to be opened, was just opened, is synced, named or removed."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest import mock

from faults.harness import in_a_fork

KILLED = 77
NEVER = 10**9
NAMING = {"os.rename", "os.link", "os.remove", "os.truncate"}
OPENING = ("os.open", "io.open", "builtins.open")
Work = Callable[[], object]
_spared: list[bool] = []


def places(work: Work) -> int:
    """How often `work` touches the disk."""
    return int(in_a_fork(partial(_touching, work, NEVER))[1])


def killed(work: Work, at: int, *, may_end: bool = False) -> str | None:
    """Does `work` in a process that ends when it touches the disk for the `at`th time; what went wrong with that.

    Processes that it forks end so as well, unless they are spared. may_end: it may come to its end, as others may be
    killed instead, or as it does not touch the disk equally often each time.
    """
    code, _ = in_a_fork(partial(_touching, work, at))
    return None if code == KILLED or (may_end and not code) else f"it was not killed, and ended with {code}"


def spare() -> None:
    """From now on this process is not killed."""
    _spared.append(True)


def _torn(descriptor: int) -> int:
    """How much of a file is on the disk: half of it, or, where it is only added to, all but half of its last line."""
    size = os.fstat(descriptor).st_size
    if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        return size // 2
    with os.fdopen(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY), "rb") as file:
        last = file.read().splitlines(keepends=True)[-1]
    return size - len(last) // 2


def _touching(work: Work, at: int) -> str:
    touched = 0

    def touch(descriptor: int | None = None) -> None:
        nonlocal touched
        if touched == at and not _spared:
            if descriptor is not None:
                os.ftruncate(descriptor, _torn(descriptor))
            os._exit(KILLED)
        touched += 1

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in NAMING:
            touch()

    def opening(real: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        before = touched
        opened = real(*arguments, **named)
        if touched > before:  # it is empty now, or as it was
            touch()
        return opened

    fsync = os.fsync

    def synced(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            touch(descriptor)
        fsync(descriptor)

    sys.addaudithook(audited)
    with ExitStack() as patched:
        patched.enter_context(mock.patch("os.fsync", synced))
        for name in OPENING:
            real = sys.modules[name.partition(".")[0]].open
            patched.enter_context(mock.patch(name, partial(opening, real)))
        work()
    return str(touched)
