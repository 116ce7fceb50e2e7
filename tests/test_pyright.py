"""What pyright, which editors show, says of the doors, of plugins as they are made, and of hooks that are wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import diffusion_tricks
from command_line import run
from diffusion_tricks import plugin, testing
from test_typing import WRONG, written

pytest.importorskip("basedpyright", reason="basedpyright is not installed")
ROOT = Path(__file__).resolve().parent.parent
PATHS = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "cli")]
KINDS = ("trick", "view", "family", "command")
DOORS = {"diffusion_tricks": diffusion_tricks, "diffusion_tricks.plugin": plugin, "diffusion_tricks.testing": testing}


def pyright(folder: Path, *words: str) -> dict[str, Any]:
    """What it says as JSON, of a folder or of what the words are."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, *words]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The errors of each file: of a scaffold of each kind, the examples, the doors' names, and hooks that are wrong."""
    folder = tmp_path_factory.mktemp("typed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind in KINDS:
            assert run("plugins", "new", f"soft-{kind}", f"--{kind}").code == 0
    shutil.copytree(ROOT / "examples" / "plugins", folder, dirs_exist_ok=True)
    shutil.copytree(ROOT / "examples" / "outside_plugin", folder / "outside_plugin")
    for name, door in DOORS.items():
        names = [one for one in door.__all__ if not one.startswith("__")]
        text = f"import {name} as door\n\n" + "".join(f"door.{one}\n" for one in names)
        (folder / f"{name.replace('.', '_')}_names.py").write_text(text)
    written(folder)
    configuration = {
        "typeCheckingMode": "strict", "reportUnusedExpression": False, "extraPaths": PATHS, "include": ["."],
    }  # fmt: skip
    (folder / "pyrightconfig.json").write_text(json.dumps(configuration))
    said: dict[str, list[str]] = {str(path.relative_to(folder)): [] for path in folder.rglob("*.py")}
    for one in pyright(folder)["generalDiagnostics"]:
        text = f"{one['range']['start']['line'] + 1}: {one['message']} ({one.get('rule')})"
        said[str(Path(one["file"]).relative_to(folder))].append(text)
    return said


def test_plugins_and_the_names_of_the_doors_are_strictly_typed(errors: dict[str, list[str]]) -> None:
    assert len(errors) > 20
    assert {file: said for file, said in errors.items() if said and file != "dim.py"} == {}


def test_it_finds_every_hook_that_gives_the_wrong_thing(errors: dict[str, list[str]]) -> None:
    found = errors["dim.py"]
    for name in WRONG:
        assert [one for one in found if f'Method "{name}" overrides class' in one], found
    assert [one for one in found if 'Type "Ask" is not assignable to return type "Estimate"' in one], found
    assert len(found) == len(WRONG) + 1, found


def test_nothing_that_the_door_of_authors_leads_to_is_of_unknown_type(tmp_path: Path) -> None:
    found = pyright(tmp_path, "--verifytypes", "diffusion_tricks.plugin", "--ignoreexternal")["typeCompleteness"]
    for counts, least in ((found["exportedSymbolCounts"], 100), (found["otherSymbolCounts"], 500)):
        assert counts["withUnknownType"] == 0, [one for one in found["symbols"] if not one["isTypeKnown"]]
        assert counts["withKnownType"] >= least
