"""What import-linter does not see of who knows whom, and what stands only once."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOMES = {
    "diffusion_tricks": ROOT / "diffusion_tricks",
    "diffusion_tricks_plugins": ROOT / "plugins" / "diffusion_tricks_plugins",
    "diffusion_tricks_learn": ROOT / "plugins" / "diffusion_tricks_learn",
    "diffusion_tricks_print": ROOT / "plugins" / "diffusion_tricks_print",
    "diffusion_tricks_search": ROOT / "plugins" / "diffusion_tricks_search",
    "diffusion_tricks_show": ROOT / "plugins" / "diffusion_tricks_show",
    "diffusion_tricks_kit": ROOT / "plugins" / "diffusion_tricks_kit",
    "diffusion_tricks_cli": ROOT / "cli" / "diffusion_tricks_cli",
}
FILES = [(package, file) for package, home in HOMES.items() for file in sorted(home.rglob("*.py"))]
IDS = [str(file.relative_to(ROOT)) for _, file in FILES]


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every module that is imported, and every name that is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say the whole name"
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_the_packages_are_where_they_are_looked_for() -> None:
    assert {package for package, _ in FILES} == set(HOMES)


@pytest.mark.parametrize(("package", "file"), FILES, ids=IDS)
def test_only_public_names_cross_a_border(package: str, file: Path) -> None:
    """No underscore name of another package, and none of another file of the own."""
    tree = ast.parse(file.read_text())
    modules = {name for name, _ in imports(tree)}
    for module, name in imports(tree):
        if module.partition(".")[0] in HOMES:
            private = [part for part in (*module.split("."), name) if part.startswith("_") and not part.endswith("__")]
            assert not private, f"{module}.{name}"
    if package in {
        "diffusion_tricks_plugins",
        "diffusion_tricks_learn",
        "diffusion_tricks_print",
        "diffusion_tricks_search",
        "diffusion_tricks_show",
        "diffusion_tricks_kit",
    }:
        reached = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and not owned(node)}
        private = {name for name in reached if name.startswith("_") and not name.endswith("__")}
        assert not private, f"reaches into {private} of what it was handed ({modules})"


def owned(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def test_the_core_names_the_built_in_plugins_as_a_string_only() -> None:
    named = [
        file.name
        for package, file in FILES
        if package == "diffusion_tricks" and "diffusion_tricks_plugins" in file.read_text()
    ]
    assert "host.py" in named


def test_there_is_one_loop() -> None:
    calls = [
        file.name
        for _, file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and "scheduler" in ast.unparse(node.func.value)
    ]
    assert calls == ["loop.py"]
    text = "".join(file.read_text() for package, file in FILES)
    assert text.count("scheduler.step(") == 1


def test_loose_types_of_diffusers_stay_in_few_files() -> None:
    """The core speaks to diffusers in the files that are there for it."""
    core = {
        str(file.relative_to(HOMES["diffusion_tricks"]))
        for package, file in FILES
        if package == "diffusion_tricks"
        and any(m.partition(".")[0] == "diffusers" for m, _ in imports(ast.parse(file.read_text())))
    }
    rooms = {"training", "testing", "families", "loading"}
    assert {name for name in core if name.partition("/")[0] not in rooms} <= {
        "generate/outline.py",
        "devices/quiet.py",
        "diffusion/schedulers.py",
    }


@pytest.mark.parametrize(("package", "file"), FILES, ids=IDS)
def test_files_and_functions_stay_readable(package: str, file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 330
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_what_the_page_of_hooks_says_is_there_is_there() -> None:
    from diffusion_tricks import hookspecs
    from diffusion_tricks.diffusion.ask import Ask
    from diffusion_tricks.diffusion.estimate import Estimate
    from diffusion_tricks.sampling.run import Run
    from diffusion_tricks.sampling.step import Step

    told = re.findall(r"^    (step|run|ask) +(.*)$", str(hookspecs.__doc__), re.MULTILINE)
    ask, _, estimate = told[2][1].partition(";  estimate")
    lines = {Step: told[0][1], Run: told[1][1], Ask: ask, Estimate: estimate}
    for kind, line in lines.items():
        names = re.findall(r"[a-z_0-9]+", re.sub(r"\([^)]*\)|, and once answered", "", line))
        has = set(dir(kind)) | {field.name for field in dataclasses.fields(kind)}
        assert len(names) > 2
        assert set(names) <= has, (kind, set(names) - has)
