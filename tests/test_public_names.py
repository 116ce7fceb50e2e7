"""What stands at the doors: every name is what it should be, in whatever order names are imported."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

DOORS = ("diffusion_tricks", "diffusion_tricks.plugin")
# every name behind all that stand before it, and looked at again when all are there: forth, then, as if nothing of this
# package had been imported, back; so in every ordered pair
IN_ORDER = """
import importlib, sys
from types import ModuleType
for step in (1, -1):
    for name in [name for name in sys.modules if name.partition(".")[0] == "diffusion_tricks"]:
        del sys.modules[name]
    for place in sys.argv[1:]:
        door = importlib.import_module(place)
        found = {}
        for name in sorted(door.__all__)[::step]:
            exec(f"from {place} import {name} as found_one")
            found[name] = found_one
            assert not isinstance(found_one, ModuleType), f"{place}.{name} is a module"
        for name, value in found.items():
            assert getattr(door, name) is value, f"{place}.{name} changed"
            home = sys.modules.get(getattr(value, "__module__", None))
            assert getattr(home, name, value) is value, f"{place}.{name} is another"
print("good")
"""


def test_every_name_is_right_behind_every_other() -> None:
    done = subprocess.run([sys.executable, "-c", IN_ORDER, *DOORS], capture_output=True, text=True, check=False)
    assert done.stdout == "good\n", done.stderr


@pytest.mark.parametrize("door", [*DOORS, "diffusion_tricks.testing", "diffusion_tricks.training"])
def test_no_public_name_is_a_submodule(door: str) -> None:
    """Importing that would put the module in the place of the name."""
    module = importlib.import_module(door)
    beside = {one.name for one in pkgutil.iter_modules(getattr(module, "__path__", []))}
    assert not beside & set(module.__all__)


def test_the_package_is_a_command() -> None:
    command = [sys.executable, "-m", "diffusion_tricks", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("diffusion-tricks, version "), done.stderr
