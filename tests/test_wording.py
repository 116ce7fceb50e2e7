"""Core and plugins speak Python's words, the command line its own."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from command_line import run
from diffusion_tricks.hosting.host import host
from diffusion_tricks_cli.from_options import parameters
from diffusion_tricks_cli.main import COMMANDS, _plugins_command, cli
from diffusion_tricks_cli.wording import in_flags

ROOT = Path(__file__).resolve().parent.parent
FILES = [*sorted((ROOT / "diffusion_tricks").rglob("*.py")), *sorted((ROOT / "plugins").rglob("*.py"))]
FLAG = re.compile(r"""(^|[\s("'`/])(--([a-z]|$)|-[a-z]\b)""")  # of f"--{name}" the part is "--"
BARE = re.compile("--?[a-z-]+")  # a word of a command that is run
SHOWN_BY_THE_COMMAND_LINE = {
    "Option",
    "_example",
    "option",
    "argument",
    "add_argument",
    "register",
}  # helps and examples of it
OF_ANOTHER_PROGRAM = {"download_command"}  # hf


def messages(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings below a node that may be said to somebody: no docstrings, and no helps of options."""
    name = getattr(getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", ""))
    if name in SHOWN_BY_THE_COMMAND_LINE or getattr(node, "name", "") in OF_ANOTHER_PROGRAM:
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES":
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and not BARE.fullmatch(child.value):
            yield child.lineno, child.value
        yield from messages(child)


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROOT)) for file in FILES])
def test_no_flag_stands_in_a_message_of_core_or_plugins(file: Path) -> None:
    said = [(line, text) for line, text in messages(ast.parse(file.read_text())) if FLAG.search(text)]
    assert not said, "name options as Python does, in backticks: `size`, `force=True`"


@pytest.mark.parametrize(
    ("python", "command_line"),
    [
        ("ask for a larger `size`", "ask for a larger --size"),
        ("pass `force=True`", "pass --force"),
        ('use `memory="low"`', "use --memory low"),
        ('`font="Noto Sans"`', '--font "Noto Sans"'),
        ("`size=(64, 48)`", "--size 64x48"),
        ("`count=1`, or", "--count 1, or"),
        ('`views=[("flip", "a duck"), ("identity", "a cat")]`', '--view flip "a duck" --view identity "a cat"'),
        ("`beta_end` and `start_from`", "--beta-end and --from"),
        ("`resume='a b'`", '--resume "a b"'),
        ("`without=['aside']`, `files`", "--no-plugin aside, --plugin"),
        ("`size=WIDTH`", "--size WIDTH"),
        ("where `run` and `hf download a/b` look; `colour=3`", "where `run` and `hf download a/b` look; `colour=3`"),
    ],
)
def test_what_stands_in_backticks_becomes_a_flag(python: str, command_line: str) -> None:
    assert in_flags(python) == command_line


def test_in_the_message_of_a_trick_its_own_options_are_meant() -> None:
    for trick in host().entries("trick"):
        for option in parameters(host().trick(trick).Options):
            if isinstance(option, click.Option):
                assert in_flags(f"{trick}: raise `{option.name}`") == f"{trick}: raise {option.opts[0]}"
    refused = run("make", "-p", "a", "--dry-run", "time-travel", "--from", 0.9, "--to", 0.2)
    assert refused.err == "Error: time-travel: time travel must begin before it ends, got --from 0.9 and --to 0.2\n"


def test_the_same_name_is_the_same_flag_in_every_command() -> None:
    flags: dict[str, set[str]] = defaultdict(set)
    with click.Context(cli) as ctx:
        commands = [cli.get_command(ctx, name) for name in COMMANDS]
    for command in commands:
        for param in command.params if command else ():
            if isinstance(param, click.Option):
                flags[str(param.name)].add(max(param.opts, key=len))
    assert {name: said for name, said in flags.items() if len(said) > 1} == {}


def test_failures_notes_and_warnings_are_said_in_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out.png").write_bytes(b"")
    refused = run("generate", "a", "-o", "out.png", "--json")
    assert refused.err == "Error: out.png exists; pass --force to overwrite it, or choose another name\n"
    assert refused.json["error"] in refused.err
    noted = run("generate", "a", "--steps", 1, "--guidance", 1, "--negative", "b", "-o", "b.png", "--json")
    note = "the negative prompt is not asked at guidance 1; raise --guidance"
    assert f"Note: {note}\n" in noted.err
    assert note in noted.json["notes"]


def test_options_are_those_of_the_command_that_was_called_and_not_of_a_word_like_one() -> None:
    called = _plugins_command(["--debug", "batch", "make"])
    assert called is not None
    assert called.name == "batch"
    assert in_flags("fewer `pictures` share a batch", called) == "fewer --batch share a batch"
    assert _plugins_command(["make", "-p", "batch"]) is None
