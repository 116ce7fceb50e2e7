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
        """How it ended, in words, as far as is known."""
        found = ENDED.findall(self.log.read_text(errors="replace")) if self.log.is_file() else []
        signal_name, status = found[-1] if found else ("", self.code)
        return f"by {signal_name}" if signal_name else f"with exit code {status}"

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
