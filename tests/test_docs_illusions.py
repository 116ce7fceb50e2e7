"""The table of docs/illusions.md: every command is right, every picture and film is there, a sample of them is made."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.hosting.host import host

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "illusions.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs" / "pictures" / "illusions"
MAKE = runpy.run_path(str(PICTURES / "make.py"))
ROWS: dict[str, tuple[list[str], bool]] = MAKE["rows"]()


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def small(words: list[str]) -> list[str]:
    """The same at the model's own size."""
    return ["64" if word == "256" else word for word in words]


def without_output(words: list[str]) -> list[str]:
    """What `plan` takes of a command."""
    place = words.index("-o")
    return [*(words[:1] if words[0] != "make" else ()), *words[1:place], *words[place + 2 :]]


def test_all_rows_are_read_and_each_has_a_picture_of_its_own() -> None:
    table = PAGE.partition("## Every feature of its anchors")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if "| `diffusion-tricks " in line]
    assert len(rows) == len(ROWS) > 25
    for name, (_, film) in ROWS.items():
        assert f"(pictures/illusions/table/{name}.png)" in table
        assert (f"(pictures/illusions/table/{name}.webp)" in table) == film


@pytest.mark.parametrize("name", ROWS)
def test_a_row_plans_and_shows(name: str) -> None:
    words, film = ROWS[name]
    done = run("plan", *without_output(small(words)))
    assert done.code == 0, done.err
    with Image.open(PICTURES / "table" / f"{name}.png") as picture:
        assert picture.height in (64, 128)
    if film:
        with Image.open(PICTURES / "table" / f"{name}.webp") as moving:
            assert getattr(moving, "n_frames", 1) > 5


def test_the_pictures_are_small() -> None:
    files = list((PICTURES / "table").iterdir())
    assert {file.stem for file in files} == set(ROWS)
    assert max(file.stat().st_size for file in files if file.suffix == ".png") <= 40_000
    assert sum(file.stat().st_size for file in files) <= 1_500_000


@pytest.mark.parametrize("name", ["jigsaw", "colour", "scaled"])
def test_a_row_makes_its_picture_film_and_page(name: str, tmp_path: Path) -> None:
    words, film = ROWS[name]
    picture = tmp_path / f"{name}.png"
    words = [str(picture) if word == picture.name else word for word in small(words)]
    done = run(*words, "--steps", "4")
    assert done.code == 0, done.err
    assert run("page", picture, "-o", tmp_path / "page.html").code == 0
    done = run("film", picture, "-o", tmp_path / "film.webp", "--fps", "2", "--size", "64")
    assert done.code == (0 if film else 2), done.err


def test_the_sheet_shows_every_view() -> None:
    assert {name.partition(":")[0] for name in MAKE["VIEWS"]} == set(host().entries("view"))


def test_every_picture_of_the_page_is_there() -> None:
    for picture in re.findall(r"\]\((pictures/[^)]+)\)", PAGE):
        assert (ROOT / "docs" / picture).is_file(), picture
