"""A cover: where its ink stands, in pixels of the picture, what is refused before a picture is drawn, and any model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import run
from diffusion_tricks import TrickEntry, UsageError
from diffusion_tricks.testing import tiny_pipeline
from diffusion_tricks_learn.experiments.cover import cover, large, lettered, measured
from diffusion_tricks_learn.findings import Findings, last
from diffusion_tricks_learn.session import Session


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline("sd").save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def found(tiny: str) -> Findings:
    return last(cover(Session(model=tiny, seed=3), prompts=["a fox", "an owl", "a key", "a star", "a bell"]))


def test_title_and_author_stand_where_the_course_wants_them(found: Findings) -> None:
    numbers = found.numbers
    assert (numbers["title_from_top_px"], numbers["author_below_title_px"]) == (50, 20)
    assert numbers["title_off_centre_px"] <= 1
    assert numbers["author_off_centre_px"] <= 1
    before, after = (np.asarray(found.made[name]) for name in ("before.png", "cover.png"))
    rows = np.flatnonzero((before != after).any(axis=(1, 2)))
    assert rows[0] == 50
    colours = {tuple(pixel) for pixel in after.reshape(-1, 3).tolist()}
    assert {(0xF6, 0xD7, 0x43), (255, 255, 255)} <= colours


def test_every_prompt_has_a_picture_and_a_score(found: Findings) -> None:
    assert [row["prompt"] for row in found.table] == ["a fox", "an owl", "a key", "a star", "a bell"]
    assert all(-1 <= row["clip_score"] <= 1 and row["steps"] >= 10 for row in found.table)
    assert "50 px below the top" in found.says[-1]


def test_measured_finds_ink_that_was_put_there() -> None:
    before = Image.new("RGB", (100, 100))
    title, done = before.copy(), before.copy()
    title.paste("red", (20, 11, 81, 30))
    done.paste(title)
    done.paste("blue", (30, 37, 70, 45))
    assert measured(before, title, done) == {
        "title_from_top_px": 11, "author_below_title_px": 7, "title_off_centre_px": 0.5, "author_off_centre_px": 0.0,
    }  # fmt: skip


def test_a_font_that_is_not_here_is_refused_before_a_picture_is_drawn_or_replaced_with_a_note(tiny: str) -> None:
    with pytest.raises(UsageError, match=r"font file 'gone.ttf' does not exist"):
        next(cover(Session(model=tiny), font="gone.ttf"))
    told: list[str] = []
    session = Session(model=tiny, tell=told.append)
    next(cover(session, prompts=["a fox"], font="gone.ttf", font_fallback=True))
    assert "so the text is set in Noto Serif Bold, the built-in font" in told[0]


def test_a_title_that_does_not_fit_is_refused_by_the_command(tmp_path: Path) -> None:
    made = run("learn", "cover", "--title-size", "900", "--out", tmp_path / "a", "--quiet")
    assert made.code == 2
    assert "the largest that fits" in made.err


def test_small_pictures_become_covers_and_large_ones_stay() -> None:
    assert large(Image.new("RGB", (64, 48))).size == (576, 432)
    assert large(Image.new("RGB", (1024, 1024))).size == (1024, 1024)
    entry = TrickEntry(trick="overlay", title="Woods")
    assert lettered(Image.new("RGB", (64, 64)), entry).image.size == (64, 64)
