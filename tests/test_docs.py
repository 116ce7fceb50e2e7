"""The pages of docs agree with the code."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from command_line import run

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "diffusion_tricks"
COVERS = (ROOT / "docs" / "covers.md").read_text()
MANY = (ROOT / "docs" / "many.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PATHS = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/[a-z_]*(?:\.py)?)`")


def layers() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = next(contract for contract in contracts if contract["id"] == "rooms")
    return [name.strip() for layer in rooms["layers"] for name in layer.split("|")]


def test_the_page_lists_the_rooms_in_the_order_that_is_held() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", ARCHITECTURE.split("## The way")[0], re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row) if name != "__init__"]
    assert sorted(listed[-4:]) == sorted(layers()[-4:])
    assert listed[:-4] == layers()[:-4]


def test_every_room_is_listed_and_few_files_lie_flat() -> None:
    rooms = {path.name for path in CORE.iterdir() if (path / "__init__.py").is_file()}
    flat = {path.stem for path in CORE.glob("*.py")}
    assert rooms | flat - {"__init__", "__main__"} == set(layers())
    assert len(flat) <= 8


@pytest.mark.parametrize("path", sorted(set(PATHS.findall(ARCHITECTURE))))
def test_every_file_that_the_page_names_is_there(path: str) -> None:
    assert (ROOT / path).exists() or (CORE / path).exists()


def test_every_extra_that_is_named_can_be_installed() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    folders = ("diffusion_tricks", "plugins", "cli", "docs", "benchmarks", "examples")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".md"}]
    said = "".join(file.read_text() for file in [*ROOT.glob("*.md"), *files])
    named = {name for names in re.findall(r"diffusion-tricks\[([\w, -]+)\]", said) for name in names.split(",")}
    assert {"opencv", "film"} <= named
    assert named <= declared.keys()


def test_the_page_of_hooks_names_all_of_them() -> None:
    from diffusion_tricks import hookspecs

    told = set(re.findall(r"^    (\w+)\(", str(hookspecs.__doc__), re.MULTILINE))
    specified = {
        name
        for hooks in (hookspecs.HostHooks, hookspecs.RunHooks)
        for name, value in vars(hooks).items()
        if hasattr(value, f"{hookspecs.PROJECT}_spec")
    }
    assert told == specified
    assert len(specified) > 10


def test_every_promise_is_held_by_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    rows = [row.split("|") for row in page.splitlines() if row.startswith("| ") and not row.startswith("| promise")]
    assert len(rows) > 10
    for _, promise, held_by, _ in rows:
        files = re.findall(r"`(tests/[a-z_/]+\.py)`", held_by)
        assert files, promise
        assert all((ROOT / file).is_file() for file in files), promise


@pytest.mark.parametrize(
    "line", [line.strip() for line in COVERS.splitlines() if line.startswith("    diffusion-tricks")]
)
def test_every_command_of_the_page_of_covers_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they draw is tested in `test_type`."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    picture = next(word for word in words if word.endswith((".jpg", ".png")))
    Path(picture).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (400, 400)).save(picture)
    outcome = run(*words, "--dry-run")
    if "no glyph for" in outcome.err:
        pytest.skip("no font here has Georgian letters, or emoji")
    assert (outcome.code, outcome.err.count("Error")) == (0, 0)


def test_every_picture_of_the_page_of_covers_is_there() -> None:
    named = re.findall(r"\(pictures/([^)]+)\)", COVERS)
    assert len(named) == 5
    assert all((ROOT / "docs" / "pictures" / name).stat().st_size < 200_000 for name in named)


@pytest.mark.parametrize(
    "line", [line.strip() for line in MANY.splitlines() if line.startswith("    diffusion-tricks")]
)
def test_every_command_of_the_page_of_many_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that make pictures only say what they would do; what they do is tested in `test_many` and `test_sweeps`."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.jpg", "masks/a.png", "out/a.png", "examples/photos/cat.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").convert("RGB").save(name)
    Path("list.txt").write_text("in/a.jpg\n")
    words = shlex.split(line)[1:]
    makes = words[0] in {"inpaint", "edit", "cover"}
    if makes:
        Path("out/a.png").unlink()
    outcome = run(*words, *(["--dry-run"] if makes else []))
    assert outcome.code == (0 if makes else 1), outcome.err
    assert makes or " failed:\n  " in outcome.err  # the picture is changed outside, and has no record
