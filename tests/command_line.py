"""The command line, called in this process, for the tests: quick, and with the exit code and both streams in hand."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

from diffusion_tricks.registry import host as manager
from diffusion_tricks_cli.main import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(*arguments: object) -> Outcome:
    """What `diffusion-tricks ARGUMENTS` does, with plugins found anew as in a process of its own."""
    manager._host = None
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ),  # what a process of its own would take with it
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main([str(argument) for argument in arguments])
    return Outcome(int(ended.value.code or 0), out.getvalue(), err.getvalue())
