"""How long a plugin takes to load, and what it waits for: every `--help` waits for it, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from diffusion_tricks.hosting.host import ALLOWED

LONG = 0.3  # seconds; the help of a command is to be there in half a second
MARK = "= the plugin ="
LINE = re.compile(r"import time:\s*\d+ \|\s*(\d+) \| ( *)(\S+)")  # microseconds in all, depth, name
CODE = f"""
import importlib.util, sys
from diffusion_tricks.hosting.host import host
host()
print({MARK!r}, file=sys.stderr, flush=True)
name, file = sys.argv[1:]
sys.path.insert(0, "")
if file:
    spec = importlib.util.spec_from_file_location(name, file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
else:
    importlib.import_module(name)
"""


@dataclass(frozen=True)
class Slow:
    """An import of a plugin that takes long: of which module, and seconds."""

    module: str
    seconds: float


def slowest_import(plugin: Any, file: str | None) -> Slow | None:
    """The import that a plugin's module waits for longest in a fresh process, if that is longer than `LONG`.

    file: that the plugin was read from, if it was a single one. None for what is no module.
    """
    if not isinstance(plugin, ModuleType):
        return None
    command = [sys.executable, "-X", "importtime", "-c", CODE, plugin.__name__, file or ""]
    done = subprocess.run(
        command, env={**os.environ, ALLOWED: ""}, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    own = plugin.__name__.partition(".")[0]
    found = [
        Slow(name, int(microseconds) / 1e6)
        for microseconds, _, name in LINE.findall(done.stderr.partition(MARK)[2])
        if name.partition(".")[0] != own
    ]
    slow = max(found, key=lambda one: one.seconds, default=None)
    return slow if slow is not None and slow.seconds > LONG else None
