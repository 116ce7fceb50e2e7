"""A drawing in a few words, for a picture by hand without a mouse: read from a text, drawn with Pillow.

    background white
    circle 50 45 30 crimson
    line 50 75 50 100 6 saddlebrown
    polygon 20 80 50 60 80 80 #3a7d44

All lengths are percent of the side, x from the left and y from the top; colours are Pillow's, as red or #ff0000. What
comes later lies on top. Empty lines, and those that begin with #, say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw

from diffusion_tricks import UsageError

SIDE = 512  # pixels of a drawing; models see it smaller, and so with smooth edges
MOST = 100_000  # letters of a drawing
Colour = str
Draw = Callable[[ImageDraw.ImageDraw, list[float], Colour], None]


@dataclass(frozen=True)
class Form:
    """How a line of a drawing is written, and what draws it: numbers, then a colour.

    takes: whether so many numbers are right. extent: what the last of them is, where it must be above 0.
    """

    written: str
    takes: Callable[[int], bool]
    draw: Draw
    extent: str = ""


def _background(pen: ImageDraw.ImageDraw, numbers: list[float], colour: Colour) -> None:
    pen.rectangle((0, 0, SIDE, SIDE), colour)


def _circle(pen: ImageDraw.ImageDraw, numbers: list[float], colour: Colour) -> None:
    x, y, r = numbers
    pen.ellipse((x - r, y - r, x + r, y + r), colour)


def _line(pen: ImageDraw.ImageDraw, numbers: list[float], colour: Colour) -> None:
    *ends, width = numbers
    pen.line(ends, colour, max(1, round(width)))


def _polygon(pen: ImageDraw.ImageDraw, numbers: list[float], colour: Colour) -> None:
    pen.polygon(numbers, colour)


FORMS = {
    "background": Form("background colour", lambda n: n == 0, _background),
    "circle": Form("circle x y r colour", lambda n: n == 3, _circle, "radius"),
    "line": Form("line x1 y1 x2 y2 width colour", lambda n: n == 5, _line, "width"),
    "polygon": Form("polygon x1 y1 x2 y2 x3 y3 ... colour", lambda n: n >= 6 and n % 2 == 0, _polygon),
}


def drawing_from(path: str | Path) -> Image.Image:
    """The drawing that a file describes, SIDE x SIDE pixels. Raises UsageError that names the line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UsageError(f"the drawing {path} cannot be read: {reason}; expected a text file") from None
    return drawn(text, str(path))


def drawn(text: str, name: str = "drawing") -> Image.Image:
    """The drawing that a text describes, SIDE x SIDE pixels in RGB, on white.

    name: what messages call it. Raises UsageError that names the line.
    """
    if len(text) > MOST:
        raise UsageError(f"{name}: expected a drawing of at most {MOST:,} letters, got {len(text):,}")
    page = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            _draw(pen, line.split(), f"{name}, line {number}")
    return page


def _draw(pen: ImageDraw.ImageDraw, words: list[str], where: str) -> None:
    kind, *rest = words
    if kind not in FORMS:
        raise UsageError(f"{where}: expected one of {', '.join(FORMS)}, got {kind!r}")
    form = FORMS[kind]
    if not form.takes(len(rest) - 1):
        raise UsageError(f"{where}: expected `{form.written}`, got {' '.join(words)!r}")
    *lengths, colour = rest
    numbers = [_length(word, where) for word in lengths]
    if form.extent and numbers[-1] <= 0:
        raise UsageError(f"{where}: expected a number above 0 for the {form.extent}, got {lengths[-1]}")
    form.draw(pen, numbers, _colour(colour, where))


def _length(word: str, where: str) -> float:
    """Percent of the side as pixels."""
    try:
        value = float(word)
    except ValueError:
        raise UsageError(f"{where}: expected a number, in percent of the side, got {word!r}") from None
    if not -1000 <= value <= 1000:
        raise UsageError(f"{where}: expected a number from -1000 to 1000, in percent of the side, got {word}")
    return value / 100 * SIDE


def _colour(word: str, where: str) -> Colour:
    try:
        ImageColor.getrgb(word)
    except ValueError:
        raise UsageError(f"{where}: expected a colour at the end, as red or #ff0000, got {word!r}") from None
    return word
