"""A record says which plugins a picture needs, and `rerun` says which of them are not there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import run
from diffusion_tricks import load_plugin
from diffusion_tricks.errors import PluginError, RecipeError
from diffusion_tricks.hosting import host as manager
from diffusion_tricks.recipes.needs import Need, needs_in, needs_of
from diffusion_tricks.recipes.recipe import Recipe
from diffusion_tricks.recipes.record import read_record

PLUGIN = """
from diffusion_tricks.plugin import Trick, View, hookimpl

class Dim(Trick):
    name = "dim"

class Still(View):
    def apply(self, x):
        return x

    def invert(self, x):
        return x

@hookimpl
def register_tricks(register):
    register("dim", __name__ + ":Dim")

@hookimpl
def register_views(register):
    register("still", __name__ + ":Still")

@hookimpl
def register_schedulers(register):
    register("slow", "DDIMScheduler")

@hookimpl
def register_models(register):
    register("mine", "owner/mine")

@hookimpl
def register_masks(register):
    register("star", __name__ + ":star")

@hookimpl
def register_scorers(register):
    register("my-clip", "owner/my-clip")
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "dt_regions.py"
    file.write_text(PLUGIN)
    return file


def installed(monkeypatch: pytest.MonkeyPatch, version: str | None, load: Callable[[], Any]) -> None:
    """The plugin as a distribution brings it, of that version; None is not at all."""
    dist = SimpleNamespace(name="dt-regions", version=version)
    points = [SimpleNamespace(name="regions-of-mine", value="dt_regions", dist=dist, load=load)] if version else []
    monkeypatch.setattr(manager, "entry_points", lambda group: points)


def test_all_that_is_used_from_outside_is_named(file: Path) -> None:
    with load_plugin(file):
        branch = {"prompt": "a duck", "tricks": [{"trick": "dim"}]}
        said = needs_of(Recipe(
            model="mine@v1", scheduler="slow", seed=0,
            tricks=[{"trick": "anagram", "views": [["flip|still:1", branch], ["identity", "still"]]}],
        ))  # fmt: skip
    assert [(one["kind"], one["name"]) for one in said] == [
        ("model", "mine"), ("scheduler", "slow"), ("view", "still"), ("trick", "dim"),
    ]  # fmt: skip
    sha256 = hashlib.sha256(PLUGIN.encode()).hexdigest()
    about = {"plugin": "dt_regions", "origin": "dt_regions.py", "sha256": sha256}
    assert said[0] == {"kind": "model", "name": "mine"} | about
    assert needs_of(Recipe(scheduler="ddim", tricks=[{"trick": "hybrid", "far": "dim", "near": "slow"}])) == []


def test_forms_of_masks_and_scorers_are_named(file: Path) -> None:
    with load_plugin(file):
        said = needs_of(Recipe(tricks=[
            {"trick": "inpaint", "image": "a.png", "mask": "box:0,0,9,9 & !(star:1,2,3 ^ star:4,5,6)"},
            {"trick": "clip-guidance", "clip": "my-clip"},
        ]))  # fmt: skip
        assert needs_of(Recipe(tricks=[{"trick": "inpaint", "image": "a.png", "mask": "alpha"}])) == []
    assert [(one["kind"], one["name"]) for one in said] == [("mask", "star"), ("scorer", "my-clip")]


def test_a_picture_made_with_a_file(file: Path, tiny: Path) -> None:
    line = ["make", "-m", tiny, "-p", "a", "--steps", 2, "-o", "out.png", "dim"]
    assert run("--plugin", file, *line).code == 0
    (need,) = needs_in(read_record("out.png"))
    assert (need.origin, need.name, need.version) == ("dt_regions.py", "dim", None)
    missing = run("rerun", "out.png", "-o", "again.png")
    assert missing.code == PluginError.exit_code
    assert "out.png needs dt_regions.py, which is not loaded; give the file with --plugin" in missing.err
    assert run("--plugin", file, "rerun", "out.png", "-m", tiny, "-o", "again.png").code == 0
    assert f"needs:    trick 'dim' of {file.name}" in run("show", "out.png").out
    file.write_text(PLUGIN + "# changed")
    changed = run("--plugin", file, "rerun", "out.png", "-m", tiny, "-o", "changed.png")
    assert changed.code == 0
    assert "Note: out.png was made with another dt_regions.py, of SHA-256" in changed.err


def test_a_picture_made_with_a_distribution(file: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(file.parent)

    def load() -> Any:
        import dt_regions

        return dt_regions

    def rerun() -> tuple[int, str]:
        done = run("rerun", "out.png", "-m", tiny, "-o", "again.png", "--force")
        return done.code, done.err

    installed(monkeypatch, "0.2", load)
    assert run("make", "-m", tiny, "-p", "a", "--steps", 2, "-o", "out.png", "dim").code == 0
    assert needs_in(read_record("out.png")) == [
        Need(kind="trick", name="dim", plugin="regions-of-mine", origin="dt-regions", version="0.2")
    ]
    assert rerun() == (0, "")
    installed(monkeypatch, "0.3", load)
    code, said = rerun()
    assert code == 0
    assert "Note: out.png was made with dt-regions 0.2, and 0.3 is installed; pixels may differ" in said
    installed(monkeypatch, None, load)
    code, said = rerun()
    assert code == PluginError.exit_code
    assert "Error: out.png needs dt-regions 0.2, which is not installed\n" in said
    installed(monkeypatch, "0.2", lambda: 1 / 0)
    code, said = rerun()
    assert code == PluginError.exit_code
    assert "out.png needs dt-regions 0.2, which is broken: ZeroDivisionError" in said
    installed(monkeypatch, "0.2", lambda: SimpleNamespace())
    assert "and the one that is installed has no trick 'dim'" in rerun()[1]
    installed(monkeypatch, "0.2", load)
    left_out = run("--no-plugin", "dt-regions", "rerun", "out.png")
    assert "needs dt-regions 0.2, which is here but left out by --no-plugin" in left_out.err


@pytest.mark.parametrize("said", [3, [3], [{"kind": "trick"}]])
def test_needs_that_are_damaged(said: Any) -> None:
    with pytest.raises(RecipeError, match="the diffusion-tricks record is damaged: needs"):
        needs_in({"needs": said})
