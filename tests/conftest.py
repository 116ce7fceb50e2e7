"""One thread for the tests' tiny models: more threads only wait for each other, badly so on a busy machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the commands the tests start
os.environ["DIFFUSION_TRICKS_PROMPTS_MB"] = "0"  # nothing is kept in the home of who runs the tests


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny DeepFloyd IF of 16 x 16 pixels."""
    from diffusion_tricks.testing import tiny_pipeline

    folder = tmp_path_factory.mktemp("models") / "tiny-if"
    tiny_pipeline("if").save_pretrained(folder)
    return folder
