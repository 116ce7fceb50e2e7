"""Ctrl-C ends with 130 whenever it comes, and is told from a KeyboardInterrupt that a plugin raises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from diffusion_tricks.hosting.interrupts import is_interrupt

LISTENS = "from diffusion_tricks_cli.interrupts import listen\nlisten()\n"
COMES = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


@pytest.mark.parametrize("catches", ["", "try:\n    ", "import builtins\n"])
def test_while_a_library_is_imported(tmp_path: Path, catches: str) -> None:
    """Whatever the library does with it: torch aborts, others turn it into an error of their own."""
    tried = f"{catches}import slow\n" + ("except BaseException:\n    raise SystemExit(0)\n" if "try" in catches else "")
    (tmp_path / "slow.py").write_text(COMES)
    done = subprocess.run([sys.executable, "-c", LISTENS + tried], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "Interrupted; nothing is left half-written.\n")


def test_at_any_other_time_it_is_python_s_own() -> None:
    caught = (
        f"{LISTENS}try:\n    {COMES.splitlines()[0]}; os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n"
    )
    done = subprocess.run([sys.executable, "-c", caught + "    print('caught')"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "caught\n")


def test_who_ignores_it_goes_on_ignoring_it() -> None:
    ignored = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{LISTENS}{COMES}print('here')"
    done = subprocess.run([sys.executable, "-c", ignored], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "here\n")


def from_the_keyboard() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def by_a_plugin() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("come", "real"), [(from_the_keyboard, True), (by_a_plugin, False)])
def test_an_interrupt_is_told_from_one_that_code_raises(come: Callable[[], None], real: bool) -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        come()
    assert is_interrupt(raised.value) is real
    assert not is_interrupt(RuntimeError())
