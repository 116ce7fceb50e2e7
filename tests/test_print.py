"""`print`: lines, pictures and words are read back from the PDF by another reader, and are where they should be.

pdfplumber counts in points, 72 to the inch of 25.4 mm; all is compared in millimetres.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import numpy as np
import pdfplumber
import pytest
import torch
from PIL import Image

from command_line import run
from diffusion_tricks.recipes.record import build_record, save
from diffusion_tricks.registry.view import View, view_named
from diffusion_tricks_plugins.hybrid import Hybrid
from diffusion_tricks_print.distance import alone_from
from diffusion_tricks_print.jigsaw import labels, numbered
from diffusion_tricks_print.layers import FLOOR, films, linear
from diffusion_tricks_print.motion import Motion, motion_of
from diffusion_tricks_print.page import Area

MM = 25.4 / 72
CLOSE = 0.02  # mm
TURNS = ["identity", "flip", "mirror", "rotate_cw", "rotate_ccw", "rotate_180", "rotate:270"]
A4_MIDDLE = (105.0, 12 + 12 + (297 - 24 - 12 - 24) / 2)  # mm: head 12, foot 24, margin 12


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    colours = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(colours).save("plain.png")
    return tmp_path


def recorded(path: str, trick: dict[str, Any], size: tuple[int, int] = (48, 48)) -> str:
    colours = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    save(Image.fromarray(colours), path, build_record({"tricks": [trick]}, {"seed": 0}))
    return path


@pytest.fixture
def sheet() -> Iterator[Callable[..., list[Any]]]:
    """Prints into sheet.pdf, and gives its pages as pdfplumber reads them."""
    opened: list[Any] = []

    def printed(*words: object) -> list[Any]:
        done = run("print", *words, "-o", "sheet.pdf", "--force")
        assert done.code == 0, done.err
        assert done.out == "sheet.pdf\n"
        opened.append(pdfplumber.open("sheet.pdf"))
        return list(opened[-1].pages)

    yield printed
    for document in opened:
        document.close()


def strokes(page: Any) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Every straight stroke of a page, in mm, right and down."""
    found = []
    for drawn in (*page.lines, *page.curves, *page.rects):
        points = [(x * MM, y * MM) for x, y in drawn["pts"]]
        if drawn["object_type"] == "rect":
            points.append(points[0])
        found += list(pairwise(points))
    return [(a, b) for a, b in found if math.dist(a, b) > CLOSE]


def placed(page: Any) -> tuple[float, float, float, float]:
    """Where the first picture of a page stands, in mm: left, top, width, height."""
    one = page.images[0]
    return tuple(one[key] * MM for key in ("x0", "top", "width", "height"))  # type: ignore[return-value]


def pixels_of(image: Any) -> np.ndarray[Any, Any]:
    width, height = image["srcsize"]
    return np.frombuffer(image["stream"].get_data(), np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize(("paper", "size"), [("a4", (210, 297)), ("letter", (215.9, 279.4))])
def test_paper_has_its_size_and_lies_on_its_side_for_a_wide_picture(
    paper: str, size: tuple[float, float], sheet: Callable[..., list[Any]]
) -> None:
    Image.new("RGB", (64, 32)).save("wide.png")
    for picture, wanted in (("plain.png", size), ("wide.png", size[::-1])):
        (page,) = sheet(picture, "--view", "identity", "a rabbit", "--paper", paper)
        assert (page.width * MM, page.height * MM) == pytest.approx(wanted, abs=CLOSE)
        x, y, width, height = placed(page)
        assert min(x, y, wanted[0] - x - width, wanted[1] - y - height) >= 12


def test_a_picture_is_as_large_as_said_and_has_its_own_pixels(sheet: Callable[..., list[Any]]) -> None:
    (page,) = sheet("plain.png", "--view", "identity", "a rabbit", "--size-mm", "90")
    middle_x, middle_y = A4_MIDDLE
    assert placed(page) == pytest.approx((middle_x - 45, middle_y - 45, 90, 90), abs=CLOSE)
    assert (pixels_of(page.images[0]) == np.asarray(Image.open("plain.png"))).all()
    (page,) = sheet("plain.png", "--view", "identity", "a rabbit", "--size-mm", "90", "--dpi", "127")
    assert page.images[0]["srcsize"] == (450, 450)  # 90 mm at 5 dots a millimetre
    assert placed(page)[2:] == pytest.approx((90, 90), abs=CLOSE)


def test_patches_are_cut_along_their_edges_and_nowhere_twice(sheet: Callable[..., list[Any]]) -> None:
    said = ("--view", "identity", "a rabbit", "--view", "patches:4", "a duck", "--size-mm", "120")
    _, cut, plan = sheet("plain.png", *said)
    left, top = A4_MIDDLE[0] - 60, A4_MIDDLE[1] - 60
    found = strokes(cut)
    assert {round(x - left, 1) for stroke in found for x, _ in stroke} == {0, 30, 60, 90, 120}
    assert {round(y - top, 1) for stroke in found for _, y in stroke} == {0, 30, 60, 90, 120}
    assert all(a[0] == pytest.approx(b[0], abs=CLOSE) or a[1] == pytest.approx(b[1], abs=CLOSE) for a, b in found)
    assert sum(math.dist(*stroke) for stroke in found) == pytest.approx(10 * 120, abs=0.1)  # 5 across, 5 down
    assert all(line["linewidth"] * MM == pytest.approx(0.2, abs=0.01) for line in (*cut.lines, *cut.curves))
    numbers = [word["text"].rstrip(".") for word in plan.extract_words() if word["text"].rstrip(".").isdigit()]
    assert sorted(map(int, numbers)) == sorted([*range(1, 17), *range(1, 17)])


def test_hinged_squares_are_cut_but_for_their_hinges(sheet: Callable[..., list[Any]]) -> None:
    cut, _ = sheet("plain.png", "--view", "hinge:3", "a castle", "--sheet", "jigsaw", "--size-mm", "90")
    dashed = [drawn for drawn in (*cut.lines, *cut.curves) if drawn.get("dash") and drawn["dash"][0]]
    assert len(dashed) == 2 * 2 * 2
    assert all(math.dist(*drawn["pts"]) * MM == pytest.approx(30 / 12, abs=CLOSE) for drawn in dashed)
    cuts = sum(math.dist(*stroke) for stroke in strokes(cut)) - len(dashed) * 30 / 12
    assert cuts == pytest.approx(2 * 4 * 90 - len(dashed) * 30 / 12, abs=0.5)


def test_the_plan_lays_each_piece_where_the_view_does() -> None:
    view, size, area = view_named("patches:4,seed=3"), (48, 48), Area(0, 0, 48, 48)
    _, after = labels(view, numbered(size, view.pieces(size)), area)
    for text in after:
        number = int(text.text.rstrip("."))
        x = torch.zeros(1, 1, 48, 48)
        row, column = divmod(number - 1, 4)
        x[..., row * 12 : row * 12 + 12, column * 12 : column * 12 + 12] = 1
        down, right = (places.float().mean() + 0.5 for places in torch.nonzero(view.apply(x)[0, 0], as_tuple=True))
        assert text.at == pytest.approx((float(right), float(down) + 0.35 * text.size), abs=1e-4)
        assert text.motion == Motion()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_piece_that_is_turned_has_its_number_turned(degrees: int) -> None:
    view = view_named(f"inner_circle:{degrees}")
    (pieces,) = view.pieces((64, 64))
    assert {round(math.dist(point, (32, 32)), 6) for point in pieces} == {24}
    before, (after,) = labels(view, numbered((64, 64), [pieces]), Area(0, 0, 64, 64))
    assert before[0].motion == Motion()
    assert after.motion == Motion(degrees)


@pytest.mark.parametrize("name", TURNS)
def test_each_caption_is_upright_below_what_is_then_seen(name: str, sheet: Callable[..., list[Any]]) -> None:
    """The view itself is asked: a mark right of, and below, the middle of what is seen is moved back to the page."""
    view = view_named(name)
    (page,) = sheet("plain.png", "--view", name, "Anagram", "--size-mm", "90")
    chars = [char for char in page.chars if char["size"] and char["text"] in "Anagram" and near_side(char)]
    assert "".join(char["text"] for char in chars) == "Anagram"
    a, b, c, d, x, y = chars[3]["matrix"]
    assert (a, -b) == pytest.approx(offset(view, 0, 1), abs=1e-6)  # letters run to the right; a PDF counts up
    assert (-c, d) == pytest.approx(offset(view, 1, 0), abs=1e-6)
    below = np.array(offset(view, 1, 0)) * (45 + 2 + 4.6)
    at = np.array([x * MM, 297 - y * MM]) - A4_MIDDLE
    along = np.array(offset(view, 0, 1))
    assert float((at - below) @ np.array(offset(view, 1, 0))) == pytest.approx(0, abs=0.2)
    assert abs(float(at @ along)) < 5


def near_side(char: Any) -> bool:
    """Whether a letter is one around the picture, not of heading and foot."""
    x, y = (char["x0"] + char["x1"]) / 2 * MM, (char["top"] + char["bottom"]) / 2 * MM
    return max(abs(x - A4_MIDDLE[0]), abs(y - A4_MIDDLE[1])) < 58


def offset(view: View, down: int, right: int) -> tuple[float, float]:
    """Where on the page a step down or to the right of the seen picture leads: right and down."""
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4 + 3 * down, 4 + 3 * right] = 1
    row, column = torch.nonzero(view.invert(x)[0, 0])[0].tolist()
    return (column - 4) / 3, (row - 4) / 3


def test_captions_of_a_half_turn_stand_upside_down_to_each_other(sheet: Callable[..., list[Any]]) -> None:
    made = recorded("made.png", {"trick": "anagram", "views": [["identity", "rabbit"], ["rotate_180", "duck"]]})
    (page,) = sheet(made)
    up, down = (next(c for c in page.chars if c["text"] == letter and 40 < c["top"] * MM < 250) for letter in "bk")
    assert up["matrix"][:4] == pytest.approx((1, 0, 0, 1), abs=1e-6)
    assert down["matrix"][:4] == pytest.approx((-1, 0, 0, -1), abs=1e-6)
    assert "turned upside down" in page.extract_text()
    _, _, width, height = placed(page)
    assert sum(math.dist(*stroke) for stroke in strokes(page)) == pytest.approx(2 * (width + height + 48), abs=0.1)


@pytest.mark.parametrize(
    ("names", "moves"),
    [("rotate_cw rotate_cw", Motion(180)), ("flip mirror", Motion(180)), ("patches:1", Motion())]
    + [(name, None) for name in ("negate", "skew", "inner_circle", "patches:7", "patches:4", "rotate:45")],
)
def test_only_what_moves_the_whole_sheet_is_a_motion(names: str, moves: Motion | None) -> None:
    assert motion_of([view_named(name) for name in names.split()]) == moves


def test_the_viewing_distance_is_that_of_the_blur_at_twenty_twenty() -> None:
    """The blur's response is found by the Fourier transform of its kernel: one half where a cycle is two minutes."""
    sigma, step, count = 4.0, 0.05, 2**18  # mm
    x = (np.arange(count) - count // 2) * step
    kernel = np.exp(-(x**2) / (2 * sigma**2))
    response = np.abs(np.fft.rfft(kernel / kernel.sum()))
    frequency = np.fft.rfftfreq(count, step)
    half = float(np.interp(-0.5, -response[:3000], frequency[:3000]))  # cycles per mm
    seen = 2 * math.degrees(math.atan(1 / half / 2 / alone_from(sigma))) * 60
    assert seen == pytest.approx(2, rel=1e-4)


def test_a_hybrid_says_its_distances(sheet: Callable[..., list[Any]]) -> None:
    made = recorded("made.png", {"trick": "hybrid", "far": "a skull", "near": "a mushroom", "sigma": 3.0})
    card, first, second, page = sheet(made, "--size-mm", "80")
    metres = alone_from(3 / 64 * 80) / 1000
    assert metres == pytest.approx(34.4, abs=0.05)
    text = " ".join(page.extract_text().split())
    assert f"At 80 x 80 mm: a skull is seen alone from {metres:.0f} m on; a mushroom from near" in text
    assert "far: a skull, near: a mushroom" in card.extract_text()
    assert len(page.images) == 4
    for image, metres in zip(page.images[1:], (3, 6, 10), strict=True):
        width = image["width"] * MM
        assert alone_from(3 / 64 * width) == pytest.approx(1000 * metres, rel=1e-3)
        assert f"{width:.1f} mm wide: from" in text
    assert placed(first) == pytest.approx(placed(second), abs=CLOSE)
    assert strokes(first) == strokes(second)  # the crosses by which films are laid in register
    assert "far: a skull" in first.extract_text()


def test_each_look_of_a_hybrid_says_its_blur() -> None:
    """One Gaussian after another is one whose variance is the sum of theirs."""
    said = Hybrid(far="a", mid="b", near="c", sigma=2.0, mid_sigma=1.5).views_of(Image.open("plain.png"))
    assert [one.blur for one in said] == [2.5 / 64, 1.5 / 64, None]
    coloured = Hybrid(far="a", near="c", split="color").views_of(Image.open("plain.png"))
    assert [one.blur for one in coloured] == [None, None]


def test_films_multiply_to_the_picture() -> None:
    rng = np.random.default_rng(0)
    far, near = (Image.fromarray(rng.integers(90, 200, (16, 16, 3), dtype=np.uint8)) for _ in range(2))
    first, second = (linear(film) for film in films([far, near]))
    want = FLOOR + (1 - FLOOR) * linear(near)
    share = first * second / want
    unclipped = np.asarray(films([far, near])[1]).max(-1) < 255
    assert share[unclipped] == pytest.approx(float(np.median(share)), rel=0.02)  # but for 8 bits


@pytest.mark.parametrize(
    ("trick", "films_made", "far_away"),
    [
        ({"trick": "hybrid", "far": "a", "near": "b"}, 2, True),
        ({"trick": "hybrid", "far": "a", "near": "b", "split": "color"}, 2, False),
        ({"trick": "components", "split": "gaussian:3", "parts": ["a", "b"]}, 2, True),
        ({"trick": "components", "split": "pyramid", "parts": ["a", "b", "c"]}, 3, True),
        ({"trick": "components", "split": "scale", "parts": ["a", "b"]}, 0, False),
        ({"trick": "components", "split": "mask", "mask": "box:0,0,50%,100%", "parts": ["a", "b"]}, 0, False),
        ({"trick": "regions", "regions": [["box:0,0,50%,100%", "a"], ["box:50%,0,100%,100%", "b"]]}, 0, False),
        ({"trick": "panorama"}, 0, False),
        ({"trick": "phase", "image": "plain.png"}, 0, False),
    ],
)  # fmt: skip
def test_films_are_of_layers_alone(
    trick: dict[str, Any], films_made: int, far_away: bool, sheet: Callable[..., list[Any]]
) -> None:
    """Only what builds the picture up, from far to near, is printed on film, and promises a distance."""
    colours = np.random.default_rng(1).integers(0, 256, (64, 192, 3), dtype=np.uint8)
    save(Image.fromarray(colours), "made.png", build_record({"prompt": "a wood", "tricks": [trick]}, {"seed": 0}))
    text = [" ".join(page.extract_text().split()) for page in sheet("made.png")]
    assert sum("Print it on film" in page for page in text) == films_made
    assert any("seen alone from" in page for page in text) == far_away


def test_a_negative_has_a_film_of_its_own(sheet: Callable[..., list[Any]]) -> None:
    _, positive, negative = sheet("plain.png", "--view", "identity", "day", "--view", "negate", "night")
    assert (pixels_of(positive.images[0]) == 255 - pixels_of(negative.images[0])).all()
    assert "night" in negative.extract_text()


FOLDING = """
from diffusion_tricks.plugin import View, hookimpl

class Folded(View):
    def apply(self, x):
        return x.roll(1, -1)

    def invert(self, x):
        return x.roll(-1, -1)

    def folds(self, size):
        return [[(size[0] / 4, 0), (size[0] / 4, size[1])]]

@hookimpl
def register_views(register):
    register("folded", "folding:Folded")
"""


def test_a_fold_is_a_dashed_line_where_the_view_says(sheet: Callable[..., list[Any]]) -> None:
    Path("folding.py").write_text(FOLDING)
    _, page = sheet("plain.png", "--view", "identity", "a", "--view", "folded", "b", "--size-mm", "80", "--plugin",
                    "folding.py")  # fmt: skip
    left, top = A4_MIDDLE[0] - 40, A4_MIDDLE[1] - 40
    (fold,) = [line for line in page.lines if line["dash"] and line["dash"][0]]
    ends = [(x * MM, y * MM) for x, y in fold["pts"]]
    assert sorted(ends)[0] == pytest.approx((left + 20, top), abs=CLOSE)
    assert sorted(ends)[1] == pytest.approx((left + 20, top + 80), abs=CLOSE)
    assert [part * MM for part in fold["dash"][0]] == pytest.approx([2, 2], abs=CLOSE)


def test_what_paper_cannot_turn_is_shown(sheet: Callable[..., list[Any]]) -> None:
    _, page = sheet("plain.png", "--view", "identity", "a", "--view", "skew", "b")
    assert "Through the view skew" in page.extract_text()


def test_nested_looks_are_sorted_by_how_the_sheet_is_moved(sheet: Callable[..., list[Any]]) -> None:
    inner = {"trick": "hybrid", "far": "a skull", "near": "a mushroom"}
    made = recorded("made.png", {"trick": "anagram", "views": [["identity", inner], ["rotate_180", "a duck"]]})
    card, *films_made, distance = sheet(made)
    assert "far: a skull, near: a mushroom" in card.extract_text()
    assert len(films_made) == 2
    assert "a skull is seen alone from" in " ".join(distance.extract_text().split())


def test_captions_in_any_script_are_letters(sheet: Callable[..., list[Any]]) -> None:
    fonts = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
    if not fonts.exists():
        pytest.skip("no font with these letters is installed")
    (page,) = sheet("plain.png", "--view", "identity", "Кролик, ελιά, أرنب", "--font", fonts)
    text = page.extract_text()
    assert "Кролик, ελιά" in text
    assert all("DejaVuSans" in char["fontname"] for char in page.chars)


def test_an_svg_has_the_same_millimetres() -> None:
    said = ("--view", "identity", "a <b>", "--view", "patches:2", "c", "--size-mm", "100", "--sheet", "jigsaw")
    done = run("print", "plain.png", *said, "-o", "sheet.svg")
    assert done.out.split() == ["sheet-1.svg", "sheet-2.svg"]
    root = ElementTree.parse("sheet-1.svg").getroot()
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("210mm", "297mm", "0 0 210 297")
    space = "{http://www.w3.org/2000/svg}"
    lines = [*root.iter(f"{space}polyline"), *root.iter(f"{space}polygon")]
    points = [tuple(map(float, pair.split(","))) for line in lines for pair in line.get("points", "").split()]
    assert {round(x - A4_MIDDLE[0], 3) for x, _ in points} == {-50, 0, 50}
    assert {round(y - A4_MIDDLE[1], 3) for _, y in points} == {-50, 0, 50}
    image = next(root.iter(f"{space}image"))
    data = base64.b64decode(str(image.get("href")).partition(",")[2])
    assert (np.asarray(Image.open(io.BytesIO(data))) == np.asarray(Image.open("plain.png"))).all()


VIEW = ("--view", "identity", "a rabbit")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("plain.png",),
            r"carries no diffusion-tricks record.*; or say what it should show, for example --view flip",
        ),
        (
            ("plain.png", *VIEW, "--size-mm", "300"),
            r"--size-mm 300 does not fit on a4 paper with --margin-mm 12; 162.0",
        ),
        (("plain.png", *VIEW, "--margin-mm", "99"), r"--margin-mm 99 leaves no room on a4 paper"),
        (("plain.png", *VIEW, "--sheet", "distance"), r"no sheet 'distance' for this picture; it has: card"),
        (("plain.png", "--view", "flp", "a rabbit"), r"unknown view 'flp'"),
        (("plain.png", *VIEW, "--font", "no.ttf"), r"font file 'no.ttf' does not exist"),
        (("plain.png", "--view", "identity", "x" * 2000), r"does not fit at 1.4 mm; say a shorter one with --view"),
        (("plain.png", *VIEW, "-o", "sheet.png"), r"expected a file that ends in .pdf or .svg, got sheet.png"),
    ],
)
def test_what_cannot_be_printed_is_said(words: tuple[str, ...], said: str) -> None:
    out = () if "-o" in words else ("-o", "sheet.pdf")
    done = run("print", *words, *out)
    assert done.code == 2
    assert re.search(said, done.err), done.err
    assert not Path("sheet.pdf").exists()


def test_a_sheet_that_exists_stays() -> None:
    Path("sheet.pdf").write_text("mine")
    done = run("print", "plain.png", *VIEW, "-o", "sheet.pdf")
    assert done.code == 2
    assert "sheet.pdf exists; pass --force" in done.err
    assert Path("sheet.pdf").read_text() == "mine"


def test_who_has_no_pdf_library_is_told_how_to_get_it() -> None:
    with mock.patch.dict("sys.modules", {"fpdf": None}):
        done = run("print", "plain.png", *VIEW, "-o", "sheet.pdf")
    assert done.code == 3
    assert "a PDF needs fpdf; install it with `pip install 'diffusion-tricks[print]'`, or write to a name" in done.err
