"""The blocks of a page of docs, and what it takes to run them in the order in which they stand."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from command_line import run
from diffusion_tricks import load_plugin
from diffusion_tricks_cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FEW_STEPS = re.compile(r"--steps 10\b")  # for people; fewer show as well that a command works
FIXTURES = ("-p", "diffusion_tricks.testing.fixtures", "-p", "no:cacheprovider", "-c", os.devnull)
BLOCK = re.compile(r"(?:^<!-- (?:file: (\S+)|not run: ([^\n]+)) -->\n)?^( *)```(\w*)[^\n]*\n(.*?)^\3```$", re.S | re.M)
SHIFTED = re.compile(r"(?<=\n\n)(?:    [^\n]*\n|\n(?=    ))+")  # a block without fences
INDENTED = re.compile(r"(?:^    \$? ?diffusion-tricks [^\n]*\n(?:^     [^\n]*\n)*)", re.M)
INLINE = re.compile(r"`(diffusion-tricks [^`\n]+)`")
HOLDS_PLACES = re.compile(
    r"\.\.\.|\b[A-Z]{4,}\b|^diffusion-tricks [^-]\S* --\S+$"
)  # in a command that only shows a form


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the file that it is to be written to, and why it cannot be run here."""

    kind: str
    text: str
    file: str | None = None
    unrun: str | None = None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(kind, text, file or None, unrun or None) for file, unrun, _, kind, text in found]


def shifted_python(page: Path) -> list[str]:
    """The blocks of Python that are only indented, so that nobody knows them for Python and they are not run."""
    unfenced = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [text for text in map(textwrap.dedent, SHIFTED.findall(unfenced)) if _is_python(text)]


def _is_python(text: str) -> bool:
    """Whether it is more than a formula."""
    try:
        return any(not isinstance(one, ast.Assign | ast.Expr) for one in ast.parse(text).body)
    except SyntaxError:
        return False


def lines(text: str) -> list[str]:
    """Commands of a shell, one a line."""
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def commands(page: Path, fenced: bool = True) -> list[list[str]]:
    """The words of every command of the program on a page, indented or within a line; forms are left out.

    fenced: those of blocks as well.
    """
    text = page.read_text(encoding="utf-8")
    first = [line for block in blocks(page) if block.kind == "sh" and fenced for line in lines(block.text)]
    others = [
        *(" ".join(lines(one)) for one in INDENTED.findall(text)),
        *(one.replace("\\|", "|") for one in INLINE.findall(text)),
    ]
    found = [line.removeprefix("$ ") for line in (*first, *others)]
    return [
        shlex.split(one)[1:] for one in found if one.startswith("diffusion-tricks ") and not HOLDS_PLACES.search(one)
    ]


def parse(words: list[str]) -> None:
    """Raises what the command line refuses of a command, without running it."""
    from diffusion_tricks_cli.links import grouped, swept
    from diffusion_tricks_cli.main import plugin_options

    _, _, rest = plugin_options(words)
    with click.Context(cli, info_name="diffusion-tricks") as ctx:
        ctx.meta["diffusion_tricks_cli.main.files"] = {}
        group, rest = cli, grouped(swept(rest))
        while isinstance(group, click.Group) and rest:
            name, command, rest = group.resolve_command(ctx, rest)
            assert command is not None
            if isinstance(command, click.Group) and rest and rest[0] in command.list_commands(ctx):
                group = command
                continue
            with contextlib.suppress(
                click.MissingParameter, click.exceptions.NoArgsIsHelpError
            ):  # a form, within a sentence
                command.make_context(name, rest, parent=ctx)
            return


@dataclass
class Reader:
    """Someone who does what a page says, in a folder of his own."""

    plugin: Path | None = None

    def follow(self, page: Path) -> None:
        """Every block that has a language."""
        for block in blocks(page):
            if block.file:
                Path(block.file).write_text(block.text, encoding="utf-8")
            elif block.kind == "python":
                self.do(block, {"__name__": page.stem})
            for line in lines(block.text) if block.kind == "sh" else ():
                self.type(line)

    def script(self, page: Path) -> None:
        """Every block of Python, one after the other in one interpreter; files of tests are run by pytest."""
        names = {"__name__": page.stem}
        for block in blocks(page):
            if block.file:
                Path(block.file).write_text(block.text, encoding="utf-8")
                if block.file.startswith("test_"):
                    self.test(block.file)
            elif block.kind == "python" and not block.unrun:
                self.do(block, names)

    def do(self, block: Block, names: dict[str, Any]) -> None:
        """Runs a block of Python with these names, and leaves there what it names."""
        exec(compile(block.text, names["__name__"], "exec", dont_inherit=True), names)

    def test(self, place: str) -> None:
        """Tests below a folder, or in a file, by pytest."""
        with self._installed():
            assert pytest.main(["-q", *FIXTURES, "--rootdir", str(Path.cwd()), place]) == 0
        for file in [Path(place), *Path(place).glob("test_*.py")]:  # the next time it may be another
            sys.modules.pop(file.stem, None)

    def type(self, line: str) -> None:
        """One line of a shell; what would change this environment is done for a while instead."""
        program, *words = shlex.split(FEW_STEPS.sub("--steps 2", line))
        if program == "cd":
            os.chdir(words[0])
        elif line.startswith("pip install -e"):
            (self.plugin,) = Path().resolve().glob("dt_*.py")
        elif program == "pytest":
            self.test("tests")
        elif program == "diffusion-tricks":
            with self._installed():
                outcome = run(*words)
            assert outcome.code == 0, f"{line}\n{outcome.err}"
        else:
            raise AssertionError(f"do not know how to do {line!r}")

    def _installed(self) -> AbstractContextManager[object]:
        """The plugin that the page installed, as it now is."""
        return load_plugin(self.plugin) if self.plugin else nullcontext()


def reader(folder: Path) -> Iterator[Reader]:
    """A reader in a folder with the photos of a checkout, as long as it is asked for."""
    shutil.copytree(ROOT / "examples" / "photos", folder / "examples" / "photos")
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield Reader()
    finally:
        os.chdir(before)
