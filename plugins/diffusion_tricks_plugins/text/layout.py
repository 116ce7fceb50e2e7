"""Layout: blocks of text on a page, at sizes that fit, in places that never overlap.

Every block stands in a row (top, middle, bottom); blocks of one row stand below each other. Sizes are found so that
all of them together are no higher than the page, so the rows cannot meet. Craft, not science: there is no paper
behind this. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from diffusion_tricks.plugin import Typeface, UsageError, direction_of
from diffusion_tricks_plugins.text.typesetting import SMALLEST, Block, Face, largest, set_block

Row = Literal["top", "middle", "bottom"]
Side = Literal["left", "center", "right"]

LEGIBLE = 7  # px; words are broken before letters get smaller


@dataclass(frozen=True)
class Page:
    """The room for text in a picture of `width` by `height`: what the insets leave. All in px."""

    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int
    gap: int  # between blocks of one row
    padding: int  # around each block's ink

    @property
    def room(self) -> tuple[int, int]:
        """Width and height between the insets. Raises `UsageError` if there is none."""
        width, height = self.width - self.left - self.right, self.height - self.top - self.bottom
        if min(width, height) <= 2 * self.padding:
            inset = max(self.left, self.top, self.right, self.bottom) + self.padding
            raise UsageError(f"{inset} px of margin leave no room for text in a picture of {self.named}; use less")
        return width, height

    @property
    def named(self) -> str:
        """The picture's size for messages."""
        return f"{self.width} x {self.height}"


@dataclass(frozen=True)
class Wanted:
    """A text to be set: how, how large, and where."""

    name: str  # for messages
    text: str
    typeface: Typeface
    size: int | None  # px, None for automatic
    share: float  # of the page: the automatic size
    easy: int  # px easy to read: the automatic size on small pages, however small the share
    weight: float  # of the page's height: what an automatic block keeps to while it stays large
    row: Row
    side: Side
    align: Side
    stroke: int
    line_spacing: float
    max_width: float

    def face(self, size: int) -> Face:
        """The face that sets this text at `size` px."""
        return Face(self.typeface, size, self.stroke, self.line_spacing, direction_of(self.text))

    @property
    def even(self) -> bool:
        """Centred lines look best evened out; flush ones are left as they fall."""
        return self.align == "center"


def fit_all(texts: Sequence[Wanted], page: Page) -> dict[str, Block]:
    """The block of every text, by name, all of them within the page's room. Raises `UsageError` if they do not fit.

    Given sizes are served first; of the automatic ones the title last, which so gets whatever the others leave.
    """
    left = page.room[1] - page.gap * (len(texts) - 1)
    queue = sorted(texts, key=lambda text: (text.size is None, text.weight))
    blocks: dict[str, Block] = {}
    for place, text in enumerate(queue):
        share = text.weight / sum(other.weight for other in queue[place:]) if text.size is None else 1.0
        two_lines = 2 * text.easy + 2 * page.padding  # a small page's shares may hold no line at all
        height = min(max(round(left * share), two_lines), left)
        blocks[text.name] = block = fit(text, page, height)
        left -= block.size[1] + 2 * page.padding
    return blocks | {text.name: fit_below(text, blocks, page) for text in texts if text.size is None}


def fit_below(text: Wanted, blocks: Mapping[str, Block], page: Page) -> Block:
    """The text's block, set again where automatic sizes made it larger than the title."""
    block, title = blocks[text.name], blocks.get("title")
    if title is None or block.face.size <= title.face.size:
        return block
    box = (int(page.room[0] * text.max_width) - 2 * page.padding, block.size[1])
    return set_block(text.text, text.face(title.face.size), box, even=text.even) or block


def fit(text: Wanted, page: Page, height: int) -> Block:
    """The block of one text, at its given size or at an automatic one, no higher than `height` with its padding."""
    box = (int(page.room[0] * text.max_width) - 2 * page.padding, height - 2 * page.padding)
    return fit_automatic(text, page, box) if text.size is None else fit_given(text, text.size, page, box)


def fit_given(text: Wanted, size: int, page: Page, box: tuple[int, int]) -> Block:
    """The block at the given size. Raises `UsageError` naming the largest that fits."""
    block = set_block(text.text, text.face(size), box, even=text.even)
    if block is None:
        best = largest(1, size - 1, lambda px: set_block(text.text, text.face(px), box, even=text.even))
        advice = f"the largest that fits is {best.face.size}" if best else "no size does: shorten the text"
        raise UsageError(f"{text.name}: size {size} does not fit in a picture of {page.named}; {advice}")
    return block


def fit_automatic(text: Wanted, page: Page, box: tuple[int, int]) -> Block:
    """The block at the share of the page it should have, or smaller until it fits.

    Three attempts: within its share of the height with whole words at half the size or more, then within all the
    room with whole words at a quarter or more, then at any size up to half and with words broken.
    """
    wanted = max(round(text.share * min(page.height, 1.5 * page.width)), text.easy)
    share = (box[0], min(box[1], round(text.weight * page.room[1])))
    half, quarter = max(wanted // 2, text.easy), max(wanted // 4, LEGIBLE)
    for room, low, high, whole in (
        (share, half, wanted, True), (box, quarter, wanted, True), (box, SMALLEST, half, False),
    ):  # fmt: skip

        def attempt(px: int, room: tuple[int, int] = room, whole: bool = whole) -> Block | None:
            return set_block(text.text, text.face(px), room, even=text.even, whole=whole)

        block = largest(low, high, attempt)
        if block is not None:
            return block
    raise UsageError(
        f"{text.name}: the text is too long for a picture of {page.named}, even at {SMALLEST} px; shorten it"
    )


def place(sizes: Mapping[str, tuple[int, int]], texts: Sequence[Wanted], page: Page) -> dict[str, tuple[int, int]]:
    """The top left corner in px of every block's ink, given the ink's size: rows apart, inside the page's insets."""
    heights = {row: row_height([sizes[text.name][1] for text in texts if text.row == row], page) for row in ROWS}
    tops = row_tops(heights, page)
    corners: dict[str, tuple[int, int]] = {}
    for text in texts:
        width, height = sizes[text.name]
        corners[text.name] = (across(width, text.side, page), tops[text.row] + page.padding)
        tops[text.row] += height + 2 * page.padding + page.gap
    return corners


ROWS: tuple[Row, ...] = ("top", "middle", "bottom")


def row_height(heights: list[int], page: Page) -> int:
    """The height of blocks that stand below each other, padding and gaps included."""
    return sum(heights) + len(heights) * 2 * page.padding + page.gap * max(len(heights) - 1, 0)


def row_tops(heights: Mapping[Row, int], page: Page) -> dict[Row, int]:
    """Where each row begins: top and bottom at their inset, the middle at the centre or as near as they let it."""
    bottom = page.height - page.bottom - heights["bottom"]
    above = page.top + heights["top"] + (page.gap if heights["top"] else 0)
    below = bottom - (page.gap if heights["bottom"] else 0)
    middle = (page.height - heights["middle"]) // 2
    return {"top": page.top, "middle": max(min(middle, below - heights["middle"]), above), "bottom": bottom}


def across(width: int, side: Side, page: Page) -> int:
    """The left edge of ink `width` px wide on that side of the page."""
    if side == "left":
        return page.left + page.padding
    if side == "right":
        return page.width - page.right - page.padding - width
    centred = (page.width - width) // 2
    low, high = page.left + page.padding, page.width - page.right - page.padding - width
    return max(min(centred, high), low)
