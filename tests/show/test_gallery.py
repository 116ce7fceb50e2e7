"""The gallery: what is found and what is left out, its cards, its filter, and the page of each."""

from __future__ import annotations

import base64
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command_line import run
from diffusion_tricks.generate.score import Scorer
from diffusion_tricks_show import gallery, subject
from diffusion_tricks_show.gallery import card_of
from diffusion_tricks_show.subject import same, subject_of
from show.illusions import HYBRID, TURNED, made, pattern


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "pictures"
    home.mkdir()
    score = {"views": [], "alignment": 0.31, "concealment": 0.8}
    made(home / "turned & odd.png", TURNED, score=score)
    made(home / "hybrid.jpg", HYBRID, score={**score, "alignment": 0.11})
    made(home / "plain.png", [], prompt="a rocket", score={**score, "alignment": 0.5, "concealment": 1.0})
    pattern().save(home / "bare.png")
    (home / "notes.txt").write_text("no picture")
    return home


def test_the_index_and_its_pages(folder: Path, tmp_path: Path, phone: Any) -> None:
    index = tmp_path / "index.html"
    outcome = run("gallery", folder, "-o", index)
    assert (outcome.code, outcome.lines) == (0, [str(index)])
    assert outcome.err == "Note: 1 without a record are left out: bare.png\n"
    page = phone
    page.goto(index.as_uri())

    def names() -> list[str]:
        return list(page.locator(".cards li:visible h2").all_inner_texts())

    assert names() == ["hybrid.jpg", "plain.png", "turned & odd.png"]
    page.fill("#words", "duck anagram")
    assert names() == ["turned & odd.png"]
    page.fill("#words", "")
    page.select_option("#trick", "hybrid")
    assert names() == ["hybrid.jpg"]
    page.select_option("#trick", "")
    page.select_option("#order", "alignment")
    assert names() == ["plain.png", "turned & odd.png", "hybrid.jpg"]
    page.fill("#least", "0.3")
    assert names() == ["plain.png", "turned & odd.png"]
    assert page.inner_text("#count") == "2 of 3"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert 'trick = "anagram"' in page.locator("pre").nth(1).text_content()
    page.locator("li h2 a", has_text="turned").tap()
    page.wait_for_selector("#stage")
    assert page.title() == "What do you see?"


def test_each_picture_is_read_once_and_encoded_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(folder / "large.png", HYBRID, pattern(gallery.THUMB + 1))
    done = Counter[str]()

    def count(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def noted(*given: Any, **named: Any) -> Any:
            done[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(owner, name, noted)

    for owner, name in ((gallery, "read_record"), (subject, "read_record"), (subject, "read_picture")):
        count(owner, name)
    for owner in (gallery, subject):
        count(owner, "png_url")
    gallery.make_gallery(folder, tmp_path / "index.html", scores=False)
    # five pictures, of which one has no record, and one is shown smaller in the index
    assert done == {"read_record": 5, "read_picture": 4, "png_url": 5}


def test_a_picture_stands_in_the_index_as_it_is_or_smaller(tmp_path: Path) -> None:
    for side in (gallery.THUMB, 2 * gallery.THUMB):
        one = subject_of(made(tmp_path / f"{side}.png", HYBRID, pattern(side)))
        with Image.open(io.BytesIO(base64.b64decode(card_of(one, "a.png", "p").thumb.partition(",")[2]))) as thumb:
            assert thumb.size == (gallery.THUMB, gallery.THUMB)
            if side == gallery.THUMB:
                assert same(thumb.convert("RGB"), one.image)


def test_a_picture_without_a_score_is_judged(folder: Path) -> None:
    one = subject_of(made(folder / "new.png", TURNED))
    assert card_of(one, "a.png", "p").score == {}
    judged = Scorer().score(one.views)
    assert card_of(one, "a.png", "p", Scorer()).score == pytest.approx(
        {"alignment": judged.alignment, "concealment": judged.concealment}
    )


def test_no_scores_asks_no_scorer(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(folder / "new.png", TURNED)
    monkeypatch.setattr("diffusion_tricks_show.gallery.Scorer", None)
    assert run("gallery", folder, "-o", tmp_path / "a.html", "--no-scores").code == 0


def test_bad_input_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "empty" / "a.png")
    for given, said in ((tmp_path / "no", "is not a folder"), (tmp_path / "empty", "holds no picture with a record")):
        outcome = run("gallery", given, "-o", tmp_path / "a.html")
        assert (outcome.code, said in outcome.err) == (2, True)
    (tmp_path / "a.html").write_text("mine")
    assert "pass --force" in run("gallery", folder, "-o", tmp_path / "a.html").err
    assert not (tmp_path / "a-pages").exists()
    assert run("gallery", folder, "-o", tmp_path / "a.html", "--force").code == 0
    assert len(list((tmp_path / "a-pages").iterdir())) == 3


def test_the_folders_below_are_in_it_where_that_is_asked(folder: Path, tmp_path: Path) -> None:
    below = folder / "far off" / "below"
    below.mkdir(parents=True)
    made(below / "plain.png", [], prompt="a boat", score={"views": [], "alignment": 0.5, "concealment": 1.0})
    pattern().save(below / "bare.png")
    for words, pages in (((), 3), (("--recursive", "--force"), 4)):
        outcome = run("gallery", folder, "-o", tmp_path / "a.html", *words)
        assert outcome.code == 0, outcome.err
        assert (tmp_path / "a.html").read_text().count("<h2>") == pages
    assert "2 without a record are left out: bare.png, far off/below/bare.png" in outcome.err
    assert 'href="a-pages/far%20off/below/plain.png.html">far off/below/plain.png<' in (tmp_path / "a.html").read_text()
    assert (tmp_path / "a-pages/far off/below/plain.png.html").is_file()
    assert (tmp_path / "a-pages/plain.png.html").read_text().count("a boat") == 0
