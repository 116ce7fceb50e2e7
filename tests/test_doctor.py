"""`doctor`: true versions, each plugin with its load time, no secrets, no home, and an exit code that is true."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
import torch

from command_line import run
from diffusion_tricks_kit import doctor


def test_it_says_what_is_installed_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"film": (("no_such_module",), "films as .mp4"), "lora": ((), "--lora")})
    said = run("doctor", "--json")
    assert said.code == 0, said.err
    sections = said.json
    assert set(sections) == {
        "versions", "device", "memory", "fonts", "hub cache", "encoded prompts", "environment", "plugins", "missing"
    }  # fmt: skip
    assert sections["versions"]["torch"] == torch.__version__
    assert sections["versions"]["click"] == importlib.metadata.version("click")
    assert sections["missing"]["films as .mp4"] == "no_such_module; pip install 'diffusion-tricks[film]'"
    assert "--lora" not in sections["missing"]
    plugins = {row["name"]: row for row in sections["plugins"]}
    assert plugins["diffusion_tricks_plugins"]["status"] == "ok"
    assert all(0 <= row["seconds"] < 5 for row in plugins.values())


def test_it_is_a_page_without_secrets_and_without_your_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    page = run("doctor").out
    assert "hf_secret" not in page
    assert str(tmp_path) not in page
    assert "HF_HOME: ~/hub" in page
    assert len(page.splitlines()) < 80
    assert "diffusion-tricks:" in page


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache is named otherwise")
def test_it_says_where_encoded_prompts_are_and_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DIFFUSION_TRICKS_PROMPTS_MB", "512")
    folder = tmp_path / "diffusion-tricks" / "prompts"
    assert doctor._prompts() == {"folder": str(folder), "holds": "0 prompts, 0.0 of at most 0.5 GiB"}
    folder.mkdir(parents=True)
    (folder / "a.safetensors").write_bytes(bytes(2**27))
    assert doctor._prompts()["holds"] == "1 prompt, 0.1 of at most 0.5 GiB"
    (folder / "a.safetensors").unlink()
    folder.rmdir()
    folder.touch()
    assert doctor._prompts()["note"] == "the folder may not be written, so no more are kept"
    monkeypatch.setenv("DIFFUSION_TRICKS_PROMPTS_MB", "0")
    assert doctor._prompts() == {"folder": "none, as they are not kept"}
    monkeypatch.setenv("DIFFUSION_TRICKS_PROMPTS_MB", "-1")
    assert "got '-1'" in doctor._prompts()["error"]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_broken_plugin_is_said_with_exit_code_3(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "bent.py").write_text("import no_such_module\n")
    outcome = run("--plugin", tmp_path / "bent.py", "doctor", *words)
    assert outcome.code == 3
    assert "bent" in outcome.out
    assert "no_such_module" in outcome.out


def test_libraries_that_cannot_be_imported_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    outcome = run("doctor")
    assert outcome.code == 3
    assert "error: ModuleNotFoundError" in outcome.out
