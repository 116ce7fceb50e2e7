"""The whole course as a student sees it: every lesson at --quick, its page in a browser, its notebook in a kernel.

A tiny model stands for the one inside, with which the lessons' own tests and the pictures of `docs/course.md` are made.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command_line import run
from diffusion_tricks_learn.course import lesson
from diffusion_tricks_learn.lesson_commands import PARAMETERS

NAMES = list(PARAMETERS)


@pytest.fixture(scope="module")
def course(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All lessons, with a tiny model where they leave the choice."""
    folder = tmp_path_factory.mktemp("course")
    made = run("learn", "all", "--out", folder, "--quick", "-m", tiny)
    assert made.code == 0, made.err
    return folder


@pytest.fixture
def opened(browser: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page, and what went wrong on it: messages of the console, and whatever it asked the network for."""
    page, wrong = browser.new_page(viewport={"width": 390, "height": 844}), list[str]()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("data:", "file:")) else None)
    page.on("requestfailed", lambda failed: wrong.append(failed.url))
    yield page, wrong
    page.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_lesson(course: Path, opened: tuple[Any, list[str]], name: str) -> None:
    page, wrong = opened
    page.goto((course / name / "report.html").as_uri())
    one, numbers = lesson(name), json.loads((course / name / "numbers.json").read_text())
    assert page.inner_text("h1") == one.title
    drawn = page.evaluate("[...document.images].map(i => [i.id || i.className, i.naturalWidth, i.alt])")
    assert all(width > 0 and alt for _, width, alt in drawn)
    with Image.open(course / name / "figure.png") as figure:
        assert ["figure", figure.width] == drawn[-1][:2]
        assert min(figure.size) >= 100
    assert [kind for kind, *_ in drawn].count("formula") == len(one.formula)
    columns = list(dict.fromkeys(key for row in numbers["table"] for key in row))
    assert page.evaluate("[...document.querySelectorAll('#numbers th')].map(h => h.textContent)") == columns
    assert page.evaluate("document.querySelectorAll('#numbers tbody tr').length") == len(numbers["table"]) > 0
    assert page.inner_text("#command pre") == numbers["command"]
    assert page.inner_text("#question p").strip().endswith("?")
    assert "seed 0" in page.inner_text("figcaption")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits a phone"
    assert numbers["done"] == 1
    assert wrong == []


def test_the_index_leads_to_every_lesson(course: Path, opened: tuple[Any, list[str]]) -> None:
    page, wrong = opened
    page.goto((course / "index.html").as_uri())
    leads = page.evaluate("[...document.links].map(a => a.getAttribute('href'))")
    assert leads == [f"{name}/report.html" for name in NAMES]
    page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    page.click("a")
    assert page.inner_text("h1") == lesson(NAMES[0]).title
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in ("forward", "invert", "toy") if name in NAMES])
def test_a_notebook_finds_what_the_command_finds(
    course: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    shutil.copy(course / "picture.png", tmp_path / "picture.png")
    assert run("learn", "notebook", name, "-o", tmp_path / "x.ipynb").code == 0
    book = nbformat.read(tmp_path / "x.ipynb", as_version=4)
    book.cells.append(nbformat.v4.new_code_cell("import json; print(json.dumps(plain(found.table)))"))
    book.cells[1].source = book.cells[1].source.replace("(seed=0)", f"(model={str(tiny)!r}, seed=0)")
    book.cells[1].source += "\nfrom diffusion_tricks_learn.report import plain"
    done = NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    table = json.loads((course / name / "numbers.json").read_text())["table"]
    assert json.loads(done.cells[-1].outputs[-1].text) == table
    assert any("image/png" in output.get("data", {}) for cell in done.cells for output in cell.get("outputs", ()))


def test_the_whole_course_is_quick(course: Path) -> None:
    """Its own times, which `learn list` promises: no test of this machine's speed."""
    assert sum(lesson(name).quick for name in NAMES) <= 240
