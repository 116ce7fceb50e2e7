"""The README's commands and examples run as they stand there, in a folder like a fresh checkout."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from command_line import run
from diffusion_tricks.diffusion.schedulers import SCHEDULERS
from diffusion_tricks.hosting.host import host

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.S | re.M)
SHELL = [line for kind, block in BLOCKS if kind == "sh" for line in block.replace("\\\n", " ").splitlines()]
SCRIPTS = [block for kind, block in BLOCKS if kind == "python"]
PLUGIN = next(block for block in SCRIPTS if "def register_tricks" in block)


def commands(texts: list[str]) -> list[list[str]]:
    return [shlex.split(text)[1:] for text in texts if text.startswith("diffusion-tricks ")]


IN_TABLE = commands(re.findall(r"`(diffusion-tricks [^`]* -o [^`]*)`", README))
IN_BLOCKS = commands(SHELL)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "examples" / "photos", tmp_path / "examples" / "photos")
    (tmp_path / "kaleidoscope.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


NUMBERS = [
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
]


def test_what_it_counts_is_there() -> None:
    counts = {
        "tricks": len(host().entries("trick")),
        "schedulers": len(SCHEDULERS),
        "views": len(host().entries("view")),
    }
    said = re.findall(rf"\b({'|'.join(NUMBERS)}|\d+) ({'|'.join(counts)})\b", README, re.I)
    assert {what for _, what in said} >= {"tricks", "schedulers"}
    for number, what in said:
        assert (int(number) if number.isdigit() else 6 + NUMBERS.index(number.lower())) == counts[what], what


def test_it_names_every_trick() -> None:
    table = README.partition(" tricks\n\n|")[2].partition("\n## ")[0]
    assert [name for name in host().entries("trick") if f"**{name}**" not in table] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    install, test = SHELL[0], SHELL[1]
    assert install.startswith("pip install -c constraints.txt . && diffusion-tricks anagram ")
    assert test == 'pip install -c constraints.txt ".[test]" && pytest'


@pytest.mark.parametrize("command", IN_TABLE, ids=lambda command: command[0])
def test_a_command_of_the_table_makes_its_picture(checkout: Path, command: list[str]) -> None:
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert outcome.lines == [command[command.index("-o") + 1]]
    assert (ROOT / "examples" / "pictures" / outcome.lines[0]).is_file()


def test_the_other_commands_run_in_the_order_they_stand(checkout: Path) -> None:
    codes = {" ".join(command): run(*command).code for command in IN_BLOCKS}
    assert codes
    assert set(codes.values()) == {0}, codes


def test_the_script_runs(checkout: Path) -> None:
    (script,) = (block for block in SCRIPTS if block is not PLUGIN)
    exec(compile(script, "README.md", "exec"), {})
    assert (checkout / "first.png").is_file()
