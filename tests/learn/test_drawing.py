"""Drawings in words, by the pixels that they have to fill, and what is said where a line is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffusion_tricks import UsageError
from diffusion_tricks_learn.drawing import SIDE, drawing_from, drawn


def test_each_form_fills_what_geometry_says() -> None:
    x, y = np.meshgrid(*[(np.arange(SIDE) + 0.5) / SIDE * 100] * 2)
    forms = {
        "circle 50 40 25 red": (x - 50) ** 2 + (y - 40) ** 2 < 25**2,
        "polygon 10 10 90 10 90 60 10 60 red": (x > 10) & (x < 90) & (y > 10) & (y < 60),
        "line 0 50 100 50 10 red": abs(y - 50) < 5,
        "background red": x > 0,
    }
    for line, inside in forms.items():
        page = np.asarray(drawn(line))
        red = (page == (255, 0, 0)).all(2)
        assert ((page == 255).all(2) | red).all()
        assert (red != inside).mean() < 0.01, line


def test_later_lines_lie_on_top_and_remarks_say_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sun.txt"
    file.write_text("# a sun\n\nbackground #87ceeb\n  circle 50 50 20 gold\ncircle 50 50 5 black\n")
    page = drawing_from(file)
    assert page.size == (SIDE, SIDE)
    assert [page.getpixel(at) for at in ((0, 0), (SIDE // 2 + 50, SIDE // 2), (SIDE // 2, SIDE // 2))] == [
        (135, 206, 235), (255, 215, 0), (0, 0, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("square 1 2 3 red", "expected one of background, circle, line, polygon, got 'square'"),
        ("circle 1 2 red", "expected `circle x y r colour`, got 'circle 1 2 red'"),
        ("circle 1 2 3", "expected `circle x y r colour`"),
        ("circle", "expected `circle x y r colour`"),
        ("polygon 1 2 3 4 5 6 7 red", "expected `polygon x1 y1 x2 y2 x3 y3 ... colour`"),
        ("polygon 1 2 3 4 red", "expected `polygon x1 y1 x2 y2 x3 y3 ... colour`"),
        ("circle 1 2 x red", "expected a number, in percent of the side, got 'x'"),
        ("circle 1 2 nan red", "expected a number from -1000 to 1000"),
        ("circle 1 2 1e9 red", "expected a number from -1000 to 1000"),
        ("circle 1 2 -3 red", "expected a number above 0 for the radius, got -3"),
        ("line 1 2 3 4 0 red", "expected a number above 0 for the width, got 0"),
        ("circle 1 2 3 rde", "expected a colour at the end, as red or #ff0000, got 'rde'"),
        ("background", "expected `background colour`"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(line: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        drawn(f"background white\n{line}", "sun.txt")
    assert str(refused.value).startswith("sun.txt, line 2: ")
    assert said in str(refused.value)


def test_files_that_are_no_drawings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.txt cannot be read: No such file"):
        drawing_from(tmp_path / "none.txt")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\xff\xff")
    with pytest.raises(UsageError, match="it is no text in UTF-8"):
        drawing_from(tmp_path / "x.png")
    with pytest.raises(UsageError, match="at most 100,000 letters"):
        drawn("#" * 100_001)
