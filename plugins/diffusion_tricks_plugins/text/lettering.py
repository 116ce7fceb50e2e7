"""Lettering: everything that is written on a page, as one transparent layer and a report of how well it is read.

    picture over which the layer is laid = letters over strokes over shadows over boxes over scrims over picture

The layer alone decides what changes, so a picture of any depth and colour space can take it. No paper: this is a
typesetter's craft. No torch here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from PIL import Image

from diffusion_tricks_plugins.text import inking, legibility
from diffusion_tricks_plugins.text.color import Color, named, opposite
from diffusion_tricks_plugins.text.inking import Corner, Ink, lay, paint
from diffusion_tricks_plugins.text.layout import Page, Wanted, fit_all, place
from diffusion_tricks_plugins.text.legibility import Backing, Ground, Reading, Way
from diffusion_tricks_plugins.text.typesetting import Block

AROUND = 0.3  # of the letters' size: how far a box reaches around them
FADE = 0.28  # sizes over which a scrim fades out
SPARE = 2  # px more of a scrim than is measured, as letters' edges are soft


@dataclass(frozen=True)
class Style:
    """How the texts of a page are painted. Colours that are None are black or white, whichever sets off the letters.

    box: behind every text, None for none. least: the contrast to reach, None for what WCAG asks for. dpi: px to an
    inch on paper, None for a screen.
    """

    stroke: int = 0
    stroke_color: Color | None = None
    shadow: tuple[int, int] = (0, 0)
    shadow_blur: float = 0.0
    shadow_color: Color | None = None
    box: Color | None = None
    least: float | None = None
    way: Way = "auto"
    dpi: int | None = None

    @property
    def casts_shadow(self) -> bool:
        """Whether letters have a shadow."""
        return self.shadow != (0, 0) or self.shadow_blur > 0

    @property
    def paints_under(self) -> bool:
        """Whether anything of the letters' shape is painted under them."""
        return self.casts_shadow or self.stroke > 0


@dataclass(frozen=True)
class Lettering:
    """A transparent layer of a page's size with all that is written on it, and what is to be said of it."""

    layer: Image.Image
    texts: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Placed:
    """A text with its ink in its place, and how it is painted."""

    wanted: Wanted
    block: Block
    ink: Ink
    corner: Corner
    style: Style
    asked: Color | None  # of the letters, None for black or white
    color: Color = (0, 0, 0, 255)
    backing: Backing = field(default_factory=Backing)

    @property
    def size(self) -> int:
        """Of its letters, in px."""
        return self.block.face.size

    @property
    def least(self) -> float:
        """The contrast that it needs."""
        return self.style.least or legibility.needed(self.size, self.style.dpi)

    @property
    def way(self) -> Way:
        """How it may be helped; a colour that was asked for stands as it is, unless help was asked for as well."""
        return "none" if self.asked and self.style.way == "auto" else self.style.way

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of its ink."""
        return (*self.corner, self.corner[0] + self.ink.outline.width, self.corner[1] + self.ink.outline.height)

    @property
    def reach(self) -> int:
        """How many px around its letters their ground is looked at."""
        return legibility.reach_of(self.size)

    def settle(self, seen: Image.Image, mates: Sequence[Placed]) -> None:
        """Chooses its colour and what is laid under it, on the RGB page `seen`, as its `mates` in the row have it."""
        veiled = [mate.color for mate in mates if mate.backing.kind == "scrim" and not mate.asked]
        colors = [self.asked] if self.asked else veiled[:1] or legibility.CANDIDATES
        self.color, self.backing = legibility.settled(
            self.ground(seen), self.ink, colors, self.size, self.least, self.way
        )  # fmt: skip

    def in_row_with(self, other: Placed) -> bool:
        """Whether both stand in one row, none in a spot of its own."""
        return self.wanted.row == other.wanted.row and not self.wanted.spot and not other.wanted.spot

    def read_on(self, seen: Image.Image) -> Reading | None:
        """How well it is read on the RGB page `seen`, which has all but letters."""
        return legibility.reading(cut(seen, self.box, self.reach), self.ink, self.color, self.reach)

    def ground(self, seen: Image.Image) -> Ground:
        """What is seen under its letters on the RGB page `seen`, with its own backing, shadow and stroke."""
        part = cut(seen, self.box, self.reach)

        def ground(color: Color, backing: Backing) -> Image.Image:
            page = part
            if backing.kind in {"scrim", "box"}:
                veil = Image.new("RGB", page.size, backing.color[:3])
                page = Image.blend(page, veil, backing.color[3] / 255)
            if backing.kind == "stroke" or self.style.paints_under:
                page = page.convert("RGBA")
                self.paint_under(page, (self.reach, self.reach), color, backing)
            return page.convert("RGB")

        return ground

    def paint_under(self, page: Image.Image, corner: Corner, color: Color, backing: Backing) -> None:
        """Paints its shadow and stroke on the RGBA `page` in place, as for letters of `color`."""
        style = self.style
        if style.casts_shadow:
            mask, soft = inking.shadow(self.ink.outline, style.shadow_blur)
            at = (corner[0] - soft + style.shadow[0], corner[1] - soft + style.shadow[1])
            paint(page, mask, style.shadow_color or opposite(color), at)
        if backing.kind == "stroke":
            mask, out = inking.widened(self.ink.outline, backing.width)
            paint(page, mask, backing.color, (corner[0] - out, corner[1] - out))
        if style.stroke:
            paint(page, self.ink.outline, style.stroke_color or opposite(color), corner)

    def paint_letters(self, page: Image.Image) -> None:
        """Paints its letters on the RGBA `page` in place."""
        paint(page, self.ink.letters, self.color, self.corner)
        if self.ink.colours:
            lay(page, self.ink.colours, self.corner)


def cut(page: Image.Image, box: tuple[int, int, int, int], reach: int) -> Image.Image:
    """The part of `page` in `box` and `reach` px around; outside of the page it goes on as at its edge."""
    left, top, right, bottom = box[0] - reach, box[1] - reach, box[2] + reach, box[3] + reach
    rows = np.clip(np.arange(top, bottom), 0, page.height - 1)
    columns = np.clip(np.arange(left, right), 0, page.width - 1)
    if (left, top, right, bottom) == clipped(left, top, right, bottom, page.size):
        return page.crop((left, top, right, bottom))
    return Image.fromarray(np.asarray(page)[rows][:, columns])


def clipped(left: int, top: int, right: int, bottom: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a box that is on a page of that size."""
    return max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])


def letter(
    seen: Image.Image, texts: Sequence[Wanted], colors: Mapping[str, Color | None], page: Page, style: Style
) -> Lettering:  # fmt: skip
    """All texts, laid out on `page` and painted to be read on `seen`, an 8-bit sRGB picture of its size.

    colors: of the letters of each text by its name, None for black or white. Raises `UsageError` for texts that do not
    fit, and for signs that no font has.
    """
    placed, layer = laid_out(texts, colors, page, style), Image.new("RGBA", seen.size)
    for text in placed:
        if style.box:
            inking.paint_box(layer, text.box, page.padding, style.box)
    boxes = layer.copy()
    for text, earlier in [(text, placed[:i]) for i, text in enumerate(placed)]:
        text.settle(over(seen, layer), [mate for mate in earlier if mate.in_row_with(text)])
        layer = veiled(boxes, placed) if text.backing.kind == "scrim" else layer
    for text in placed:
        back_up(text, over(seen, layer))
    for text in placed:
        if text.backing.kind == "box":
            inking.paint_box(layer, text.box, max(round(AROUND * text.size), page.padding), text.backing.color)
    for text in placed:
        text.paint_under(layer, text.corner, text.color, text.backing)
    without = over(seen, layer)
    for text in placed:
        text.paint_letters(layer)
    return Lettering(layer, *said(placed, without, over(seen, layer)))


def laid_out(
    texts: Sequence[Wanted], colors: Mapping[str, Color | None], page: Page, style: Style
) -> list[Placed]:  # fmt: skip
    """Every text at its size and in its place."""
    blocks = fit_all(texts, page)
    inks = {text.name: inking.ink(blocks[text.name], text.align) for text in texts}
    corners = place({name: ink.outline.size for name, ink in inks.items()}, texts, page)
    return [Placed(t, blocks[t.name], inks[t.name], corners[t.name], style, colors[t.name]) for t in texts]


def over(seen: Image.Image, layer: Image.Image) -> Image.Image:
    """The RGB picture with the layer on it."""
    page = seen.convert("RGBA")
    page.alpha_composite(layer)
    return page.convert("RGB")


def veiled(layer: Image.Image, placed: Sequence[Placed]) -> Image.Image:
    """A copy of the layer with the scrims; those of one colour are one, as strong everywhere as the strongest."""
    layer, veils = layer.copy(), dict[Color, Image.Image]()
    for text in placed:
        if text.backing.kind == "scrim":
            red, green, blue, strength = text.backing.color
            veil = veils.setdefault((red, green, blue, 255), Image.new("L", layer.size))
            mask, room = legibility.scrim_mask(text.ink, text.reach + SPARE, max(round(FADE * text.size), 1))
            mask = mask.point([round(value * strength / 255) for value in range(256)])
            inking.lighten(veil, mask, (text.corner[0] - room, text.corner[1] - room))
    for color, veil in veils.items():
        paint(layer, veil, color, (0, 0))
    return layer


def back_up(text: Placed, seen: Image.Image) -> None:
    """Gives a text a box where what was laid under others spoilt what was laid under it."""
    if text.way == "none" or text.backing.kind in {"box", "stroke"}:
        return
    ground = text.ground(seen)
    found = legibility.reading(ground(text.color, Backing()), text.ink, text.color, text.reach)
    if found and found.contrast < text.least:
        _, text.backing = legibility.settled(ground, text.ink, [text.color], text.size, text.least, "box")


def said(
    placed: Sequence[Placed], without: Image.Image, lettered: Image.Image
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What is to be said of every text by its name, and notes of what is hard to read or overlaps."""
    small, small_lettered = legibility.small(without), legibility.small(lettered)
    facts, notes = dict[str, dict[str, Any]](), list[str]()
    for text in placed:
        found = text.read_on(without)
        coverage = Image.new("L", without.size)
        coverage.paste(text.ink.letters, text.corner)
        facts[text.wanted.name] = facts_of(text, found) | {
            "thumbnail": legibility.thumbnail(small, small_lettered, coverage, text.block.face.cap_height)
        }
        if found and found.contrast < text.least:
            notes.append(hard_to_read(text, found))
    notes += [
        f"{one.wanted.name} and {other.wanted.name} overlap; move one of them"
        for one, other in combinations(placed, 2)
        if overlap(one.box, other.box)
    ]
    return facts, notes


def facts_of(text: Placed, found: Reading | None) -> dict[str, Any]:
    """How a text is set: lines, size, fonts, box, colours, and its contrast with the letter that has the least."""
    face, backing = text.block.face, text.backing
    return {
        "lines": list(text.block.lines), "size": text.size,
        "fonts": [
            {"name": font.name, "file": str(font.path) if font.path else None}
            for font in face.stack.fonts_of("\n".join(text.block.lines))
        ],
        "box": list(text.box), "color": named(text.color),
        "backing": None if backing.kind == "none" else backing.kind,
        "backing_color": None if backing.kind == "none" else named(backing.color),
        "contrast": round(found.contrast, 2) if found else None, "contrast_needed": text.least,
        "worst": found.worst if found else None,
    }  # fmt: skip


def hard_to_read(text: Placed, found: Reading) -> str:
    """The note about a text of too little contrast."""
    name = text.wanted.name
    return (
        f"{name} is hard to read: its contrast is {found.contrast:.1f} at {found.worst!r}, where {text.least:g} is "
        f"needed; leave `{name}_color` to auto, or give it a `backing`"
    )


def overlap(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two boxes (left, top, right, bottom) share a pixel."""
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3])


def moved(part: Lettering, corner: Corner, size: tuple[int, int]) -> Lettering:
    """The lettering of a part of a page, whose corner is there, as that of the whole page of `size`."""
    layer = Image.new("RGBA", size)
    layer.paste(part.layer, corner)
    texts = {name: said | {"box": list(inking.moved(tuple(said["box"]), corner))} for name, said in part.texts.items()}
    return dataclasses.replace(part, layer=layer, texts=texts)
