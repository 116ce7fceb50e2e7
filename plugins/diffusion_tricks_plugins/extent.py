"""How far a picture is extended: by so much at each side, or to a form, with its old part at a side of the new one."""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple

from diffusion_tricks.plugin import UsageError
from diffusion_tricks_plugins.masks.numbers import Length, Malformed, length

Size = tuple[int, int]  # width, height in pixels
Anchor = Literal[
    "center", "left", "right", "top", "bottom", "top-left", "top-right", "bottom-left", "bottom-right",
]  # fmt: skip
SIDES = ("left", "top", "right", "bottom")
FORM = "expected a ratio as 16:9, a size as 1600x900, or square"
BY = "expected sides with pixels or percent, as left=200,top=10%"


class Margins(NamedTuple):
    """Pixels that are added at each side."""

    left: int
    top: int
    right: int
    bottom: int

    def around(self, size: Size) -> Size:
        """The size of a picture with them."""
        return size[0] + self.left + self.right, size[1] + self.top + self.bottom


def sides_of(text: str) -> dict[str, Length]:
    """What "left=200,top=10%" says; `all` is of all four. Raises ValueError."""
    said: dict[str, Length] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in {*SIDES, "all"}:
            raise ValueError(f"{BY}, got {part.strip()!r}; sides are {', '.join(SIDES)} and all")
        try:
            by = length(value)
        except Malformed as error:
            raise ValueError(f"{name}: {error}") from None
        if by.value < 0:
            raise ValueError(f"{name}: {value} would cut the picture, and it is only extended; give 0 or more")
        for side in SIDES if name == "all" else (name,):
            if side in said:
                raise ValueError(f"{side} is said twice in {text!r}; say it once")
            said[side] = by
    return said


def form_of(text: str) -> tuple[float, float, bool]:
    """What "16:9", "1600x900" or "square" says: width, height, and whether in pixels. Raises ValueError."""
    if text.strip() == "square":
        return 1, 1, False
    number = r"\d+(?:\.\d+)?"
    if found := re.fullmatch(rf"\s*({number})\s*:\s*({number})\s*", text):
        wide, high, pixels = float(found[1]), float(found[2]), False
    elif found := re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", text):
        wide, high, pixels = float(found[1]), float(found[2]), True
    else:
        raise ValueError(f"{FORM}, got {text!r}")
    if not wide or not high or max(wide, high) > 1e5:
        raise ValueError(f"{FORM}, with sides above 0 and at most 100000, got {text!r}")
    return wide, high, pixels


def extended_by(text: str, size: Size) -> Margins:
    """The margins that `text` says of a picture of `size`: percent are of its width or height."""
    said = sides_of(text)
    by = {side: round(said[side].px(size[SIDES.index(side) % 2])) if side in said else 0 for side in SIDES}
    return Margins(**by)


def extended_to(text: str, anchor: Anchor, size: Size) -> Margins:
    """The margins that bring a picture of `size` to a form, none of it cut: of a ratio the smallest.

    anchor: where in the new picture the old one lies. Raises UsageError where the new one is smaller.
    """
    wide, high, pixels = form_of(text)
    whole = (int(wide), int(high)) if pixels else _around(size, wide, high)
    if whole[0] < size[0] or whole[1] < size[1]:
        raise UsageError(f"`to` {text} is smaller than the picture, of {size[0]} x {size[1]} pixels, and would cut it;"
                         " give a larger size, or a ratio as 16:9")  # fmt: skip
    across, down = whole[0] - size[0], whole[1] - size[1]
    left, top = _before(across, anchor, "left", "right"), _before(down, anchor, "top", "bottom")
    return Margins(left, top, across - left, down - top)


def _around(size: Size, wide: float, high: float) -> Size:
    """The smallest size of these proportions around a picture, as nearly as whole pixels come to them."""
    return max(size[0], math.floor(size[1] * wide / high + 0.5)), max(size[1], math.floor(size[0] * high / wide + 0.5))


def _before(added: int, anchor: Anchor, first: str, last: str) -> int:
    """How much of what is added lies before the picture: nothing where it is anchored there, all where at the end."""
    return 0 if first in anchor.split("-") else added if last in anchor.split("-") else added // 2
