"""What shells offer: views, models, files, seeds, asked as each asks; and how their scripts are put in place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from command_line import run
from test_chain import completions

COMPLETE = "_DIFFUSION_TRICKS_COMPLETE"
CODE = "from diffusion_tricks_cli.main import main; main()"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    "line", ["anagram", "make anagram", "plan anagram", "film a.png", "print a.png", "search pairs:easy"]
)
def test_views_complete_wherever_there_is_a_view(line: str) -> None:
    assert completions(f"{line} --view", "rotate_c") == ["rotate_cw", "rotate_ccw"]
    assert completions(f"{line} --view", "flip|neg") == ["flip|negate"]


@pytest.mark.parametrize("line", ["generate a", "make", "run r.toml", "make guidance --scale 3"])
def test_models_complete_by_name_directory_and_file(line: str) -> None:
    for folder in ("sdmine", "sdother"):
        Path(folder).mkdir()
    Path("sdmine", "model_index.json").touch()
    Path("sdweights.safetensors").touch()
    found = completions(f"{line} -m", "sd")
    assert {"sd15", "sdxl", "sdmine", "sdother/", "sdweights.safetensors"} <= set(found)
    assert completions(f"{line} --model", "sdother/") == []


def test_seeds_of_the_pictures_here_complete(tiny: Path) -> None:
    for seed in (12, 175):
        assert run("generate", "a rose", "-m", tiny, "--steps", 1, "--seed", seed, "-o", f"{seed}.png").code == 0
    Image.new("RGB", (8, 8)).save("plain.png")
    Path("broken.png").write_bytes(b"no picture")
    assert sorted(completions("generate a --seed", "")) == ["12", "175"]
    assert completions("make --seed", "17") == ["175"]


def test_files_are_left_to_the_shell() -> None:
    from click.shell_completion import ShellComplete

    from diffusion_tricks_cli.main import cli

    complete = ShellComplete(cli, {}, "diffusion-tricks", COMPLETE)
    assert [item.type for item in complete.get_completions(["inpaint"], "pho")] == ["file"]
    assert [item.type for item in complete.get_completions(["run"], "rec")] == ["file"]


@pytest.mark.parametrize(
    ("shell", "variables", "expected"),
    [
        ("bash", {"COMP_WORDS": "diffusion-tricks anagram --view rotate_c", "COMP_CWORD": "3"}, "plain,rotate_cw"),
        ("zsh", {"COMP_WORDS": "diffusion-tricks anagram --view rotate_c", "COMP_CWORD": "3"}, "rotate_cw"),
        ("fish", {"COMP_WORDS": "diffusion-tricks anagram --view ", "COMP_CWORD": "rotate_c"}, "rotate_cw"),
    ],
)
def test_each_shell_is_answered_in_its_own_words(shell: str, variables: dict[str, str], expected: str) -> None:
    asked = os.environ | variables | {COMPLETE: f"{shell}_complete"}
    done = subprocess.run([sys.executable, "-c", CODE], env=asked, capture_output=True, text=True, check=True)
    assert expected in done.stdout
    assert "torch" not in done.stderr


def test_it_is_put_in_place_once() -> None:
    Path(".bashrc").write_text("alias a=b")
    first = run("completion", "install", "bash")
    assert first.code == 0, first.err
    assert first.lines == [
        str(Path.home() / ".local/share/diffusion-tricks/completion.bash"),
        str(Path.home() / ".bashrc"),
    ]
    assert len(run("completion", "install", "bash").lines) == 1
    lines = Path(".bashrc").read_text().splitlines()
    assert (lines[0], len(lines)) == ("alias a=b", 2)
    assert run("completion", "show", "bash").out.strip() == Path(first.lines[0]).read_text().strip()


@pytest.mark.parametrize(("shell", "files"), [("zsh", 2), ("fish", 1)])
def test_the_shell_in_use_is_meant(shell: str, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    outcome = run("completion", "install")
    assert (outcome.code, len(outcome.lines)) == (0, files)
    assert all(Path(line).is_file() for line in outcome.lines)
    assert COMPLETE in Path(outcome.lines[0]).read_text()


def test_a_shell_that_is_not_known_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/nologin")
    outcome = run("completion", "install")
    assert (outcome.code, "name it: bash, zsh, fish" in outcome.err) == (2, True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_line_and_offers() -> None:
    """In a shell that loads the file, the function is asked as the tabulator key asks it."""
    run("completion", "install", "bash")
    Path("bin").mkdir()
    program = Path("bin", "diffusion-tricks")
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{CODE}'\n")
    program.chmod(0o755)
    asked = (
        ". ./.bashrc; COMP_WORDS=(diffusion-tricks anagram --view rotate_c); COMP_CWORD=3; "
        '_diffusion_tricks_completion diffusion-tricks; echo "${COMPREPLY[@]}"'
    )
    paths = {"PATH": f"{Path('bin').resolve()}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", asked], env=os.environ | paths, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["rotate_cw", "rotate_ccw"], done.stderr
