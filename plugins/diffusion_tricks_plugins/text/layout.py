"""Layout: blocks of text on a page, at sizes that fit, in places that never overlap.

Every block stands in a row (top, middle, bottom); blocks of one row stand below each other. Sizes are found so that
all of them together are no higher than the page, so the rows cannot meet. Craft, not science: there is no paper
behind this. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from diffusion_tricks.plugin import Stack, UsageError, direction_of
from diffusion_tricks_plugins.text.typesetting import SMALLEST, Block, Breaks, Face, largest, set_block

Row = Literal["top", "middle", "bottom"]
Side = Literal["left", "center", "right"]

LEGIBLE = 7  # px; words are broken before letters get smaller
FLOOR = 0.4  # of the size that suits the page; words are divided before letters get smaller


@dataclass(frozen=True)
class Spot:
    """A place on one axis: px from the edge, or a share of what the block leaves free, 0.5 being the middle."""

    px: int | None = None
    share: float = 0.0

    def start(self, whole: int, block: int) -> int:
        """Where a block of so many px begins in so many."""
        return round(self.share * (whole - block)) if self.px is None else self.px


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
    stack: Stack
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
    letter_spacing: float = 0.0  # between signs, in sizes
    min_size: int | None = None  # px, the smallest automatic size
    language: str = ""  # of hyphens, empty for none; see `breaking.hyphenated`
    spot: tuple[Spot, Spot] | None = None  # across and down; None for its row and side

    def face(self, size: int) -> Face:
        """The face that sets this text at `size` px."""
        return Face(self.stack, size, self.stroke, self.line_spacing, direction_of(self.text), self.letter_spacing)

    def set(self, size: int, box: tuple[int, int], breaks: Breaks | None = None) -> Block | None:
        """The block at `size` px within `box`, or None; see `set_block`. No `breaks`: the gentlest that do."""
        if breaks is None:
            return next((block for each in get_args(Breaks) if (block := self.set(size, box, each))), None)
        return set_block(self.text, self.face(size), box, even=self.even, breaks=breaks, language=self.language)

    @property
    def even(self) -> bool:
        """Centred lines look best evened out; flush ones are left as they fall."""
        return self.align == "center"


def fit_all(texts: Sequence[Wanted], page: Page) -> dict[str, Block]:
    """The block of every text, by name, all of them within the page's room. Raises `UsageError` if they do not fit.

    Those that stand in a spot of their own take no room from the others. Given sizes are served first; of the automatic
    ones the title last, which so gets whatever the others leave.
    """
    free = {text.name: fit(text, page, page.room[1]) for text in texts if text.spot}
    rows = [text for text in texts if not text.spot]
    left = page.room[1] - page.gap * (len(rows) - 1)
    queue = sorted(rows, key=lambda text: (text.size is None, text.weight))
    blocks: dict[str, Block] = free
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
    return text.set(max(title.face.size, text.min_size or 1), box) or block


def fit(text: Wanted, page: Page, height: int) -> Block:
    """The block of one text, at its given size or at an automatic one, no higher than `height` with its padding."""
    box = (int(page.room[0] * text.max_width) - 2 * page.padding, height - 2 * page.padding)
    return fit_automatic(text, page, box) if text.size is None else fit_given(text, text.size, page, box)


def fit_given(text: Wanted, size: int, page: Page, box: tuple[int, int]) -> Block:
    """The block at the given size. Raises `UsageError` naming the largest that fits."""
    block = text.set(size, box)
    if block is None:
        best = largest(1, size - 1, lambda px: text.set(px, box))
        advice = f"the largest that fits is {best.face.size}" if best else "no size does: shorten the text"
        raise UsageError(f"{text.name}: size {size} does not fit in a picture of {page.named}; {advice}")
    return block


def fit_automatic(text: Wanted, page: Page, box: tuple[int, int]) -> Block:
    """The block at the share of the page it should have, or smaller until it fits.

    Down to the least size words stay whole, first within the text's share of the height, then within all the room; then
    they are divided at hyphens, then anywhere. Where no least size is given and all this fails, letters get smaller.
    Raises `UsageError` if the text does not fit.
    """
    wanted = max(round(text.share * min(page.height, 1.5 * page.width)), text.easy, text.min_size or 0)
    least = text.min_size or min(max(round(FLOOR * wanted), LEGIBLE), wanted)
    share = (box[0], min(box[1], round(text.weight * page.room[1])))
    half = max(wanted // 2, least)
    attempts: list[tuple[tuple[int, int], int, int, Breaks]] = [
        (share, half, wanted, "words"), (box, least, wanted, "words"), (share, least, half, "hyphens"),
        (box, least, half, "hyphens"), (box, least, half, "letters"),
    ]  # fmt: skip
    if text.min_size is None:
        attempts += [(box, SMALLEST, least - 1, "words"), (box, SMALLEST, least - 1, "letters")]
    for room, low, high, breaks in attempts:
        block = largest(low, high, lambda px: text.set(px, room, breaks))  # noqa: B023
        if block is not None:
            return block
    raise UsageError(_too_long(text, page, box))


def _too_long(text: Wanted, page: Page, box: tuple[int, int]) -> str:
    """The message about a text that does not fit at any size, or not at the least that was given."""
    if text.min_size is None:
        return f"{text.name}: the text is too long for a picture of {page.named}, even at {SMALLEST} px; shorten it"
    best = largest(1, text.min_size - 1, lambda px: text.set(px, box))
    advice = f"give a `min_size` of {best.face.size} or less, or shorten it" if best else "shorten it"
    why = f"the text is too long for a picture of {page.named} at the `min_size` of {text.min_size} px"
    return f"{text.name}: {why}; {advice}"


def place(sizes: Mapping[str, tuple[int, int]], texts: Sequence[Wanted], page: Page) -> dict[str, tuple[int, int]]:
    """The top left corner in px of every block's ink, given the ink's size: rows apart, inside the page's insets."""
    rows = [text for text in texts if not text.spot]
    heights = {row: row_height([sizes[text.name][1] for text in rows if text.row == row], page) for row in ROWS}
    tops = row_tops(heights, page)
    corners: dict[str, tuple[int, int]] = {}
    for text in texts:
        width, height = sizes[text.name]
        if text.spot:
            corners[text.name] = at_spot(text, text.spot, (width, height), page)
            continue
        corners[text.name] = (across(width, text.side, page), tops[text.row] + page.padding)
        tops[text.row] += height + 2 * page.padding + page.gap
    return corners


def at_spot(text: Wanted, spot: tuple[Spot, Spot], size: tuple[int, int], page: Page) -> tuple[int, int]:
    """The corner of a block that stands where it was said. Raises `UsageError` where it would leave the picture."""
    x, y = spot[0].start(page.width, size[0]), spot[1].start(page.height, size[1])
    if x < 0 or y < 0 or x + size[0] > page.width or y + size[1] > page.height:
        raise UsageError(
            f"{text.name}: at {x},{y} its {size[0]} x {size[1]} px leave the picture of {page.named}; its corner may "
            f"be at most at {page.width - size[0]},{page.height - size[1]}"
        )
    return x, y


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
