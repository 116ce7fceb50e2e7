"""Fonts by fallback, lines by Unicode's rules, contrast under every letter, and covers: against independent oracles."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyphen
import pytest
import uharfbuzz
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from PIL import Image, ImageFont
from scipy.ndimage import binary_dilation
from skimage import data

from command_line import run
from diffusion_tricks.errors import UsageError
from diffusion_tricks.io import fallback, fonts
from diffusion_tricks.io.fallback import stack_for
from diffusion_tricks.io.pictures import write_picture
from diffusion_tricks.io.signatures import kind_of
from diffusion_tricks_plugins.overlay import Overlay, OverlayOptions, lettering, with_layer
from diffusion_tricks_plugins.text import breaking, covers, typesetting

ROOT = Path(__file__).parents[1]
WOODS = {"title": "The Whispering Woods", "author": "A. Writer"}


def drawn(image: Image.Image, **options: Any) -> tuple[Image.Image, dict[str, Any]]:
    facts: dict[str, Any] = {}
    return Overlay(**options).finish_image(None, image, 0, facts), facts


def said(image: Image.Image, **options: Any) -> dict[str, Any]:
    """What is said of each text, by its name."""
    return {text["name"]: text for text in drawn(image, **options)[1]["texts"]}


def plain(width: int, height: int, value: int = 255) -> Image.Image:
    return Image.new("RGB", (width, height), (value, value, value))


# Fonts


def square_font(file: Path, signs: str, colours: dict[str, list[tuple[float, ...]]] | None = None) -> fonts.Typeface:
    """A font that draws each sign as a square of 500 in 1000; those in `colours` as squares beside each other."""
    names = {sign: f"sign{ord(sign):x}" for sign in signs}
    builder, glyphs = FontBuilder(1000, isTTF=True), [".notdef", *names.values()]
    palette = [colour for row in (colours or {}).values() for colour in row]
    layers = [f"layer{i}" for i in range(len(palette))]
    builder.setupGlyphOrder([*glyphs, *layers])
    builder.setupCharacterMap({ord(sign): name for sign, name in names.items()})
    builder.setupGlyf({name: square(0) for name in glyphs} | {name: square(300 * i) for i, name in enumerate(layers)})
    bearings = dict.fromkeys(glyphs, 0) | {name: 300 * i for i, name in enumerate(layers)}
    builder.setupHorizontalMetrics({name: (600, left) for name, left in bearings.items()})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": file.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    if colours:
        builder.setupCOLR({names[sign]: [(layers[i], i) for i in range(len(row))] for sign, row in colours.items()})
        builder.setupCPAL([palette])
    builder.font.save(file)
    return fonts.Typeface(f"{file.stem} Regular", file)


def square(left: int) -> Any:
    pen = TTGlyphPen(None)
    pen.moveTo((left, 0))
    for corner in ((left, 300), (left + 300, 300), (left + 300, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of installed fonts."""
    monkeypatch.setattr(fallback, "font_folders", lambda: (tmp_path,))
    return tmp_path


def test_the_font_inside_is_small_free_and_has_latin_greek_and_cyrillic() -> None:
    assert fonts.INSIDE.stat().st_size < 400_000
    assert "SIL OPEN FONT LICENSE Version 1.1" in fonts.INSIDE.with_name("OFL.txt").read_text()
    assert "Noto Serif" in (ROOT / "NOTICE").read_text()
    with TTFont(fonts.INSIDE) as font:
        mapped = font.getBestCmap()
    letters = [
        *range(0x20, 0x7F),
        *range(0xA0, 0x250),
        *range(0x391, 0x3CF),
        *range(0x400, 0x530),
        *range(0x1E00, 0x1F00),
    ]
    assert not {code for code in letters if chr(code).isalpha() and code != 0x3A2} - mapped.keys()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("title", ["Café", "Żółć Ğüş Đặng", "Ελλάδα Ἰλιάς", "Москва Ћ", "e\u0301o\u0308", "“fi”—…€№"])
def test_words_of_many_languages_are_set_in_the_font_inside_on_a_bare_system(title: str) -> None:
    texts = said(plain(400, 200), title=title)
    assert texts["title"]["fonts"] == [{"name": "Noto Serif Bold", "file": str(fonts.INSIDE)}]


def test_each_sign_comes_from_the_first_font_that_has_all_of_it(installed: Path) -> None:
    one = square_font(installed / "one.ttf", "日\u0d15")
    square_font(installed / "two.ttf", "本\u0d15\u0d4d")
    runs = stack_for("日本 \u0d15 \u0d15\u0d4d!", [one]).runs("日本 \u0d15 \u0d15\u0d4d!")
    assert [(run.text, run.face.name) for run in runs] == [
        ("日", "one Regular"), ("本 ", "two Regular"), ("\u0d15 ", "one Regular"), ("\u0d15\u0d4d", "two Regular"),
        ("!", "Noto Serif Bold"),
    ]  # fmt: skip


def test_as_few_installed_fonts_as_suffice(installed: Path) -> None:
    square_font(installed / "a.ttf", "日")
    square_font(installed / "longer.ttf", "日本語")
    assert [face.name for face in stack_for("日本語", []).faces] == ["Noto Serif Bold", "longer Regular"]


def test_the_fonts_used_are_in_the_result(installed: Path) -> None:
    square_font(installed / "asian.ttf", "日本")
    _, facts = drawn(plain(400, 300), title="Café 日本", author="Ann")
    assert facts["fonts"] == ["Noto Serif Bold", "asian Regular"]
    assert [Path(font["file"]).name for font in facts["texts"][0]["fonts"]] == ["NotoSerif-Bold.ttf", "asian.ttf"]
    assert [font["name"] for font in facts["texts"][1]["fonts"]] == ["Noto Serif Bold"]


@pytest.mark.usefixtures("installed")
def test_signs_that_no_font_has_are_listed() -> None:
    with pytest.raises(
        UsageError, match=r"no glyph for 日 \(U\+65E5\), 本 \(U\+672C\); nor has any font that is inside"
    ):
        drawn(plain(300, 200), title="a日b本日")
    with pytest.raises(UsageError, match=r"😀 \(U\+1F600\).*install a colour font"):
        drawn(plain(300, 200), title="😀")


def test_each_text_has_a_font_of_its_own(installed: Path) -> None:
    one, two = (square_font(installed / f"{name}.ttf", "AB") for name in ("one", "two"))
    texts = said(plain(300, 300), title="A", author="B", text="C", font=str(one.path), author_font=str(two.path))
    named = {name: [Path(font["file"]).stem for font in text["fonts"]] for name, text in texts.items()}
    assert named == {"title": ["one"], "author": ["two"], "text": ["NotoSerif-Bold"]}


def test_emoji_have_the_colours_of_their_font(installed: Path) -> None:
    """Two squares of 300 in 1000 beside each other, red and blue, measured in the picture."""
    red, blue = (1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)
    square_font(installed / "Colours.ttf", "\U0001f600", {"\U0001f600": [red, blue]})
    made, facts = drawn(plain(400, 200), title="I\U0001f600", title_size=100, title_position="0%,0%")
    pixels = np.asarray(made)
    for colour in ((255, 0, 0), (0, 0, 255)):
        assert (pixels == colour).all(axis=2).sum() == pytest.approx(30 * 30, abs=120)
    assert facts["fonts"] == ["Noto Serif Bold", "Colours Regular"]
    assert facts["texts"][0]["worst"] == "I"  # emoji are not measured


NOTO = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


@pytest.mark.skipif(not NOTO.is_file(), reason="Noto Color Emoji is not installed here")
def test_emoji_of_bitmaps_are_scaled_to_the_letters() -> None:
    for size in (40, 200):
        made, _ = drawn(plain(900, 400), text="H\U0001f600!", text_size=size, text_position="0%,0%")
        coloured = np.ptp(np.asarray(made).astype(int), axis=2) > 60
        assert len(np.flatnonzero(coloured.any(axis=1))) == pytest.approx(1.02 * size, rel=0.05)


def test_spaces_beside_emoji_are_those_of_the_text(installed: Path) -> None:
    square_font(installed / "Colours.ttf", "\U0001f600 ", {"\U0001f600": [(1.0, 0.0, 0.0, 1.0)]})
    runs = stack_for("a \U0001f600 b", []).runs("a \U0001f600 b")
    assert [(run.text, run.face.name) for run in runs] == [
        ("a ", "Noto Serif Bold"), ("\U0001f600", "Colours Regular"), (" b", "Noto Serif Bold")
    ]  # fmt: skip
    alone, _ = drawn(plain(200, 100), title="\U0001f600", font=str(installed / "Colours.ttf"))
    assert (np.asarray(alone) == (255, 0, 0)).all(axis=2).any()


def test_emoji_are_in_colour_and_signs_of_text_are_not_where_fonts_have_both(installed: Path) -> None:
    signs = "\U0001f600\u2764"
    plain_font = square_font(installed / "Plain.ttf", signs)
    square_font(installed / "Colours.ttf", signs, {sign: [(1.0, 0.0, 0.0, 1.0)] for sign in signs})
    runs = stack_for(f"{signs}!", [plain_font]).runs(f"{signs}!")
    assert [run.face.name for run in runs] == ["Colours Regular", "Plain Regular", "Noto Serif Bold"]


@pytest.mark.parametrize(
    ("sign", "coloured"),
    [("😀", True), ("❤", False), ("❤\ufe0f", True), ("😀\ufe0e", False), ("1", False), ("1\ufe0f\u20e3", True)],
)  # fmt: skip
def test_emoji_are_told_from_text(sign: str, coloured: bool) -> None:
    assert fallback.is_emoji(sign) == coloured


# Lines


def cases_of_unicode() -> list[tuple[str, list[str]]]:
    lines = (Path(__file__).with_name("unicode") / "LineBreakTest.txt").read_text("utf-8").splitlines()
    parts = (
        [part.replace("×", " ").split() for part in line.strip("×÷ ").split("÷")] for line in lines if line[0] != "#"
    )
    texts = (["".join(chr(int(code, 16)) for code in part) for part in row] for row in parts)
    return [("".join(row), row) for row in texts]


def test_lines_may_end_where_unicode_says() -> None:
    cases = cases_of_unicode()
    assert len(cases) > 200
    assert [list(breaking.pieces(text)) for text, _ in cases] == [pieces for _, pieces in cases]


@pytest.mark.parametrize("even", [True, False])
def test_no_line_begins_with_what_must_not(even: bool) -> None:
    """Kinsoku: closing marks, small kana and the long vowel mark begin no line, and opening marks end none."""
    text = "「ちょっと待って、コーヒーを。」彼は（静かに）言った……「え？」"
    for width in range(4, 16):
        lines = breaking.wrap(text, width, len, even=even)
        assert "".join(lines) == text
        assert not [line for line in lines if line[0] in "、。」）ょっーャ？…" or line[-1] in "「（"]


@pytest.mark.parametrize(("language", "patterns"), [("de", "de"), ("en_GB", "en_GB"), ("auto", "en_US")])
def test_words_are_divided_by_the_patterns_of_their_language(language: str, patterns: str) -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitän"
    oracle = pyphen.Pyphen(lang=patterns, left=3, right=3).positions(word)
    lines = breaking.wrap(breaking.hyphenated(word, language), 17, len, hyphens=True)
    ends = list(itertools.accumulate(len(line.removesuffix("-")) for line in lines))
    assert ends[-1] == len(word)
    assert set(ends[:-1]) <= set(oracle)
    assert all(line.endswith("-") for line in lines[:-1])
    with pytest.raises(UsageError, match="language: no patterns for hyphens in 'xx'; expected auto or one of"):
        Overlay(title="a", language="xx")


def test_soft_hyphens_are_seen_where_a_line_ends_alone() -> None:
    assert breaking.wrap("extra\u00adordi\u00adnary", 6, len) == ["extra-", "ordi-", "nary"]
    assert breaking.wrap("extra\u00adordinary", 40, len) == ["extraordinary"]


def test_titles_are_balanced_as_well_as_can_be() -> None:
    """Against all ways to break, for a hundred titles: fewest lines, then the narrowest, then the most even."""
    random = np.random.default_rng(0)
    for _ in range(100):
        words = ["x" * int(n) for n in random.integers(1, 10, random.integers(2, 9))]
        width = int(random.integers(9, 30))
        lines = breaking.wrap(" ".join(words), width, len)
        ways = [way for n in range(len(words)) for way in splits(words, n) if max(map(len, way)) <= width]
        fewest = min(map(len, ways))
        best = min((max(map(len, way)), sum(len(line) ** 2 for line in way)) for way in ways if len(way) == fewest)
        assert (len(lines), max(map(len, lines)), sum(len(line) ** 2 for line in lines)) == (fewest, *best)


def splits(words: list[str], cuts: int) -> list[list[str]]:
    places = itertools.combinations(range(1, len(words)), cuts)
    return [[" ".join(words[a:b]) for a, b in itertools.pairwise([0, *place, len(words)])] for place in places]


def test_a_long_word_is_divided_before_it_gets_small() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitän"
    (text,) = said(plain(600, 900), title=word, language="de").values()
    whole = said(plain(600, 900), title=word, hyphenate=False, min_size=5)["title"]
    assert len(text["lines"]) > 1
    assert text["size"] > 1.5 * whole["size"]
    assert "".join(line.removesuffix("-") for line in text["lines"]) == word


def test_words_stay_whole_at_a_size_that_was_asked_for_where_they_can() -> None:
    texts = said(plain(500, 576), title="The Whispering Woods", title_size=60)
    assert texts["title"]["lines"] == ["The", "Whispering", "Woods"]
    lines = said(plain(300, 576), title="The Whispering Woods", title_size=60)["title"]["lines"]
    assert lines == ["The", "Whis-", "pering", "Woods"]  # whose halves are the most even


def test_no_letter_is_smaller_than_the_least_size() -> None:
    words = "words and " * 12
    assert said(plain(600, 300), title=words)["title"]["size"] < 40
    assert said(plain(600, 600), title="word " * 8, min_size=60)["title"]["size"] >= 60
    with pytest.raises(
        UsageError, match=r"too long for a picture of 600 x 300 at the `min_size` of 60 px; give a `min_size` of"
    ) as told:
        said(plain(600, 300), title=words, min_size=60)
    best = int(str(told.value).split("`min_size` of ")[2].split()[0])
    assert said(plain(600, 300), title=words, min_size=best)["title"]["size"] == best


def test_newlines_are_honoured_however_they_are_written() -> None:
    for title in ("The\nWhispering Woods", "The\\nWhispering Woods"):
        assert said(plain(900, 900), title=title)["title"]["lines"][0] == "The"
    assert typesetting.clean(r"C:\\new") == r"C:\new"


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("straße é", "auto", "STRASSE É"), ("Ελλάδα προϊόν", "auto", "ΕΛΛΑΔΑ ΠΡΟΪΟΝ"),
        ("istanbul ığ", "tr", "İSTANBUL IĞ"), ("москва", "ru", "МОСКВА"),
    ],
)  # fmt: skip
def test_capitals_are_those_of_the_language(text: str, language: str, expected: str) -> None:
    assert said(plain(900, 300), title=text, language=language, caps=["title"])["title"]["lines"] == [expected]


def advances(text: str) -> list[float]:
    """What HarfBuzz says of each letter, in ems."""
    face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(fonts.INSIDE)))
    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    uharfbuzz.shape(uharfbuzz.Font(face), buffer, {"liga": False})
    return [position.x_advance / face.upem for position in buffer.glyph_positions]


@pytest.mark.parametrize("text", ["HILH", "AV H H"])
@pytest.mark.parametrize("spacing", [0.0, 0.2, -0.05])
def test_letter_spacing_is_added_to_what_harfbuzz_measures(spacing: float, text: str) -> None:
    size = 100
    made, _ = drawn(plain(900, 300), title=text, title_size=size, letter_spacing=spacing, title_position="100,50%")
    dark = (np.asarray(made)[..., 0] < 128).any(axis=0)
    starts = np.flatnonzero(np.diff(dark.astype(int)) == 1) + 1
    last = sum(advances(text)[:-1]) + spacing * (len(text) - 1)
    assert starts[-1] - starts[0] == pytest.approx(last * size, abs=2.5)


# Places


def ink_box(before: Image.Image, after: Image.Image) -> list[int]:
    rows, columns = (np.flatnonzero((np.asarray(before) != np.asarray(after)).any(axis=2).any(axis=a)) for a in (1, 0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


@pytest.mark.parametrize(
    ("position", "shares"),
    [
        ("120,70", None), ("120px, 70", None), ("0%,0%", (0, 0)), ("50%,50%", (0.5, 0.5)), ("100%,25%", (1, 0.25)),
        ("30,100%", (None, 1)),
    ],
)  # fmt: skip
def test_texts_stand_where_they_are_told(position: str, shares: tuple[float | None, float] | None) -> None:
    page = plain(500, 400)
    made, facts = drawn(page, title="Here", title_size=60, title_position=position)
    box = facts["texts"][0]["box"]
    assert box == ink_box(page, made)
    free = (500 - box[2] + box[0], 400 - box[3] + box[1])
    expected = (
        [120, 70] if shares is None else [30 if s is None else round(s * f) for s, f in zip(shares, free, strict=True)]
    )
    assert box[:2] == expected


def test_places_that_cannot_be_are_refused_and_overlaps_said() -> None:
    page = plain(300, 200)
    with pytest.raises(
        UsageError, match=r"title: at 290,0 its \d+ x \d+ px leave the picture of 300 x 200; its corner may"
    ):
        drawn(page, title="Here", title_position="290,0")
    for odd in ("10", "120%,0", "a,b", "-5,3", "10,20,30"):
        with pytest.raises(UsageError, match="title_position: expected auto, below"):
            Overlay(title="a", title_position=odd)
    _, facts = drawn(page, title="Here", title_position="50%,50%", text="There", text_position="50%,50%")
    assert "overlay: title and text overlap; move one of them" in facts["notes"]


# Contrast


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Relative luminance as WCAG 2.2 writes it, of sRGB 0 to 255 (..., 3)."""
    c = pixels / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[..., 0] + 0.7152 * linear[..., 1] + 0.0722 * linear[..., 2]


def ratios(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (np.maximum(one, other) + 0.05) / (np.minimum(one, other) + 0.05)


def measured(made: Image.Image, text: dict[str, Any]) -> float:
    """What nineteen in twenty of the pixels beside the letters reach, in the finished picture and in it alone."""
    left, top, right, bottom = text["box"]
    pixels = np.asarray(made.convert("RGB")).astype(float)[top - 3 : bottom + 3, left - 3 : right + 3]
    letters = np.array([int(text["color"][i : i + 2], 16) for i in (1, 3, 5)], float)
    ink = (pixels == letters).all(axis=2)
    beside = binary_dilation(ink, iterations=3) & ~binary_dilation(ink, iterations=2)  # but for their blurred edge
    return float(np.quantile(ratios(luminance(letters), luminance(pixels[beside])), 0.05))


def halves() -> Image.Image:
    page = plain(600, 800, 6)  # no value of letters, which are looked for
    page.paste((249, 249, 249), (300, 0, 600, 800))
    return page


def stripes() -> Image.Image:
    rows = np.repeat(np.arange(80) % 2 * 243 + 6, 10).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(rows[:, None, None], (800, 600, 3)).copy())


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (800, 600, 3), dtype=np.uint8))


def photograph() -> Image.Image:
    return Image.fromarray(data.coffee())


def ramp() -> Image.Image:
    return Image.fromarray(
        np.broadcast_to(np.linspace(0, 255, 600).astype(np.uint8)[None, :, None], (800, 600, 3)).copy()
    )


PICTURES = {"halves": halves, "stripes": stripes, "noise": noise, "photograph": photograph, "ramp": ramp}


@pytest.mark.parametrize("backing", ["auto", "scrim", "box", "stroke"])
@pytest.mark.parametrize("picture", PICTURES)
def test_every_letter_can_be_read_on_every_picture(picture: str, backing: str) -> None:
    made, facts = drawn(PICTURES[picture](), **WOODS, text="a line of small letters", text_size=18, backing=backing)
    for text in facts["texts"]:
        assert text["contrast"] >= text["contrast_needed"] == (4.5 if text["size"] < 24 else 3.0)
        if text["size"] > 24:  # of smaller letters blurred edges are all there is
            assert measured(made, text) >= 0.95 * text["contrast_needed"]


def test_halves_of_black_and_white_are_hard_to_read_without_help() -> None:
    made, facts = drawn(halves(), **WOODS, backing="none")
    title = facts["texts"][0]
    assert title["contrast"] == pytest.approx(1.05, abs=0.02)
    assert measured(made, title) == pytest.approx(1.05, abs=0.02)
    assert any(
        "title is hard to read: its contrast is 1.1 at" in note and "3 is needed" in note for note in facts["notes"]
    )


def test_on_plain_ground_nothing_is_laid_under_letters() -> None:
    greys = [(value,) * 3 for value in (0, 60, 118, 140, 255)]
    for value in (*greys, (255, 0, 0), (0, 0, 255), (0, 130, 0), (200, 120, 90)):
        page = Image.new("RGB", (400, 300), value)
        made, facts = drawn(page, title="Plain", text="small", text_size=12)
        for text in facts["texts"]:
            assert text["backing"] is None
            under = luminance(np.array(value, float))
            assert text["contrast"] == pytest.approx(
                max(ratios(under, np.array(0.0)), ratios(under, np.array(1.0))), abs=0.01
            )
        assert {colour for _, colour in made.getcolors(1 << 16) or ()} & {(0, 0, 0), (255, 255, 255)}


def test_a_colour_that_was_asked_for_stays_and_is_judged() -> None:
    page = plain(400, 300, 200)
    made, facts = drawn(page, title="Pale", title_color="#dddddd")
    assert {colour for _, colour in made.getcolors(1 << 16) or ()} <= {(v, v, v) for v in range(200, 222)}
    assert any("its contrast is 1.2" in note and "`title_color`" in note for note in facts["notes"])
    helped, facts = drawn(page, title="Pale", title_color="#dddddd", backing="scrim")
    assert facts["texts"][0]["contrast"] >= 3
    assert "notes" not in facts
    assert measured(helped, facts["texts"][0]) >= 2.9


def test_the_contrast_asked_for_is_reached() -> None:
    weak, strong = (said(halves(), title="Woods", contrast=least)["title"] for least in (4.5, 9))
    assert weak["contrast"] < 6 < 9 <= strong["contrast"]


def test_the_report_says_what_is_in_the_picture() -> None:
    page = plain(700, 900, 230)
    made, facts = drawn(page, title="Woods", title_size=90)
    (title,) = facts["texts"]
    assert title["box"] == ink_box(page, made)
    assert (title["lines"], title["size"], title["color"], title["backing"]) == (["Woods"], 90, "#000000", None)
    assert ImageFont.truetype(title["fonts"][0]["file"], 90).getname() == ("Noto Serif", "Bold")


def test_what_is_written_is_one_layer() -> None:
    page, options = photograph(), OverlayOptions(**WOODS, shadow=(3, 3))
    layer = lettering(page, options).layer
    made = np.asarray(with_layer(page, layer))
    assert (made == np.asarray(drawn(page, **WOODS, shadow=(3, 3))[0])).all()
    clear = np.asarray(layer)[..., 3] == 0
    assert (made[clear] == np.asarray(page)[clear]).all()
    assert 0.02 < 1 - clear.mean() < 0.3


# Covers


@pytest.mark.parametrize("pages", [24, 79, 80, 320, 828])
@pytest.mark.parametrize(("paper", "thick"), [("white", 0.002252), ("cream", 0.0025), ("color", 0.002347)])
def test_a_wrap_is_as_wide_as_its_parts(pages: int, paper: covers.Paper, thick: float) -> None:
    sheet = covers.sheet_of("6x9", pages, paper)
    assert sheet.size == (round(300 * (0.125 + 6 + pages * thick + 6 + 0.125)), round(300 * (0.125 + 9 + 0.125)))
    assert sheet.spine
    assert sheet.spine[2] - sheet.spine[0] == pytest.approx(300 * pages * thick, abs=1)
    assert sheet.front[0] == sheet.spine[2]
    assert sheet.size[0] - sheet.front[0] == pytest.approx(300 * 6.125, abs=1)
    assert (sheet.spine_text is not None) == (pages >= 80)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("ebook", (1600, 2560)), ("audio", (3000, 3000)), ("5x8", (1575, 2475)), ("5.5x8.5", (1725, 2625)),
        ("6x9", (1875, 2775)), ("8.5x11", (2625, 3375)),
    ],
)  # fmt: skip
def test_fronts_have_real_sizes(kind: covers.Format, size: tuple[int, int]) -> None:
    assert covers.sheet_of(kind, None, "white").size == size


def test_covers_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="format ebook has no spine, so `pages` does nothing; take one of 5x8"):
        Overlay(title="a", format="ebook", pages=100)
    with pytest.raises(UsageError, match="a book of 900 pages cannot be bound; give `pages` from 24 to 828"):
        Overlay(title="a", format="6x9", pages=900)
    with pytest.raises(UsageError, match="`pages` is of no use without `format`"):
        Overlay(title="a", pages=100)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_the_dpi_of_a_printed_cover_are_in_its_file(tmp_path: Path, suffix: str) -> None:
    page = plain(30, 40)
    page.info["dpi"] = (300, 300)
    write_picture(page, tmp_path / f"cover{suffix}", force=False)
    with Image.open(tmp_path / f"cover{suffix}") as made:
        assert made.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_a_printed_cover_has_its_text_in_safe_places() -> None:
    picture = photograph().crop((0, 0, 260, 390))
    page, facts = drawn(picture, title="Woods", author="Ann", format="5x8", pages=200, preset="poster")
    assert page.size == tuple(facts["cover"]["size"]) == (round(300 * (10.25 + 200 * 0.002252)), 2475)
    assert page.info["dpi"] == (300, 300)
    texts = {text["name"]: text for text in facts["texts"]}
    left, top, right, bottom = facts["cover"]["front"]
    spine = facts["cover"]["spine"]
    for name in ("title", "author"):
        box = texts[name]["box"]
        assert left + 75 <= box[0] < box[2] <= right - 112
        assert top + 112 <= box[1] < box[3] <= bottom - 112
        box = texts[f"spine {name}"]["box"]
        assert spine[0] + 18 <= box[0] < box[2] <= spine[2] - 18
        assert 112 <= box[1] < box[3] <= 2475 - 112
        assert measured(page, texts[f"spine {name}"]) >= 2.9
        assert texts[name]["contrast_needed"] == 3.0
    assert texts["spine title"]["box"][3] < texts["spine author"]["box"][1]
    assert any("the picture is enlarged 6.3 times" in note for note in facts["notes"])


@pytest.mark.parametrize(("kind", "margin"), [("ebook", 80), ("audio", 150)])
def test_a_cover_on_a_screen_has_its_text_a_twentieth_from_the_edge(kind: covers.Format, margin: int) -> None:
    page, facts = drawn(plain(160, 256), title="Woods " * 9, author="Ann", format=kind, preset="poster")
    for box in (text["box"] for text in facts["texts"]):
        assert margin <= box[0] < box[2] <= page.width - margin
        assert margin <= box[1] < box[3] <= page.height - margin
    assert covers.sheet_of(kind, None, "white").insets == (margin,) * 4


def test_a_small_copy_is_looked_at() -> None:
    page = photograph().resize((800, 1280))
    made, facts = drawn(page, title="Woods", text="tiny", text_size=20)
    title, tiny = (text["thumbnail"] for text in facts["texts"])
    assert (title["legible"], tiny["legible"]) == (True, False)
    size, scale = facts["texts"][0]["size"], 160 / 1280
    with TTFont(fonts.INSIDE) as font:
        assert title["capitals"] == pytest.approx(size * scale * font["OS/2"].sCapHeight / 1000, abs=0.2)
    small = np.asarray(made.resize((100, 160), Image.Resampling.LANCZOS)).astype(float)
    left, top, right, bottom = (round(side * scale) for side in facts["texts"][0]["box"])
    light = luminance(small[top:bottom, left:right])
    assert title["contrast"] == pytest.approx(ratios(np.quantile(light, 0.1), np.quantile(light, 0.9)), rel=0.5)


def test_a_title_that_a_shop_s_list_cannot_show_is_said() -> None:
    page = plain(160, 256)
    _, facts = drawn(page, title="Woods", title_size=60, format="ebook")
    assert any(
        "in a shop's list, 160 px high, the title cannot be read: its capitals are 2." in note
        for note in facts["notes"]
    )


def test_titles_suit_a_cover() -> None:
    """A title fills its front: two thirds of the width or a tenth of the height, and no more than two fifths of it."""
    for title in (
        "Dune",
        "The Whispering Woods",
        "One Hundred Years of Solitude",
        "How to Win Friends and Influence People",
    ):
        left, top, right, bottom = said(plain(400, 640), title=title)["title"]["box"]
        assert (right - left) / 400 > 0.66 or (bottom - top) / 640 > 0.08
        assert (bottom - top) / 640 < 0.4


# The command


def test_a_plain_cover_has_no_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain(200, 300).save("photo.png")
    outcome = run("cover", "photo.png", "--title", "Woods", "--json")
    facts = json.loads(outcome.out)
    assert "seed" not in facts
    assert "seed" not in facts["recipe"]
    assert facts["path"] == "cover.png"
    record = json.loads(run("show", "cover.png", "--json").out)
    assert "seed" not in record
    assert "seed" not in run("show", "cover.png").out
    again = run("rerun", "cover.png", "-o", "again.png")
    assert again.code == 0
    assert Image.open("again.png").tobytes() == Image.open("cover.png").tobytes()
    refused = run("cover", "photo.png", "--title", "Woods", "-o", "{seed}.png")
    assert (refused.code, "has no seed; leave {seed} out of its name" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0", "HEIC"), (b"\0\0\0\x18ftypisom", "an MP4 film"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"PK\x03\x04..", "a ZIP archive, as documents and apps are"), (b"\xff\x0a\0\0", "JPEG XL"),
        (b"\xef\xbb\xbf  <svg xmlns=", "SVG"), ("schön".encode() * 20, "text"),
        (b"\0\1\2\3\4", "a file of no kind that is known here"),
        (b"schoen \xc3", "text"), (b"RIFF\0\0\0\0WAVE", "a WAV recording"),
    ],
)  # fmt: skip
def test_kinds_of_files_are_named(head: bytes, kind: str) -> None:
    assert kind_of(head[:64]) == kind
