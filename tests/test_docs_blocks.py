"""Every block of docs: those of the pages to begin with and of the reference are run, as is all Python; all other
commands are parsed.

Pages of many pictures have tests of their own (`test_docs_illusions`, `learn/test_course_page`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs_pages import DOCS, ROOT, Reader, blocks, commands, parse, reader, shifted_python

PAGES = sorted(DOCS.rglob("*.md"))
RUN = [page for page in PAGES if page.parent != DOCS or page.name in ("index.md", "scale.md")]
SCRIPTS = [page for page in PAGES if page not in RUN and any(block.kind == "python" for block in blocks(page))]
COMMANDS = [(page, words) for page in PAGES for words in commands(page, fenced=page not in RUN)]
IDS = [f"{page.stem}-{number}" for number, (page, _) in enumerate(COMMANDS)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Reader]:
    yield from reader(tmp_path)


@pytest.mark.parametrize("page", [page for page in RUN if blocks(page)], ids=lambda page: page.stem)
def test_who_does_what_a_page_says_gets_there(page: Path, here: Reader) -> None:
    here.follow(page)


@pytest.mark.parametrize("page", SCRIPTS, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page: Path, here: Reader) -> None:
    here.script(page)


def test_no_python_is_left_out_unmarked() -> None:
    """What cannot be run here, for want of a GPU or a large model, has a line `<!-- not run: why -->` before it."""
    assert {page.stem for page in SCRIPTS} >= {"hooks", "guidance", "threads", "covers", "course"}
    assert [(page.name, text) for page in PAGES if page not in RUN for text in shifted_python(page)] == []
    unrun = [block.unrun for page in PAGES for block in blocks(page) if block.unrun]
    assert [why for why in unrun if not re.search("GPU|hub", why)] == []


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=IDS)
def test_every_command_is_understood(page: Path, words: list[str]) -> None:
    parse(words)


def test_a_command_that_is_wrong_is_seen() -> None:
    with pytest.raises(Exception, match="--sede"):
        parse(["generate", "a rose", "--sede", "1"])
    with pytest.raises(Exception, match="annagram"):
        parse(["annagram", "a", "b"])


def test_there_are_pages_of_every_kind() -> None:
    assert {page.parent.name for page in RUN} >= {"tutorials", "how-to", "reference", "explanation"}
    assert len(COMMANDS) > 60


LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)")
MADE = {
    DOCS / "reference" / f"{name}.md" for name in ("commands", "tricks", "api", "plugin", "testing")
}  # by .ci/site.py


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "README.md", *sorted(ROOT.glob("examples/**/*.md"))], ids=lambda p: p.stem
)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Anchors are checked where the site is built."""
    said = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    targets = [(page.parent / target).resolve() for target, _ in LINK.findall(said)]
    assert [str(target) for target in targets if not (target.exists() or target in MADE)] == []


def test_every_page_stands_in_the_site() -> None:
    nav = (ROOT / ".ci" / "mkdocs.yml").read_text()
    pages = {str(page.relative_to(DOCS)) for page in [*PAGES, *MADE]}
    assert {page for page in pages if f": {page}\n" not in nav} == set()
