"""`plugins new`: what it makes installs from a wheel into a fresh environment, passes its own tests, and is typed.

So do the plugins of examples/plugins, which go the same way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from command_line import run

FIXTURES = ("-p", "diffusion_tricks.testing.fixtures", "-c", os.devnull)
ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "plugins"
KINDS = ("trick", "view", "family", "command")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def done(*command: object, folder: Path, **variables: str) -> str:
    words = [str(word) for word in command]
    ended = subprocess.run(words, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{words}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def folders(home: Path) -> list[Path]:
    return sorted(path for path in home.glob("dt-*") if path.is_dir())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one scaffold of each kind."""
    folder = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind in KINDS:
            outcome = run("plugins", "new", f"soft-{kind}", f"--{kind}")
            assert (outcome.code, outcome.lines) == (0, [f"dt-soft-{kind}"]), outcome.err
    return folder


@pytest.fixture(scope="module")
def python(home: Path) -> Path:
    """The interpreter of a fresh environment into which the wheels of all are installed; what they need is at hand."""
    shutil.copytree(EXAMPLES, home, dirs_exist_ok=True)
    done(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", home / "wheels", *folders(home), folder=home)
    fresh = home / "fresh"
    venv.create(fresh)
    interpreter = fresh / "bin" / "python"
    (site,) = fresh.glob("lib/*/site-packages")
    (site / "needed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    done(*PIP, "--python", interpreter, "install", "--no-deps", *(home / "wheels").iterdir(), folder=home)
    return interpreter


def test_it_is_a_distribution_of_one_file_with_tests_and_all_that_belongs_to_it(home: Path) -> None:
    for kind in KINDS:
        folder, module = home / f"dt-soft-{kind}", f"dt_soft_{kind}"
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        tests = f"tests/test_{module}.py"
        assert files == {"pyproject.toml", "README.md", ".github/workflows/ci.yml", f"{module}.py", tests}
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert project["entry-points"] == {"diffusion_tricks": {f"soft-{kind}": module}}


def test_installed_from_wheels_all_are_found_and_whole(python: Path, home: Path) -> None:
    """The examples are tried by their own tests."""
    only = ",".join(f"soft-{kind}" for kind in KINDS)
    command = (python, "-m", "diffusion_tricks_cli", "plugins", "--check", "--json")
    rows = json.loads(done(*command, folder=home, DIFFUSION_TRICKS_PLUGINS=only))
    found = {row["origin"]: row["errors"] for row in rows if row["origin"].startswith("dt-")}
    assert found == {folder.name: [] for folder in folders(home)}
    assert len(found) == 8


def test_their_own_tests_pass_as_they_are(python: Path, home: Path) -> None:
    tests = [folder / "tests" for folder in folders(home)]
    said = done(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FIXTURES, *tests, folder=home)
    assert " passed" in said


def test_they_are_strictly_typed_and_formatted(home: Path) -> None:
    files = sorted(home.glob("dt-*/**/*.py"))
    paths = os.pathsep.join(map(str, folders(home)))
    settings = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache")
    done(sys.executable, "-m", "mypy", *settings, "--strict", *files, folder=ROOT, MYPYPATH=paths)
    ruff = (sys.executable, "-m", "ruff", "--config", ROOT / "pyproject.toml")
    done(*ruff, "check", "--ignore", "D1,I", *files, folder=ROOT)
    done(*ruff, "format", "--check", *files, folder=ROOT)


def test_a_hook_that_returns_the_wrong_type_is_caught(home: Path) -> None:
    text = (home / "dt-soft-trick" / "dt_soft_trick.py").read_text()
    wrong = home / "wrong.py"
    wrong.write_text(text.replace("return mean(answers, weights=[1 - share, share])", "return share"))
    settings = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache", "--strict")
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, wrong], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, 'expected "Estimate"' in ended.stdout) == (1, True), ended.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["soft-trick"], "is there already, and is left as it is"),
        (["hybrid"], "there is already a trick called 'hybrid'"),
        (["flip", "--view"], "there is already a view called 'flip'"),
        (["Soft Light"], "expected a name of small letters"),
        (["a--b"], "expected a name of small letters"),
    ],
)
def test_nothing_is_overwritten_and_no_name_taken(
    words: list[str], says: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    before = {path: path.read_bytes() for path in home.glob("dt-*/**/*") if path.is_file()}
    outcome = run("plugins", "new", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert says in outcome.err
    assert {path: path.read_bytes() for path in home.glob("dt-*/**/*") if path.is_file()} == before


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("dt-*/dt_*.py")), ids=lambda file: file.stem)
def test_an_example_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) < 60
