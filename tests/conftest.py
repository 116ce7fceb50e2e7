"""One thread for the tests' tiny models: more threads only wait for each other, badly so on a busy machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the commands the tests start


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny DeepFloyd IF of 16 x 16 pixels."""
    from diffusion_tricks.testing import tiny_pipeline

    folder = tmp_path_factory.mktemp("models") / "tiny-if"
    tiny_pipeline("if").save_pretrained(folder)
    return folder
