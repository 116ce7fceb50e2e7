"""Labelled grids of pictures: every sheet, strip and sweep is drawn here, so that each says what it shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from diffusion_tricks.errors import UsageError
from diffusion_tricks.io.lettering import INK, Block, Colour, block, length, widest_word
from diffusion_tricks.io.pixels import MOST_PIXELS, enlarge, flatten

TILE = 112  # pixels: how wide the widest picture is shown at the least
GAP = 6
LETTERS, SHARE = 15, 20  # pixels; and one part in so many of a tile, where that is more
HEADING = 1.2  # a title's letters, in sizes of the others
WORD, NAME = 12, 16  # how wide a word may make a column, and labels of rows are, in sizes of the letters
TITLE_ROOM = 480  # pixels: how wide a title may make a page
PAPER = (238, 238, 241)  # neither the white nor the black of a picture's own ground
MARKED = (178, 58, 20)


def labelled_grid(
    tiles: Sequence[Image.Image | None], *, rows: Sequence[str] = (), columns: Sequence[str] = (),
    captions: Sequence[str] = (), footer: Mapping[str, Sequence[str]] | None = None, title: str = "",
    across: int | None = None, tile: int = TILE, marked: Collection[int] = (),
) -> Image.Image:  # fmt: skip
    """One RGB picture that shows many in a grid, with the words that say what each is.

        labelled_grid([noisy, clean], columns=["x_t", "clean estimate"], rows=["t = 690"], title="a rabbit, seed 0")

    tiles: row by row, None for an empty place; alpha is laid on white. rows, columns: labels, on the left and above.
    captions: a text below each tile. footer: lines below the grid, each a name and a text for every column, such as a
    number measured of it. title: a line above all. across: tiles in a row; else as many as there are column labels,
    or what the row labels leave, or about as many as there are rows. tile: how wide, in pixels, the widest is shown at
    the least: all are enlarged by one whole factor, in crisp squares. marked: columns, from 0, whose labels and footer
    are in colour.
    Words are wrapped, and a column is widened for a word that is wider; nothing is cut off.

    Raises UsageError for no tiles, for labels that do not fit their number, and for a page of too many pixels.
    """
    footer = footer or {}
    across = across or len(columns) or _columns(len(tiles), len(rows))
    _check(len(tiles), across, rows, columns, captions, footer)
    shown = _enlarged(tiles, tile)
    widest = max((one.width for one in shown if one), default=tile)
    size = max(LETTERS, widest // SHARE)
    texts = [*columns, *captions, *(text for line in footer.values() for text in line)]
    width = max(widest, math.ceil(min(widest_word(" ".join(texts), size), WORD * size)))

    def name(text: str) -> Block:
        return block(text, size, max(NAME * size, widest))

    def written(texts: Sequence[str]) -> list[Cell]:
        return [Cell(None, block(text, size, width), MARKED if i in marked else INK) for i, text in enumerate(texts)]

    below = captions or [""] * len(shown)
    pictures = [Cell(one, block(text, size, width)) for one, text in zip(shown, below, strict=True)]
    starts = range(0, len(pictures), across)
    names = rows or [""] * len(starts)
    bands = [Band(name(""), written(columns), GAP)] if columns else []
    bands += [Band(name(text), pictures[i : i + across], GAP) for text, i in zip(names, starts, strict=True)]
    bands += [Band(name(text), written(line)) for text, line in footer.items()]
    return _page(bands, across, width, title, round(size * HEADING))


@dataclass(frozen=True)
class Cell:
    """A picture, if any, and the text below it."""

    tile: Image.Image | None
    text: Block
    colour: Colour = INK

    @property
    def high(self) -> int:
        """Of the picture, in pixels."""
        return self.tile.height if self.tile else 0


@dataclass(frozen=True)
class Band:
    """One row of cells, with its name on the left and `after` pixels below."""

    name: Block
    cells: Sequence[Cell]
    after: int = 0

    @property
    def tiles_high(self) -> int:
        """Of its highest picture."""
        return max((cell.high for cell in self.cells), default=0)

    @property
    def height(self) -> int:
        """With all below it."""
        texts = max((cell.text.height for cell in self.cells), default=0)
        return max(self.tiles_high + texts, self.name.height) + self.after

    def draw(self, page: Image.Image, left: int, top: int, width: int) -> None:
        """Draws it, its first cell at `left`, each `width` wide; the name beside the middle of the pictures."""
        aside = max(0, self.tiles_high - self.name.height) // 2
        self.name.draw(page, (left - 2 * GAP, top + aside), "r")
        for i, cell in enumerate(self.cells):
            middle = left + i * (width + GAP) + width / 2
            if cell.tile:
                page.paste(cell.tile, (int(middle - cell.tile.width / 2), top))
            cell.text.draw(page, (middle, top + self.tiles_high), "m", cell.colour)


def _page(bands: Sequence[Band], across: int, width: int, title: str, heading: int) -> Image.Image:
    """The bands below each other, and the title, in letters of size `heading`, above them."""
    names = max(band.name.width for band in bands)
    left = GAP + (names + 2 * GAP if names else 0)
    wide = left + across * (width + GAP)
    wide = max(wide, math.ceil(min(length(title, heading), TITLE_ROOM)) + 2 * GAP)
    said = block(title, heading, wide - 2 * GAP)
    top = GAP + (said.height + GAP if title else 0)
    high = top + sum(band.height for band in bands) + (0 if bands[-1].after else GAP)
    if wide * high > MOST_PIXELS:
        raise UsageError(f"a sheet of {wide} x {high} pixels is more than the {MOST_PIXELS:,} that are made; "
                         "show fewer pictures")  # fmt: skip
    page = Image.new("RGB", (wide, high), PAPER)
    said.draw(page, (GAP, GAP))
    for band in bands:
        band.draw(page, left, top, width)
        top += band.height
    return page


def _columns(count: int, rows: int) -> int:
    return math.ceil(count / rows) if rows else math.ceil(math.sqrt(count))


def _check(
    count: int, across: int, rows: Sequence[str], columns: Sequence[str], captions: Sequence[str],
    footer: Mapping[str, Sequence[str]],
) -> None:  # fmt: skip
    if count == 0 or across < 1:
        raise UsageError(f"expected 1 picture or more and 1 column or more, got {count} and {across}")
    needed = [("caption", "picture", captions, count), ("label", "row", rows, math.ceil(count / across))]
    needed += [("label", "column", texts, across) for texts in (columns, *footer.values())]
    for text, of, given, number in needed:
        if given and len(given) != number:
            raise UsageError(f"expected a {text} for each of {number} {of}s, got {len(given)}")


def _enlarged(tiles: Sequence[Image.Image | None], tile: int) -> list[Image.Image | None]:
    flat = [None if one is None else flatten(one) for one in tiles]
    factor = max(1, math.ceil(tile / max((one.width for one in flat if one), default=tile)))
    return [None if one is None else enlarge(one, factor, "nearest") for one in flat]
