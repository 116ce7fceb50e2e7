"""The overlay trick against measured ink: where it is, what it leaves alone, what it refuses."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from PIL import Image, ImageChops, ImageDraw, ImageFont, features

from command_line import run
from diffusion_tricks import Recipe, TrickEntry, make
from diffusion_tricks.errors import UsageError
from diffusion_tricks.io import fonts
from diffusion_tricks.io.fonts import Typeface, font_folders, missing_glyphs
from diffusion_tricks.testing import exact_model
from diffusion_tricks_plugins.overlay import Overlay, OverlayOptions, page_of, wanted_texts
from diffusion_tricks_plugins.text import inking, layout, typesetting

TITLE, AUTHOR = "The Whispering Woods", "A. Writer"
LONG = "How I Learned to Stop Worrying and Love the Small Orange Cat Next Door, and Other Quite Gripping Tales"


def gray(width: int, height: int, value: int = 128, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), (value, value, value, 200)[: len(mode)])


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    shape = (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def draw(image: Image.Image, **options: object) -> Image.Image:
    return Overlay(**options).finish_image(None, image, 0)


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    """Which pixels differ (h w)."""
    return (np.asarray(before) != np.asarray(after)).any(axis=-1)


def ink_rows(mask: np.ndarray) -> np.ndarray:
    return np.flatnonzero(mask.any(axis=1))


def runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """First and last of every run of neighbouring numbers."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]


@pytest.fixture
def shipped_file(tmp_path: Path) -> Path:
    """The font inside, elsewhere."""
    file = tmp_path / "fonts" / "deep" / "Any.ttf"
    file.parent.mkdir(parents=True)
    file.write_bytes(fonts.INSIDE.read_bytes())
    return file


@pytest.fixture
def font_file(tmp_path: Path) -> Path:
    """Pillow's built-in font, as a file."""
    built_in = ImageFont.load_default(20)
    assert isinstance(built_in, ImageFont.FreeTypeFont)
    assert isinstance(built_in.path, BytesIO)
    file = tmp_path / "fonts" / "deep" / "Any.otf"
    file.parent.mkdir(parents=True)
    file.write_bytes(built_in.path.getvalue())
    return file


def test_the_cover_has_50_px_above_the_title_and_20_px_to_the_author() -> None:
    cover = gray(1000, 1500, 255)
    title, author = runs(ink_rows(changed(cover, draw(cover, title="Woods", author="Writer"))))
    assert title[0] == 50
    assert author[0] - title[1] - 1 == 20


@pytest.mark.parametrize("stroke", [0, 7])
@pytest.mark.parametrize(
    ("position", "side"), [("top-left", (0, 0)), ("bottom-right", (1, 1)), ("top-right", (1, 0)), ("left", (0, None))]
)
def test_margins_are_measured_to_the_ink(position: str, side: tuple[int, int | None], stroke: int) -> None:
    page = gray(800, 700, 255)
    mask = changed(page, draw(page, text="(Jagged fj)", text_position=position, margin=33, stroke=stroke, color="red"))
    rows, columns = ink_rows(mask), ink_rows(mask.T)
    assert (columns[0] if side[0] == 0 else 799 - columns[-1]) == 33
    if side[1] is not None:
        assert (rows[0] if side[1] == 0 else 699 - rows[-1]) == 33
    else:
        assert abs(rows[0] - (699 - rows[-1])) <= 1


@pytest.mark.parametrize("options", [{}, {"stroke": 5}, {"line_spacing": 0.6}])
@pytest.mark.parametrize("size", [7, 40, 93])
def test_ink_is_never_clipped(size: int, options: dict[str, object]) -> None:
    """The same lines drawn by Pillow in the middle of a much larger canvas have the same ink, pixel for pixel."""
    text = "fjord |q_,\n(gJ) WAVy"
    settings = OverlayOptions(text=text, text_size=size, **options)
    block = layout.fit_all(wanted_texts(settings), page_of((3000, 3000), settings))["text"]
    ours = inking.ink(block, "left").outline
    theirs = Image.new("L", (2400, 1600))
    for index, line in enumerate(block.lines):
        alone = Image.new("L", theirs.size)
        at = (800, 800 + round(index * block.face.pitch))
        ImageDraw.Draw(alone).text(
            at, line, 255, fonts.SHIPPED.at(size), "ls", stroke_width=settings.stroke, stroke_fill=255
        )
        box = alone.getbbox()
        assert box
        theirs = ImageChops.lighter(theirs, ImageChops.offset(alone, 800 - box[0], 0))
    theirs = theirs.crop(theirs.getbbox())
    assert ours.width <= block.size[0]
    assert ours.height <= block.size[1]
    assert ours.size == theirs.size
    assert ours.tobytes() == theirs.tobytes()


SIZES = [(64, 64), (40, 200), (300, 90), (333, 500), (1000, 1500), (1600, 500)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stroke": 2, "shadow": (-3, 4), "shadow_blur": 1.5, "margin": 0},
        {"preset": "poster", "text": "first edition"},
        {"preset": "caption", "text": "a caption", "title": "Woods"},
        {"title_position": "center", "author_position": "below", "text": "left", "text_position": "left"},
    ],
)
def test_texts_stay_in_the_picture_and_apart(size: tuple[int, int], options: dict[str, object]) -> None:
    settings = OverlayOptions(**{"title": TITLE, "author": AUTHOR, **options})
    page, texts = page_of(size, settings), wanted_texts(settings)
    inks = {name: inking.ink(block, "center") for name, block in layout.fit_all(texts, page).items()}
    corners = layout.place({name: ink.outline.size for name, ink in inks.items()}, texts, page)
    filled = np.zeros(size[::-1], dtype=int)
    for name, (x, y) in corners.items():
        width, height = inks[name].outline.size
        assert page.left <= x
        assert x + width <= size[0] - page.right
        assert page.top <= y
        assert y + height <= size[1] - page.bottom
        filled[y : y + height, x : x + width] += 1
    assert filled.max() == 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_only_pixels_under_ink_change_and_the_input_does_not(mode: str) -> None:
    picture = noise(400, 300, mode)
    before = picture.tobytes()
    options = OverlayOptions(title=TITLE, stroke=2, shadow=(5, 5), shadow_blur=2)
    after = draw(picture, **options.model_dump())
    assert picture.tobytes() == before
    assert (after.mode, after.size) == (mode, picture.size)
    (block,) = layout.fit_all(wanted_texts(options), page_of(picture.size, options)).values()
    reach = inking.shadow_reach(options.shadow, options.shadow_blur)
    touched = changed(picture, after)
    rows, columns = ink_rows(touched), ink_rows(touched.T)
    assert touched.any()
    assert len(rows) <= block.size[1] + reach[1] + reach[3]
    assert columns[-1] - columns[0] <= block.size[0] + reach[0] + reach[2]


def test_letters_alone_change_exactly_the_pixels_of_their_mask() -> None:
    picture = gray(400, 300)
    options = OverlayOptions(text="Ink", text_position="top-left", margin=10, color="red", text_size=60)
    (block,) = layout.fit_all(wanted_texts(options), page_of(picture.size, options)).values()
    mask = np.zeros((300, 400), dtype=np.uint8)
    letters = np.asarray(inking.ink(block, "left").letters)
    mask[10 : 10 + letters.shape[0], 10 : 10 + letters.shape[1]] = letters
    after = np.asarray(draw(picture, **options.model_dump()), dtype=float)
    cover = mask[..., None] / 255
    np.testing.assert_allclose(after, 128 * (1 - cover) + np.array([255, 0, 0]) * cover, atol=1)
    assert (after[mask == 0] == 128).all()


def test_a_box_reaches_its_padding_around_the_ink_and_lets_the_picture_through() -> None:
    picture = gray(500, 400, 100)
    after = draw(picture, text="Box", text_position="bottom-left", margin=30, box="#ffffff80", box_padding=12)
    mask = changed(picture, after)
    rows, columns = ink_rows(mask), ink_rows(mask.T)
    assert (columns[0], 399 - rows[-1]) == (30, 30)
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert after.getpixel((31, 368)) == pytest.approx((178, 178, 178), abs=1)  # 100 + 128/255 (255 - 100)
    ink = np.asarray(after)[..., 0] < 100  # "auto" is black on this box
    assert ink_rows(ink)[0] - rows[0] == pytest.approx(12, abs=1)
    assert ink_rows(ink.T)[0] - columns[0] == pytest.approx(12, abs=1)


def test_a_hard_shadow_is_the_ink_moved() -> None:
    picture = gray(500, 400)
    options = {"text": "Shade", "color": "red", "text_position": "center"}
    plain = np.asarray(draw(picture, **options)) == (255, 0, 0)
    both = np.asarray(draw(picture, **options, shadow=(40, 30), shadow_color="lime"))
    moved = np.roll(plain.all(axis=-1), (30, 40), axis=(0, 1))
    red, lime = (both == (255, 0, 0)).all(axis=-1), (both == (0, 255, 0)).all(axis=-1)
    assert lime.any()
    assert lime[moved & ~red & ~changed(picture, draw(picture, **options))].mean() > 0.95


def luminance(value: np.ndarray) -> np.ndarray:
    """Relative luminance as WCAG 2.2 writes it, of sRGB 0 to 255 (..., 3)."""
    c = value / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[..., 0] + 0.7152 * linear[..., 1] + 0.0722 * linear[..., 2]


@pytest.mark.parametrize("rgb", [(0,) * 3, (255,) * 3, (118,) * 3, (116,) * 3, (255, 0, 0), (0, 0, 255)])
def test_auto_color_is_the_one_of_higher_contrast(rgb: tuple[int, int, int]) -> None:
    picture = Image.new("RGB", (300, 200), rgb)
    under = float(luminance(np.array(rgb, dtype=float)))
    black, white = (under + 0.05) / 0.05, 1.05 / (under + 0.05)
    letters = (0, 0, 0) if black > white else (255, 255, 255)
    after = np.asarray(draw(picture, title="Contrast"))
    strongest = after[changed(picture, Image.fromarray(after))]
    assert (strongest == letters).all(axis=-1).any()


def test_auto_color_looks_only_under_the_text() -> None:
    picture = gray(600, 800, 0)
    picture.paste((255, 255, 255), (0, 0, 600, 400))
    after = np.asarray(draw(picture, title="Light above", text="dark below"))
    assert (after[:400] == 0).any()
    assert (after[400:] == 255).any()


def test_transparent_pixels_count_as_white_paper_and_stay_transparent() -> None:
    picture = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    after = np.asarray(draw(picture, title="Paper"))
    assert (after[after[..., 3] == 255][:, :3] == 0).all()
    assert (after[0, 0] == 0).all()


@pytest.mark.parametrize("width", [1, 2, 5, 9, 14, 40, 200])
@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("text", [LONG, "well-known Donaudampfschifffahrt\n\nend", "日本語の、テキスト。abc"])
def test_wrapped_lines_hold_the_text_and_the_width(text: str, width: int, even: bool) -> None:
    lines = typesetting.wrap(text, width, len, even=even)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert all(len(line) <= width for line in lines if len(typesetting.clusters(line)) > 1 and "、" not in line)
    assert all(line == line.strip() for line in lines)


THUMBS_UP, FLAG, FAMILY = "\U0001f44d\U0001f3fd", "\U0001f1eb\U0001f1f7", "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    "sign",
    [THUMBS_UP, FLAG, FAMILY, "e\u0301", "\u0915\u094d\u0937\u093f", "1\ufe0f\u20e3", "\u1100\u1161\u11a8"],
    ids=["skin tone", "flag", "family", "accent", "conjunct", "keycap", "hangul"],
)
def test_what_a_reader_sees_as_one_sign_is_never_broken(sign: str) -> None:
    assert typesetting.clusters(sign * 3) == [sign] * 3
    assert typesetting.wrap(sign * 4, 2 * len(sign), len, even=False) == [sign * 2] * 2
    assert typesetting.wrap(f"a{sign}b", 1, len) == ["a", sign, "b"]


def clusters_by_hand(word: str) -> list[str]:
    """As they were found here before: marks and what is not seen stay with their letter, and what follows a joiner."""
    found: list[str] = []
    for char in word:
        tied = unicodedata.category(char).startswith("M") or fonts.is_invisible(char) or (
            found and found[-1][-1] == "\u200d"
        )  # fmt: skip
        if found and tied:
            found[-1] += char
        else:
            found.append(char)
    return found


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        " a\u00a0b",
        "a\u200bb\u200dc",
        "\u202bשָׁלוֹם\u202c",
        "日本語の、テキスト。",
        "ကျောင်း",
        "\ufeffe\u0301\u200e\u0301",
        "  ",
    ],
)
def test_other_texts_fall_into_the_signs_they_always_did(text: str) -> None:
    assert typesetting.clusters(text) == clusters_by_hand(text)


def test_words_break_only_where_no_line_can_hold_them() -> None:
    assert typesetting.wrap("one two three", 5, len) == ["one", "two", "three"]
    assert typesetting.wrap("extraordinary", 5, len, even=False) == ["extra", "ordin", "ary"]
    assert typesetting.wrap("a well-known duck", 7, len, even=False) == ["a well-", "known", "duck"]
    assert typesetting.wrap("one\ntwo", 40, len) == ["one", "two"]
    assert typesetting.wrap("Mr.\u00a0Duck swims", 8, len) == ["Mr.\u00a0Duck", "swims"]


def test_even_lines_are_as_many_and_as_narrow_as_can_be() -> None:
    text, width = "aaa bbb ccc ddd e", 15
    flush, even = (typesetting.wrap(text, width, len, even=even) for even in (False, True))
    assert len(flush) == len(even) == 2
    assert max(map(len, even)) == 9 < max(map(len, flush))  # "aaa bbb" + "ccc ddd e" is the best of all five splits


def test_long_titles_shrink_and_short_ones_do_not_grow() -> None:
    def size(title: str) -> int:
        options = OverlayOptions(title=title)
        return layout.fit_all(wanted_texts(options), page_of((1000, 1500), options))["title"].face.size

    assert size("Ox") == size("Woods") == 195  # 13 % of the height
    assert size(LONG * 3) < size(TITLE) < 195


def test_a_size_that_cannot_fit_names_the_largest_that_does() -> None:
    picture = gray(400, 300)
    with pytest.raises(UsageError, match="title: size 300 does not fit in a picture of 400 x 300; the larg") as told:
        draw(picture, title="Woods", title_size=300)
    best = int(str(told.value).rsplit(" ", 1)[1])
    draw(picture, title="Woods", title_size=best)
    with pytest.raises(UsageError, match="does not fit"):
        draw(picture, title="Woods", title_size=best + 1)


def test_what_cannot_fit_at_any_size_is_refused() -> None:
    with pytest.raises(UsageError, match="text: the text is too long for a picture of 64 x 64, even at 5 px"):
        draw(gray(64, 64), text=LONG * 20)
    with pytest.raises(UsageError, match="40 px of margin leave no room for text in a picture of 64 x 64"):
        draw(gray(64, 64), title="a", margin=40)


@pytest.mark.parametrize("size", [(64, 64), (16, 16), (6000, 4000)])
def test_very_small_and_very_large_pictures(size: tuple[int, int]) -> None:
    picture = gray(*size)
    mask = changed(picture, draw(picture, title="Ox" if size == (16, 16) else TITLE))
    assert mask.any()
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()


def test_the_author_is_never_larger_than_the_title() -> None:
    options = OverlayOptions(title="Donaudampfschifffahrtsgesellschaftskapitaen", author=AUTHOR)
    blocks = layout.fit_all(wanted_texts(options), page_of((1000, 1500), options))
    assert blocks["author"].face.size <= blocks["title"].face.size
    assert blocks["title"].face.size >= 0.4 * 195  # its word is divided first


def test_missing_glyphs_are_listed_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusion_tricks.io.fallback.font_folders", tuple)
    with pytest.raises(UsageError) as told:
        draw(gray(300, 200), title="a日b本日 \U0001f600!")
    assert "no glyph for 日 (U+65E5), 本 (U+672C), \U0001f600 (U+1F600);" in str(told.value)


def made_font(file: Path, drawn: dict[str, str]) -> Typeface:
    """A font that draws its sign for a missing glyph and each of `drawn`, a name for each character, as a square."""
    pen = TTGlyphPen(None)
    for place, corner in enumerate([(0, 0), (0, 700), (500, 700), (500, 0)]):
        (pen.lineTo if place else pen.moveTo)(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *dict.fromkeys(name for name in drawn.values() if name != ".notdef")]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(char): name for char, name in drawn.items()})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics({name: (600, 0) for name in names})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.font.save(file)
    return Typeface("squares", file)


def test_glyphs_are_looked_up_not_looked_at(tmp_path: Path) -> None:
    """A letter may well look as the sign for a missing one does; and be mapped to just that."""
    face = made_font(tmp_path / "squares.ttf", {"A": "A", "B": ".notdef", "\u25a1": "square"})
    assert missing_glyphs("A\u25a1BC", face) == ["B", "C"]


def test_a_font_without_a_table_of_characters_is_looked_at(tmp_path: Path) -> None:
    face = made_font(tmp_path / "squares.ttf", {"A": "A"})
    with TTFont(face.path) as font:
        font["cmap"].tables = [table for table in font["cmap"].tables if table.platformID == 1]
        font.save(tmp_path / "old.ttf")
    assert missing_glyphs("A", Typeface("old", tmp_path / "old.ttf")) == ["A"]  # it looks as the missing one


def test_a_font_with_a_broken_table_is_looked_at(tmp_path: Path) -> None:
    face = made_font(tmp_path / "squares.ttf", {"A": "A"})
    assert face.path
    data = face.path.read_bytes()
    with TTFont(face.path) as font:
        start = font.reader.tables["post"].offset
    face.path.write_bytes(data[:start] + b"\xff" * 8 + data[start + 8 :])
    assert missing_glyphs("AB", face) == ["A", "B"]
    assert fonts.names_of(face) == ("Squares", "Regular")


def test_a_collection_has_several_fonts(tmp_path: Path) -> None:
    one, two = (made_font(tmp_path / f"{char}.ttf", {char: char}) for char in "AB")
    collection = TTCollection()
    collection.fonts = [TTFont(one.path), TTFont(two.path)]
    collection.save(tmp_path / "both.ttc")
    both = [Typeface("both", tmp_path / "both.ttc", index) for index in (0, 1)]
    assert [missing_glyphs("AB", face) for face in both] == [["B"], ["A"]]
    assert [(family, index) for family, _, _, index in fonts.faces(tmp_path / "both.ttc")] == [
        ("Squares", 0),
        ("Squares", 1),
    ]


INSTALLED = [row for row in fonts.installed_fonts(font_folders()) if row[2].suffix.lower() == ".ttf"]


@pytest.mark.skipif(not INSTALLED, reason="no fonts are installed here")
def test_installed_fonts_lack_what_they_draw_as_missing() -> None:
    text = "".join(map(chr, [*range(33, 127), *range(0xA1, 0x250), *range(0x391, 0x400), *range(0x4E00, 0x4E20)]))
    for family, style, path, index in INSTALLED[:20]:
        face = Typeface(f"{family} {style}", path, index)
        if fonts.can_be_read(face):
            assert missing_glyphs(text, face) == fonts.drawn_as_missing(text.replace("\u00ad", ""), face)


def test_plain_text_white_space_and_joiners_are_not_missing() -> None:
    ascii_text = "".join(map(chr, range(33, 127)))
    assert missing_glyphs(ascii_text + " \n\u00a0\u2009\u200d\u200b", Typeface("built-in")) == []


def test_invisible_signs_draw_nothing() -> None:
    picture = gray(300, 200)
    plain = draw(picture, text="ab cd")
    assert draw(picture, text="a\u200bb\u00a0c\u00add\ufeff").tobytes() == plain.tobytes()


@pytest.mark.parametrize(("align", "share"), [("left", 0.0), ("center", 0.5), ("right", 1.0)])
def test_lines_are_aligned_by_their_ink(align: str, share: float) -> None:
    page = gray(500, 300, 255)
    mask = changed(page, draw(page, text="Millimeter\nfj", align=align, line_spacing=2, text_size=40))
    (top, _), *_, (_, bottom) = runs(ink_rows(mask))
    middle = (top + bottom) // 2
    upper, lower = ink_rows(mask[:middle].T), ink_rows(mask[middle:].T)
    room = (upper[-1] - upper[0]) - (lower[-1] - lower[0])
    assert room > 100
    assert lower[0] - upper[0] == pytest.approx(room * share, abs=0.5)


def test_a_font_with_the_missing_glyphs_is_offered(font_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "font_folders", lambda: (font_file.parent,))
    family, _ = ImageFont.truetype(str(font_file), 20).getname()
    assert fonts.font_for("abc") == family
    assert fonts.font_for("日") is None


def test_a_font_by_file_and_by_family_draws_as_the_built_in_one(
    shipped_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = gray(300, 200)
    expected = draw(picture, title=TITLE).tobytes()
    family, style = ImageFont.truetype(str(shipped_file), 20).getname()
    assert draw(picture, title=TITLE, font=str(shipped_file)).tobytes() == expected
    monkeypatch.setattr(fonts, "font_folders", lambda: (shipped_file.parents[1], shipped_file.parent / "absent"))
    assert family
    for name in (family, family.upper(), f"{family.lower()}  {style}"):
        assert draw(picture, title=TITLE, font=name).tobytes() == expected
    with pytest.raises(UsageError, match=f"unknown font 'Noto Seriff'; the nearest installed family is '{family}'"):
        draw(picture, title=TITLE, font="Noto Seriff")


def test_fonts_that_are_none_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "fake.ttf"
    fake.write_text("not a font")
    with pytest.raises(UsageError, match=r"fake.ttf' is not a font that can be read"):
        draw(gray(100, 100), title="a", font=str(fake))
    with pytest.raises(UsageError, match=r"font file .*gone.ttf' does not exist"):
        draw(gray(100, 100), title="a", font=str(tmp_path / "gone.ttf"))
    monkeypatch.setattr(fonts, "font_folders", lambda: (tmp_path,))
    with pytest.raises(UsageError, match="unknown font 'Serif'; the nearest installed family is 'Noto Serif'"):
        draw(gray(100, 100), title="a", font="Serif")


def test_the_regular_style_of_a_family_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(("Some", style, Path(f"{style}.ttf"), 0) for style in ("Bold", "ExtraLight", "Book", "Oblique"))
    monkeypatch.setattr(fonts, "installed_fonts", lambda folders: rows)
    assert fonts.find_family("some", ()).path == Path("Book.ttf")
    assert fonts.find_family("SOME bold", ()).path == Path("Bold.ttf")


def test_a_font_of_one_size_is_found_by_its_family_and_judged_when_its_size_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_font(tmp_path / "squares.ttf", {"A": "A"})
    truetype = ImageFont.truetype

    def only_at_40(font: str, size: int, *others: Any, **named: Any) -> ImageFont.FreeTypeFont:
        if size != 40:
            raise OSError("invalid pixel size")
        return truetype(font, size, *others, **named)

    monkeypatch.setattr(ImageFont, "truetype", only_at_40)
    monkeypatch.setattr(fonts, "font_folders", lambda: (tmp_path,))
    assert changed(gray(200, 200), draw(gray(200, 200), text="A", text_size=40, font="squares")).any()
    with pytest.raises(UsageError, match=r"Squares Regular cannot be used as a font at 30 px"):
        draw(gray(200, 200), text="A", text_size=30, font="squares")


def test_right_to_left_text_needs_raqm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: True)
    assert [fonts.direction_of(text) for text in ("abc", "שלום", "abc שלום", "1. שלום")] == [None, "rtl", None, "rtl"]
    monkeypatch.setattr(features, "check", lambda name: False)
    assert fonts.direction_of("abc") is None
    with pytest.raises(UsageError, match="needs a Pillow with raqm"):
        fonts.direction_of("שלום")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "overlay: nothing to write; give at least one of title, subtitle, author and text"),
        ({"title": " ", "author": ""}, "nothing to write"),
        ({"title": "a", "color": "blurple"}, "color: expected auto, a colour name or #rrggbb, got 'blurple'"),
        ({"title": "a", "box": "x"}, "box: expected auto or none, a colour name"),
        ({"title": "a", "max_width": 0}, "max_width: expected a number above 0"),
        ({"title": "a", "title_size": 0}, "title_size: expected at least 1"),
        ({"title": "a", "title_position": "up"}, "title_position: "),
        ({"titel": "a"}, "titel: Extra inputs"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Overlay(**options)


def test_empty_strings_count_as_not_given() -> None:
    options = OverlayOptions(title="  ", author="A", text="", font="")
    assert (options.title, options.text, options.font) == (None, None, None)
    picture = gray(300, 200)
    assert draw(picture, title="", text="b", font="").tobytes() == draw(picture, text="b").tobytes()


def test_other_modes_and_the_files_notes_are_kept_apart_from_alpha() -> None:
    picture = gray(200, 100, 255)
    picture.info["transparency"] = (255, 255, 255)
    after = draw(picture, title="Kept", color="red")
    assert after.mode == "RGB"
    assert after.info == picture.info
    assert after.getpixel((0, 0)) == (255, 255, 255)
    assert draw(Image.new("L", (200, 100)), title="L").mode == "RGB"


def test_options_survive_json() -> None:
    options = OverlayOptions(title=TITLE, shadow=(3, -4), box="#00000080", preset="caption")
    assert OverlayOptions.model_validate_json(options.model_dump_json()) == options


def test_no_torch_is_imported() -> None:
    code = "import sys, diffusion_tricks_plugins.overlay; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_each_text_has_a_colour_of_its_own() -> None:
    page = gray(600, 600, 255)
    made = draw(page, title="Woods", author="Writer", text="Free", title_color="#ff0000", author_color="#0000ff")
    found = {colour for _, colour in made.getcolors(1 << 20)}
    assert {(255, 0, 0), (0, 0, 255), (0, 0, 0)} <= found
    painted = draw(page, title="Woods", author="Writer", color="#00ff00", author_color="#0000ff")
    assert {(0, 255, 0), (0, 0, 255)} <= {colour for _, colour in painted.getcolors(1 << 20)}
    with pytest.raises(UsageError, match="title_color"):
        Overlay(title="Woods", title_color="reddish")


@pytest.mark.parametrize("font", ["gone.ttf", "No Such Family"])
def test_a_font_that_is_not_here_is_an_error_unless_it_may_be_replaced(font: str, tmp_path: Path) -> None:
    page = gray(300, 300, 255)
    with pytest.raises(UsageError, match=r"does not exist|unknown font"):
        draw(page, title="Woods", font=font)
    assert draw(page, title="Woods", font=font, font_fallback=True).tobytes() == draw(page, title="Woods").tobytes()
    (note,) = Overlay(title="Woods", font=font, font_fallback=True).notes()
    assert font in note
    assert "Noto Serif Bold, the built-in font" in note
    assert Overlay(title="Woods").notes() == []
    page.save(tmp_path / "page.png")
    refused = run("cover", tmp_path / "page.png", "--title", "Woods", "--font", font, "-o", tmp_path / "a.png")
    assert refused.code == 2
    made = run(
        "cover", tmp_path / "page.png", "--title", "Woods", "--font", font, "--font-fallback", "-o", tmp_path / "a.png"
    )
    assert made.code == 0
    assert "so the text is set in Noto Serif Bold, the built-in font" in made.err


def test_the_font_that_took_the_place_of_another_is_said_of_pictures_that_a_model_made() -> None:
    entry = TrickEntry(trick="overlay", title="Woods", font="gone.ttf", font_fallback=True)
    (result,) = make(
        Recipe(prompt="a", steps=1, enlarge=8, tricks=[entry]), model=exact_model(torch.zeros(1, 3, 32, 32))
    )
    assert any("gone.ttf" in note for note in result.facts["notes"])
