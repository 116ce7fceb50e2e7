"""The command line, called in this process: quick, and with the exit code, both streams and the files in hand."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from diffusion_tricks.hosting.host import made_anew

PROGRAM = "diffusion_tricks_cli.main"


@dataclass(frozen=True)
class Outcome:
    """What became of a command: its exit code, what it wrote on both streams, and the files it made or changed.

    files: within the current folder, sorted; what stands in hidden folders is left out.
    """

    code: int
    out: str
    err: str
    files: tuple[Path, ...] = field(default=())

    @property
    def json(self) -> Any:
        """What was printed, read as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """What was printed on stdout, line by line."""
        return self.out.splitlines()


def run_command(*words: object) -> Outcome:
    """What `diffusion-tricks WORDS` does in the current folder, with plugins found anew as in a process of its own.

        outcome = run_command("make", "-m", tiny_folder, "-p", "a rose", "-o", "rose.png", "vignette")
        assert outcome.code == 0 and outcome.files == (Path("rose.png"),)

    words: anything that `str` makes a word of. Plugins that `registered` or `load_plugin` hold are there too.
    Raises what the command line does not expect either, as it is.
    """
    program = importlib.import_module(PROGRAM)
    out, err = io.StringIO(), io.StringIO()
    before = dict(_files())
    with (
        made_anew(),
        mock.patch.dict(os.environ),  # what a process of its own would take with it
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = _ended(program.main, [str(word) for word in words])
    files = sorted(path for path, state in _files() if before.get(path) != state)
    return Outcome(code, out.getvalue(), err.getvalue(), tuple(files))


def _ended(main: Any, words: list[str]) -> int:
    try:
        main(words)
    except SystemExit as ended:
        return int(ended.code or 0)
    raise AssertionError("the command line went on behind its end")


def _files() -> Iterator[tuple[Path, tuple[int, int]]]:
    """Every file of the current folder, with what tells whether it was written."""
    for folder, folders, names in os.walk("."):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(OSError):  # gone again
                state = path.stat()
                yield path, (state.st_mtime_ns, state.st_size)
