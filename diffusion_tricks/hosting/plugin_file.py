"""Plugins in single Python files."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType


_from_files: set[str] = set()  # modules that were loaded from single files


def check_file(file: Path) -> None:
    """Raises UsageError for a file that cannot be a plugin, before anything of it is run."""
    if not file.is_file():
        raise UsageError(f"plugin {file}: no such file; expected a Python file with @hookimpl functions")
    if file.suffix != ".py" or "." in file.stem:
        raise UsageError(f"plugin {file}: expected a Python file, its name ending in .py and with no other dot")
    if file.stem not in _from_files and _is_module(file):
        raise UsageError(f"plugin {file}: there is another module called {file.stem!r}; rename the file")


def _is_module(file: Path) -> bool:
    """Whether the file's name stands for a module that is not the file itself."""
    try:
        spec = importlib.util.find_spec(file.stem)
    except ValueError:  # a module without a specification, such as __main__
        return True
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != file.resolve())


def from_file(file: Path) -> ModuleType:
    """The module in a file, under the name by which its tricks are registered. Raises what its code raises."""
    spec = importlib.util.spec_from_file_location(file.stem, file.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"plugin {file}: cannot be loaded as a Python file")
    module = importlib.util.module_from_spec(spec)
    _from_files.add(file.stem)
    sys.modules[file.stem] = module  # a trick registered as "file:Class" is found there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[file.stem]
        raise
    return module


@contextmanager
def forgotten() -> Iterator[None]:
    """Behind it the modules that single files stand for are those that they were before it."""
    before = {name: sys.modules[name] for name in _from_files if name in sys.modules}
    try:
        yield
    finally:
        for name in _from_files:
            sys.modules.pop(name, None)
        sys.modules.update(before)
