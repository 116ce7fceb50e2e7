"""Labelled grids: where tiles stand, that words are whole and legible, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

import diffusion_tricks
from diffusion_tricks.errors import UsageError
from diffusion_tricks.io import fonts, grid, lettering
from diffusion_tricks.io.grid import GAP, PAPER, labelled_grid
from diffusion_tricks.io.lettering import SIDES, block, font, length, wrapped

Array = np.ndarray[Any, Any]
LONG = "an oil painting of a supercalifragilisticexpialidocious rabbit in front of a light blue background"


def noise(side: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def place(page: Image.Image, tile: Image.Image) -> tuple[int, int]:
    """(x, y) of the one place where the page shows exactly that tile."""
    whole, part = np.asarray(page), np.asarray(tile)
    h, w = part.shape[:2]
    corners = np.argwhere((whole[: -h + 1 or None, : -w + 1 or None] == part[0, 0]).all(-1))
    found = [(int(x), int(y)) for y, x in corners if (whole[y : y + h, x : x + w] == part).all()]
    assert len(found) == 1
    return found[0]


def ink(page: Image.Image) -> Array:
    return np.asarray((np.asarray(page).astype(int) != PAPER).any(2))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every line of text that is drawn, with the size of its letters."""
    lines: list[tuple[str, int]] = []
    draw = lettering.Block.draw

    def noted(self: lettering.Block, page: Image.Image, *arguments: Any) -> None:
        before = ink(page)
        draw(self, page, *arguments)
        new = ink(page) & ~before
        assert not new.any() or not (new[0].any() or new[-1].any() or new[:, 0].any() or new[:, -1].any())
        lines.extend((line, self.size) for line in self.lines)

    monkeypatch.setattr(lettering.Block, "draw", noted)
    return lines


def words(lines: list[tuple[str, int]]) -> str:
    return "".join(line for line, _ in lines).replace(" ", "")


def test_tiles_stand_in_rows_with_their_labels_beside_and_above() -> None:
    tiles = [noise(64, i) for i in range(6)]
    page = labelled_grid(tiles, rows=["first", "second"], columns=["a", "b", "c"], tile=64)
    at = [place(page, tile) for tile in tiles]
    x, y = at[0]
    assert at == [(x + i % 3 * (64 + GAP), y + i // 3 * (64 + GAP)) for i in range(6)]
    assert page.width == x + 3 * (64 + GAP)
    marks = ink(page)
    for column in range(3):  # above each, and nothing between
        left = x + column * (64 + GAP)
        assert marks[:y, left : left + 64].any()
        assert not marks[:y, left + 64 : left + 64 + GAP].any()
    for row in range(2):
        assert marks[y + row * (64 + GAP) : y + row * (64 + GAP) + 64, :x].any()


@pytest.mark.parametrize(("side", "factor"), [(8, 14), (28, 4), (64, 2), (256, 1)])
def test_small_tiles_are_enlarged_in_crisp_squares(side: int, factor: int) -> None:
    tile = noise(side)
    large = Image.fromarray(np.asarray(tile).repeat(factor, 0).repeat(factor, 1))
    page = labelled_grid([tile])
    assert place(page, large) == (GAP, GAP)
    assert page.size == (side * factor + 2 * GAP,) * 2


def test_nothing_is_enlarged_by_another_factor_than_the_widest() -> None:
    page = labelled_grid([noise(56, 1), noise(28, 2)], across=2)
    for side, seed in ((56, 1), (28, 2)):
        place(page, Image.fromarray(np.asarray(noise(side, seed)).repeat(2, 0).repeat(2, 1)))


@pytest.mark.parametrize("side", [1, 8, 64, 300, 1024])
def test_every_word_is_drawn_whole_and_at_least_12_pixels_high(side: int, drawn: list[tuple[str, int]]) -> None:
    texts = {"rows": [LONG], "columns": [LONG, "b"], "captions": ["c" * 200, LONG], "footer": {LONG: [LONG, LONG]}}
    page = labelled_grid([noise(side)] * 2, title=LONG, **texts)  # type: ignore[arg-type]
    expected = [LONG, LONG, "b", LONG, "c" * 200, LONG, LONG, LONG, LONG]
    assert sorted(words(drawn)) == sorted("".join(expected).replace(" ", ""))
    assert min(size for _, size in drawn) >= 12
    assert page.mode == "RGB"


def test_letters_grow_with_the_tiles(drawn: list[tuple[str, int]]) -> None:
    labelled_grid([noise(1000)], columns=["x"])
    assert drawn == [("x", 50)]


def test_a_word_widens_its_column_and_none_reaches_the_next() -> None:
    word = "photolithographic"
    tiles = [noise(16, i) for i in range(2)]
    page = labelled_grid(tiles, columns=[word, word], tile=16)
    (x, y), (right, _) = (place(page, tile) for tile in tiles)
    assert right - x == -int(-length(word, grid.LETTERS) // 1) + GAP > 16 + GAP
    middle = (x + 16 + right) // 2
    assert not ink(page)[:y, middle - 1 : middle + 2].any()


def test_an_empty_place_stays_empty_and_alpha_lies_on_white() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    page = labelled_grid([clear, None, None, clear], across=2, tile=64)
    marks = ink(page)
    assert marks[GAP : GAP + 64, GAP : GAP + 64].all()
    assert not marks[: GAP + 64, GAP + 64 :].any()
    assert page.getpixel((GAP, GAP)) == (255, 255, 255)


def test_a_footer_has_a_text_for_each_column_and_marks_are_coloured() -> None:
    tiles = [noise(64, i) for i in range(2)]
    footer = {"PSNR dB": ["21.3", "18.0"]}
    page = labelled_grid(tiles, columns=["a", "b"], footer=footer, marked=[1], tile=64)
    x, y = place(page, tiles[1])
    pixels = np.asarray(page).astype(int)
    red = pixels[..., 0] - pixels[..., 2] > 60
    red[y : y + 64] = False
    assert red[:y, x : x + 64].any()
    assert red[y + 64 :, x : x + 64].any()
    assert not red[:, : x - GAP].any()
    assert ink(page)[y + 64 + GAP :, : x - 64 - GAP].any()  # its name


def test_a_grid_without_labels_is_about_square() -> None:
    tiles = [noise(64, i) for i in range(5)]
    page = labelled_grid(tiles, tile=64)
    assert page.size == (3 * (64 + GAP) + GAP, 2 * (64 + GAP) + GAP)


def lines_of(texts: list[str]) -> Iterator[float]:
    return map(font(13).getlength, texts)


def test_words_are_wrapped_to_their_width() -> None:
    lines = wrapped(LONG, font(13), 100)
    assert max(lines_of(lines)) <= 100
    assert "".join(lines).replace(" ", "") == LONG.replace(" ", "")
    assert wrapped("a rabbit", font(13), 200) == ["a rabbit"]
    assert wrapped("a\nb c", font(13), 200) == ["a", "b c"]
    assert wrapped("", font(13), 100) == []
    assert wrapped("ab", font(13), 1) == ["a", "b"]


@pytest.mark.parametrize("size", [11, 13, 14, 16])
@pytest.mark.parametrize("side", ["l", "m", "r"])
def test_words_stand_apart(size: int, side: str) -> None:
    """Between words there are more empty columns than between any letters, and no word touches the next."""
    said = "a looking glass that makes things 2 times their size"
    one = block(said, size, 500)
    assert one.lines == (said,)
    page = Image.new("RGB", (500, 2 * size))
    one.draw(page, (SIDES[side] * 499 + 0.5, 2), side, (255, 255, 255))
    inked = np.flatnonzero((np.asarray(page.convert("L")) > 64).any(0))
    empty = np.diff(inked) - 1
    assert (empty >= 3).sum() == len(said.split()) - 1
    assert inked[-1] - inked[0] == pytest.approx(one.width, abs=3)


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (0, {}, "expected 1 picture or more and 1 column or more, got 0 and 0"),
        (2, {"across": -1}, "got 2 and -1"),
        (4, {"rows": ["a"], "across": 2}, "a label for each of 2 rows, got 1"),
        (4, {"columns": ["a"], "across": 2}, "a label for each of 2 columns, got 1"),
        (4, {"captions": ["a"]}, "a caption for each of 4 pictures, got 1"),
        (4, {"footer": {"x": ["1"]}, "across": 4}, "a label for each of 4 columns, got 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(count: int, labels: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        labelled_grid([noise(8)] * count, **labels)


def test_a_page_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "MOST_PIXELS", 10_000)
    with pytest.raises(UsageError, match=r"a sheet of \d+ x \d+ pixels is more than the 10,000"):
        labelled_grid([noise(64)] * 4)


def test_both_doors_offer_it() -> None:
    from diffusion_tricks import plugin

    assert diffusion_tricks.labelled_grid is plugin.labelled_grid is labelled_grid


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system without fonts."""
    monkeypatch.setattr(fonts, "font_folders", tuple)
    lettering.writable.cache_clear()
    yield
    lettering.writable.cache_clear()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sigma 0.5", "sigma 0.5"),
        ("\u221a2 \u2237", "sqrt 2 (proportion)"),
        ("a \U0001f430 in \u6f22", "a (rabbit face) in (U+6F22)"),
        ("\U0001f469\u200d\U0001f680", "(woman)(rocket)"),
        ("1\ufe0f\u20e3", "1"),
        ("\u2237 \u2260", "(proportion) !="),
    ],
)
def test_what_no_font_here_has_is_written_in_plain_letters(text: str, said: str) -> None:
    assert lettering.writable(text) == (said, fonts.find_typeface(None))


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("text", ["\u00e9t\u00e9, stra\u00dfe, 2\u00d72", "\u03c3 = 0.5 \u2013 1", "\u0101"])
def test_what_pillow_s_own_font_lacks_is_set_in_the_one_inside(text: str) -> None:
    assert lettering.writable(text) == (text, fonts.find_typeface("Noto Serif"))


@pytest.mark.usefixtures("bare")
def test_one_sign_that_no_font_has_leaves_the_others_as_they_are() -> None:
    assert lettering.writable("\u043a\u043e\u0448\u043a\u0430 \u6f22") \
        == ("\u043a\u043e\u0448\u043a\u0430 (U+6F22)", fonts.find_typeface("Noto Serif"))  # fmt: skip


def test_an_emoji_is_named_where_a_font_has_all_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "font_for", lambda text: None if "\U0001f430" in text else "Noto Serif")
    lettering.writable.cache_clear()
    assert lettering.writable("\u6f22 \U0001f430") == ("\u6f22 (rabbit face)", fonts.find_typeface("Noto Serif"))
    lettering.writable.cache_clear()


def test_what_pillow_s_own_font_lacks_is_set_in_an_installed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    other = fonts.Typeface("Another")
    monkeypatch.setattr(lettering, "font_for", lambda text: "Another")
    monkeypatch.setattr(lettering, "find_typeface", lambda name: fonts.Typeface("own") if name is None else other)
    lettering.writable.cache_clear()
    assert lettering.writable("\u03c3") == ("\u03c3", other)
    assert lettering.writable("sigma")[1] != other
    lettering.writable.cache_clear()
