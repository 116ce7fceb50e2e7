"""A worker in a process of its own, on whatever machine: it is given groups and asked for what came of them.

The lines of the ledger go back with the outcomes, and are noted where those arrive. No torch here until it works.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TypeVar

import diffusion_tricks
from diffusion_tricks.plugin import DiffusionTricksError, Journal, Ledger, Line, host
from diffusion_tricks_batch.groups import Group
from diffusion_tricks_batch.how import How
from diffusion_tricks_batch.outcome import Outcome
from diffusion_tricks_batch.records import FORETOLD

OF_US = "DIFFUSION_TRICKS_"  # environment variables that decide what is loaded, and how
T = TypeVar("T")
SEEN_WITHIN = 3.0  # seconds; a disk of the network may show a new file that late


@dataclass(frozen=True)
class Orders:
    """What a worker elsewhere is told first.

    how: pictures are made. folder: of the ledger. home: the folder that relative paths start from. version: of
    diffusion_tricks, which is the same everywhere. plugins: files of plugins, by path. without: plugins that are left
    out. environment: variables. collect: whether pictures are sent back.
    """

    how: How
    folder: str
    home: str
    version: str
    plugins: Mapping[str, bytes] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    collect: bool = False


def orders_of(how: How, folder: Path, collect: bool) -> Orders:
    """What a worker is told so that it does as this process would."""
    asked = host()
    files = {os.path.abspath(file): Path(file).read_bytes() for file in asked.files}
    environment = {name: value for name, value in os.environ.items() if name.startswith(OF_US)}
    return Orders(how, str(folder), os.getcwd(), diffusion_tricks.__version__, files, tuple(sorted(asked.without)),
                  environment, collect)  # fmt: skip


class Unnoted(Ledger):
    """A ledger whose lines are noted where the outcomes arrive, but for what must be noted before."""

    def note(self, *lines: Line) -> None:
        """Nothing."""

    def foretell(self, files: Mapping[Path, bytes]) -> None:
        """Notes, in a journal of its own, what will stand in the place of earlier files: nobody else may be left to."""
        told = {self.relative(path): hashlib.sha256(data).hexdigest() for path, data in files.items() if path.is_file()}
        if told:
            file = self.home / FORETOLD / self.path.name
            file.parent.mkdir(exist_ok=True)
            Journal(file).append([{"outputs": told, "at": round(time.time(), 6)}])


class Away:
    """A worker elsewhere: `ready`, then `take` and `more`, from several threads. orders: see `Orders`."""

    def __init__(self, orders: Orders):
        self.orders = orders
        self._groups = Queue[Group]()
        self._told = Queue[Outcome | BaseException]()

    def ready(self, number: int) -> str:
        """Does as it is told, and gives its name. Raises DiffusionTricksError for another version, and as `host`."""
        if diffusion_tricks.__version__ != self.orders.version:
            raise DiffusionTricksError(
                f"{socket.gethostname()} has diffusion_tricks {diffusion_tricks.__version__}, this machine "
                f"{self.orders.version}; install the same on all"
            )
        os.environ.update(self.orders.environment)
        with contextlib.suppress(OSError):  # a folder of another machine
            os.chdir(self.orders.home)
        host(list(self._plugin_files()), self.orders.without)
        self.name = f"{socket.gethostname()}-{number}"
        Thread(target=self._work, daemon=True).start()
        return self.name

    def sees(self, path: str, mark: str) -> bool:
        """Whether a text file that has just been written is here too."""
        until = time.monotonic() + SEEN_WITHIN
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if mark in Path(path).read_text():
                    return True
            time.sleep(0.1)
        return False

    def take(self, group: Group) -> None:
        """Works on a group when those before it are done."""
        self._groups.put(group)

    def back(self, number: int) -> bool:
        """Gives a group back, unless it is begun; says whether it does."""
        with self._groups.mutex:
            found = [group for group in self._groups.queue if group.number == number]
            for group in found:
                self._groups.queue.remove(group)
        return bool(found)

    def more(self) -> list[Outcome]:
        """What came of groups since it was last asked; waits for at least one. Raises what broke the worker."""
        told = [self._told.get(), *_there_now(self._told)]
        if broken := next((one for one in told if isinstance(one, BaseException)), None):
            raise broken
        return [one for one in told if isinstance(one, Outcome)]

    def leave(self) -> None:
        """Removes what it wrote for itself."""
        shutil.rmtree(self._own, ignore_errors=True)

    @cached_property
    def _own(self) -> Path:
        """A folder for what nobody else needs."""
        return Path(tempfile.mkdtemp(prefix="diffusion-tricks-"))

    def _plugin_files(self) -> Iterator[Path]:
        """The files of plugins: where they are, or copies of what was sent."""
        for name, data in self.orders.plugins.items():
            path = Path(name)
            if not path.is_file() or path.read_bytes() != data:
                path = self._own / path.name
                path.write_bytes(data)
            yield path

    def _work(self) -> None:
        from diffusion_tricks_batch.work import Worker

        try:
            worker = Worker(self.orders.how, Unnoted(self._place(self.orders.folder) / f"{self.name}.jsonl"), self.name)
            while True:
                for outcome in worker.outcomes(self._given(self._groups.get())):
                    self._told.put(self._packed(outcome))
        except BaseException as error:  # whatever it is, nobody would hear of it here
            self._told.put(error)

    def _given(self, first: Group) -> Iterator[Group]:
        """That group, and those that have come meanwhile."""
        return map(self._placed, chain([first], _there_now(self._groups)))

    def _place(self, path: str) -> Path:
        """Where a file is written here: in its place, or the same below a folder of its own if it is sent back."""
        return Path(self._own, *Path(os.path.abspath(path)).parts[1:]) if self.orders.collect else Path(path)

    def _placed(self, group: Group) -> Group:
        items = [replace(item, paths=tuple(str(self._place(path)) for path in item.paths)) for item in group.items]
        return replace(group, items=tuple(items))

    def _packed(self, outcome: Outcome) -> Outcome:
        """The outcome with its files, by their paths as the ledger says them; here they are gone then."""
        if not self.orders.collect:
            return outcome
        folder = self._place(self.orders.folder)
        here = {name: Path(os.path.normpath(folder / name)) for name in outcome.line.get("outputs", ())}
        files = {name: path.read_bytes() for name, path in here.items()}
        for path in here.values():
            path.unlink()
        return replace(outcome, files=files)


def _there_now(queue: Queue[T]) -> Iterator[T]:
    with contextlib.suppress(Empty):
        while True:
            yield queue.get_nowait()
