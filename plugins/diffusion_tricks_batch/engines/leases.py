"""Leases: which worker has which group, among processes and hosts that share a folder. No torch here.

A lease on group 7 is the folder `7`, which is put in its place whole, with one file in it that is called after its
holder and a token of its own. Who takes it over renames that very file, which one of several can do. The holder
touches it from time to time; one that is touched no more is stale. A lease is a lock and nothing else: what was made
stands in the ledger, and two workers on one group would make the same bytes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from diffusion_tricks.plugin import OutputError, OutputFailed, UsageError

STALE = 60.0  # seconds
ASKED = "DIFFUSION_TRICKS_STALE"  # environment variable: seconds, for clusters that stall longer
TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.EACCES}  # the last on Windows
BEATS = 4  # in the time after which a lease is stale


def stale_after() -> float:
    """Seconds after which a lease that nobody touches is stale. Raises UsageError for a variable that is none."""
    said = os.environ.get(ASKED, str(STALE))
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"the environment variable {ASKED} must be a number of seconds above 0, got {said!r}")
    return seconds


class Leases:
    """The leases of one worker. Used as a context, in which they are touched by a thread of their own.

    folder: of all leases of a run. name: of the worker, without a dot, that nobody else has meanwhile. stale: seconds;
    None is what `stale_after` says. Raises OutputError for a folder that cannot be made.
    """

    def __init__(self, folder: Path, name: str, stale: float | None = None):
        self.folder, self.name = folder, name
        self.stale = stale_after() if stale is None else stale
        self._clock = folder / f".clock.{name}"
        self._held: dict[int, Path] = {}
        self._end = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            freed(folder, name)
            self._clock.touch()
        except OSError as error:
            raise OutputError(f"nothing can be written to {folder}: {error.strerror}; choose another folder") from None

    def __enter__(self) -> Self:
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._beating.join()
        for number in self.held:
            self.release(number)
        self._clock.unlink(missing_ok=True)

    @property
    def held(self) -> list[int]:
        """Groups that it has, as far as it knows."""
        return list(self._held)

    def take(self, number: int) -> bool:
        """Takes a group that nobody has, or whose holder touches it no more; says whether it has it now."""
        place = self.folder / str(number)
        mine = f"{self.name}.{secrets.token_hex(8)}"
        if holder := _holder(place):
            taken = self._is_stale(holder) and _taken_over(holder, place / mine)
        else:
            taken = self._put(place, mine)
        if taken:
            self._held[number] = place / mine
        return taken

    def holds(self, number: int) -> bool:
        """Whether it still has a group, which is touched by that; False once another has taken it over."""
        path = self._held.get(number)
        if path is None:
            return False
        try:
            os.utime(path)  # by the clock of the file system; no other lease is called so
        except FileNotFoundError:
            self._held.pop(number, None)
            return False
        except OSError:  # what cannot be told does no harm
            return True
        return True

    def release(self, number: int) -> None:
        """Gives a group back, if it still has it."""
        path = self._held.pop(number, None)
        if path is not None:
            _removed(path)

    def _put(self, place: Path, mine: str) -> bool:
        """Puts a lease in its place, which fails where there is one."""
        new = self.folder / f".{mine}"
        try:
            new.mkdir()
            (new / mine).write_text(_told(self.name))
            with contextlib.suppress(OSError):
                place.rmdir()  # if its holder was killed as it gave it back
            os.rename(new, place)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            if error.errno not in TAKEN:
                raise OutputFailed(f"no lease can be written to {self.folder}: {error.strerror}") from error
        return (place / mine).exists()  # some file systems say that what they did has failed

    def _is_stale(self, holder: Path) -> bool:
        """Whether a lease was not touched for too long, by the clock of the file system: those of hosts may differ."""
        try:
            with holder.open("rb") as file:  # opened, as what is known of a file elsewhere may be old
                touched = os.fstat(file.fileno()).st_mtime
            self._clock.touch()
            return self._clock.stat().st_mtime - touched > self.stale
        except OSError:
            return False

    def _beat(self) -> None:
        while not self._end.wait(self.stale / BEATS):
            for number in self.held:
                self.holds(number)


def freed(folder: Path, name: str) -> list[int]:
    """Takes away all leases of a worker that is known to be dead; gives their groups."""
    (folder / f".clock.{name}").unlink(missing_ok=True)
    for left in folder.glob(f".{name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    return sorted(int(path.parent.name) for path in _leases_of(folder, name) if _removed(path))


def holdings(folder: Path, name: str) -> list[int]:
    """The groups that a worker has."""
    return sorted(int(path.parent.name) for path in _leases_of(folder, name))


def every_lease(folder: Path) -> Iterator[Path]:
    """The file of each lease; not by a pattern for both levels, which fails where one is given back meanwhile."""
    yield from filter(None, (_holder(place) for place in folder.glob("[0-9]*") if place.name.isdecimal()))


def _leases_of(folder: Path, name: str) -> Iterator[Path]:
    yield from (path for path in every_lease(folder) if path.name.startswith(f"{name}."))


def _holder(place: Path) -> Path | None:
    """The file of a lease; None where there is none."""
    with contextlib.suppress(OSError):
        return next(place.iterdir(), None)
    return None


def _taken_over(holder: Path, mine: Path) -> bool:
    """Renames a stale lease, which one of several can do; it is touched before, lest the next finds mine stale."""
    try:
        os.utime(holder)
        os.rename(holder, mine)
    except OSError:
        return mine.exists()
    with contextlib.suppress(OSError):
        mine.write_text(_told(mine.name.partition(".")[0]))
    return True


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    return True


def _told(name: str) -> str:
    said = {"worker": name, "host": socket.gethostname(), "process": os.getpid(), "at": round(time.time(), 3)}
    return json.dumps(said)
