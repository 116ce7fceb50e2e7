"""Streams that are closed, full or left: what was asked is made, and nothing but a sentence is said."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from faults.harness import Case, Harness

STREAMS = Harness(
    "streams", "a stream that is closed, full or left keeps nothing from being made", 5, 60, lambda rng: _cases(rng)
)
PROGRAM = f'"{sys.executable}" -m diffusion_tricks_cli'
ROOT = Path(__file__).resolve().parents[2]
MAKES = "cover in.png --title x -o out.png"
COMMANDS = [MAKES, f"{MAKES} --json", "plugins --json", "--help", "models", "views", "show made.png",
            "generate a --dry-run", "cover none.png --title x -o out.png"]  # fmt: skip
REDIRECTED = [
    "2>&-",
    ">&-",
    ">&- 2>&-",
    "<&-",
    ">/dev/full",
    "2>/dev/full",
    ">/dev/full 2>&1",
    "| head -1",
    "2>&1 | true",
]


def _cases(rng: random.Random) -> Iterator[Case]:
    cases = [(command, to) for command in COMMANDS for to in REDIRECTED]
    rng.shuffle(cases)
    for command, to in cases:
        yield f"{command} {to}", partial(_ended, command, to)


def _ended(command: str, to: str) -> str | None:
    Image.new("RGB", (16, 16)).save("in.png")
    paths = ":".join(str(ROOT / part) for part in ("", "plugins", "cli"))
    line = f"({PROGRAM} {command}; echo $? > code) {to}".replace("; echo", f" {to.partition('|')[0]}; echo")
    ended = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    said, code = ended.stdout + ended.stderr, int(Path("code").read_text())
    if "Traceback" in said or "Exception ignored" in said:
        return f"a traceback: {said[-300:]}"
    if code not in (0, 1, 2):
        return f"exit code {code}: {said[-300:]}"
    if "in.png" in command and not Path("out.png").is_file():
        return "nothing was made"
    return None
