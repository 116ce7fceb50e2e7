"""A plugin for a while, from its file or its module. No torch here."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from diffusion_tricks.errors import DiffusionTricksError, PluginError
from diffusion_tricks.hosting.host import Host, with_plugin
from diffusion_tricks.hosting.interrupts import is_interrupt
from diffusion_tricks.hosting.plugin_file import check_file, forgotten, from_file
from diffusion_tricks.hosting.registration import Found

T = TypeVar("T")


@contextmanager
def load_plugin(plugin: str | os.PathLike[str] | ModuleType) -> Iterator[Host]:
    """Loads a plugin for as long as the `with` lasts: its tricks, views, models and commands are known within it.

        with load_plugin("vignette.py"):
            make(prompt="a rose", tricks=["vignette"])

    plugin: a Python file, as for `--plugin`; a module; or the name of one that can be imported, with dots. It takes the
    place of an installed plugin of its name. Behind the `with`, what is registered and the modules that stood for the
    file are as they were. It holds for the process, so threads see it too.
    Raises UsageError for a file that cannot be a plugin, PluginError for a plugin that is broken, as one that takes a
    name which is taken.
    """
    with _opened(plugin) as module:
        file = None if isinstance(plugin, ModuleType) or _is_module_name(plugin) else Path(plugin)
        with with_plugin(Found(module.__name__, _origin(module), lambda: module, file=file)) as made:
            yield made


@contextmanager
def _opened(plugin: str | os.PathLike[str] | ModuleType) -> Iterator[ModuleType]:
    """The module itself; one from a file is forgotten behind it."""
    if isinstance(plugin, ModuleType):
        yield plugin
    elif _is_module_name(plugin):
        yield _loaded(str(plugin), importlib.import_module, str(plugin))
    else:
        file = Path(plugin)
        check_file(file)
        with forgotten():
            yield _loaded(file.name, from_file, file)


def _is_module_name(plugin: str | os.PathLike[str]) -> bool:
    if not isinstance(plugin, str) or plugin.endswith(".py") or Path(plugin).exists():
        return False
    return all(part.isidentifier() for part in plugin.split("."))


def _loaded(name: str, load: Callable[[T], ModuleType], what: T) -> ModuleType:
    try:
        return load(what)
    except DiffusionTricksError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise PluginError(f"plugin {name!r} cannot be loaded: {type(error).__name__}: {error}") from error


def _origin(module: ModuleType) -> str:
    return Path(module.__file__).name if module.__file__ else f"the module {module.__name__}"
