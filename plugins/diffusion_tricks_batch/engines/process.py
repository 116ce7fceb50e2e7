"""A process of a worker, which never outlives this one. No torch here."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 5.0  # seconds to end in
TRACED = "Traceback (most recent call last):"
SAID = 200  # characters
ENDED = re.compile(r"died with <Signals\.(\w+)|returned non-zero exit status (\d+)")  # of accelerate


class Process:
    """A worker that is run, with a line to it: once that is cut, by whatever end of this process, it ends as well.

    name: of the worker. command: its words. log: where it says what goes wrong; it is gone where nothing did.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path):
        self.name, self.command, self.log = name, command, log
        self.begin()

    def begin(self) -> None:
        """Begins it, or begins it again."""
        with self.log.open("ab") as said:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
            )

    @property
    def code(self) -> int | None:
        """What it ended with; None while it works."""
        return self._process.poll()

    @property
    def why(self) -> str:
        """How it ended, in words, and what it said last, as far as is known."""
        text = self.log.read_text(errors="replace") if self.log.is_file() else ""
        ends = list(ENDED.finditer(text))
        by, code = ends[-1].groups() if ends else ("", self.code)
        own = text[: ends[-1].start()].rpartition(TRACED)[0] if ends else text
        said = [line.strip() for line in own.splitlines() if line.strip()]
        return (f"by {by}" if by else f"with exit code {code}") + (f" ({said[-1][:SAID]})" if said else "")

    def end(self) -> None:
        """Ends it, whatever it does."""
        if self._process.stdin:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        self.kill()
        if self.log.is_file() and not self.log.stat().st_size:
            self.log.unlink()

    def kill(self) -> None:
        """Ends what is left of it and of what it has begun."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def end_with_parent() -> None:
    """Lets this process end at once when the one that has begun it ends, or cuts the line."""
    threading.Thread(target=_until_cut, daemon=True).start()


def _until_cut() -> None:
    os.read(0, 1)
    os._exit(1)
