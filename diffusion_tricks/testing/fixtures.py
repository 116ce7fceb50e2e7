"""Fixtures for the tests of plugins: `pytest_plugins = ["diffusion_tricks.testing.fixtures"]` in `conftest.py`.

tiny_model      a `Model` of random weights, 16 x 16 pixels, for `sample`, `make` and `check_trick`
tiny_folder     the same as a directory, for `-m`
run_command     `testing.run_command` in a folder of the test's own
registered      `testing.registered` until the test ends
load_plugin     `diffusion_tricks.load_plugin` until the test ends
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from diffusion_tricks import testing
from diffusion_tricks.hosting.host import Host
from diffusion_tricks.hosting.loaded import load_plugin as loaded_for_a_while
from diffusion_tricks.loading.load import load_model
from diffusion_tricks.model.model import Model
from diffusion_tricks.testing.command import Outcome


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    """A tiny DeepFloyd IF of random weights, on the CPU."""
    return load_model(testing.tiny_pipeline("if"), device="cpu")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the pipeline of `tiny_model`."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    testing.tiny_pipeline("if").save_pretrained(folder)
    return folder


@pytest.fixture
def run_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """`diffusion-tricks WORDS`, in the test's `tmp_path`, which becomes the current folder."""
    monkeypatch.chdir(tmp_path)
    return testing.run_command


@pytest.fixture
def registered() -> Iterator[Callable[..., Host]]:
    """Registers a plugin, a trick's class or a view's, until the test ends."""
    with ExitStack() as held:
        yield lambda plugin, name="": held.enter_context(testing.registered(plugin, name))


@pytest.fixture
def load_plugin() -> Iterator[Callable[[Any], Host]]:
    """Loads a plugin from its file or module until the test ends."""
    with ExitStack() as held:
        yield lambda plugin: held.enter_context(loaded_for_a_while(plugin))
