"""The plugin in examples/outside_plugin is built and installed as its own distribution, found, and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion_tricks.testing import tiny_pipeline

PLUGIN = Path(__file__).parents[1] / "examples" / "outside_plugin"
CLI = [sys.executable, "-m", "diffusion_tricks_cli"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the plugin installed."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", target]
    subprocess.run([*pip, PLUGIN], check=True, capture_output=True, text=True)
    paths = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline("if").save_pretrained(folder)
    return folder


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plugin_is_listed_with_its_distribution(environment: dict[str, str], tmp_path: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run([*CLI, "plugins", "--json"], environment, tmp_path))}
    row = rows["kaleidoscope"]
    assert (row["status"], row["version"], row["origin"]) == ("ok", "1.0.0", "kaleidoscope-trick")
    assert (row["tricks"], row["views"]) == (["kaleidoscope"], ["crosswise"])


def test_the_trick_is_a_link_of_make(environment: dict[str, str], model: Path, tmp_path: Path) -> None:
    link = ["kaleidoscope", "--fold", "4"]
    run([*CLI, "make", "-m", str(model), "-p", "a rabbit", "--steps", "3", "-o", "k.png", *link], environment, tmp_path)
    with Image.open(tmp_path / "k.png") as image:
        pixels = np.asarray(image).astype(int)
    assert np.abs(pixels - pixels[:, ::-1]).max() <= 1
    assert np.abs(pixels - pixels[::-1]).max() <= 1
    assert pixels.std() > 0


def test_the_view_serves_the_anagrams_that_are_built_in(
    environment: dict[str, str], model: Path, tmp_path: Path
) -> None:
    views = ["--view", "identity", "a rabbit", "--view", "crosswise", "a duck"]
    command = [*CLI, "anagram", "-m", str(model), "--steps", "2", "--json", "-o", "a.png", *views]
    out = run(command, environment, tmp_path)
    assert json.loads(out)["rows_per_step"] == 4


def test_drawing_the_help_of_the_trick_costs_no_torch(environment: dict[str, str], tmp_path: Path) -> None:
    code = "import kaleidoscope_trick.trick as t, sys; t.Kaleidoscope(); print('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], environment, tmp_path).strip() == "False"


def test_the_plugins_own_tests_pass(environment: dict[str, str], tmp_path: Path) -> None:
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PLUGIN)]
    assert "6 passed" in run(pytest_command, environment, tmp_path)
