"""From options to texts on a page: fonts, places, sizes, colours and room, as `layout` and `lettering` take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from diffusion_tricks.plugin import SHIPPED, Typeface, UsageError, find_typeface, stack_for
from diffusion_tricks_plugins.text import inking
from diffusion_tricks_plugins.text.color import Color, parse_color
from diffusion_tricks_plugins.text.covers import Sheet
from diffusion_tricks_plugins.text.layout import Page, Row, Side, Spot, Wanted
from diffusion_tricks_plugins.text.lettering import Style
from diffusion_tricks_plugins.text.options import NAMES, SPOT, OverlayOptions
from diffusion_tricks_plugins.text.typesetting import capitals

WEIGHTS = {"title": 0.34, "subtitle": 0.14, "author": 0.13, "text": 0.35}
LEADING = {"title": 0.84, "subtitle": 0.9, "author": 0.9, "text": 1.0}  # of the font's own distance between lines
EASY = {"title": 10, "subtitle": 8, "author": 8, "text": 8}  # px
GAP = 0.02  # of a cover's height, between texts
MARGIN, SPACING = 50, 20  # px, for pictures of 625 px and more


@dataclass(frozen=True)
class Preset:
    """Where texts stand, how large they are (shares of the height), and the box behind them."""

    positions: Mapping[str, str]
    shares: Mapping[str, float] = field(
        default_factory=lambda: {"title": 0.13, "subtitle": 0.045, "author": 0.05, "text": 0.03}
    )
    box: str = "none"


PRESETS = {
    "cover": Preset({"title": "top", "subtitle": "below", "author": "below", "text": "bottom"}),
    "poster": Preset({"title": "top", "subtitle": "below", "author": "bottom", "text": "center"}),
    "caption": Preset(
        {"title": "bottom", "subtitle": "bottom", "author": "bottom", "text": "bottom"},
        {"title": 0.06, "subtitle": 0.04, "author": 0.035, "text": 0.04},
        "#000000a8",
    ),
}


def style_of(options: OverlayOptions, sheet: Sheet | None) -> Style:
    """How all texts are painted."""
    stroke, shadow = (
        None if name == "auto" else parse_color(name) for name in (options.stroke_color, options.shadow_color)
    )
    return Style(
        options.stroke, stroke, options.shadow, options.shadow_blur, shadow, box_color(options), options.contrast,
        options.backing, sheet.dpi if sheet else None,
    )  # fmt: skip


def page_of_cover(sheet: Sheet, options: OverlayOptions) -> Page:
    """The room for text on a cover's front: what is safe from being cut off, or the margin if that is larger."""
    left, top, right, bottom = sheet.front
    page = page_of((right - left, bottom - top), options)
    safe = sheet.insets
    return replace(
        page, left=max(page.left, safe[0]), top=max(page.top, safe[1]), right=max(page.right, safe[2]),
        bottom=max(page.bottom, safe[3]), gap=round(GAP * page.height) if options.spacing is None else page.gap,
    )  # fmt: skip


def page_of(size: tuple[int, int], options: OverlayOptions) -> Page:
    """The room for text: margins, widened where a shadow reaches further."""
    small = min(min(size) * 0.08 / MARGIN, 1.0)
    margin = round(MARGIN * small) if options.margin is None else options.margin
    spacing = round(SPACING * small) if options.spacing is None else options.spacing
    padding = spacing if options.box_padding is None else options.box_padding
    reach = inking.shadow_reach(options.shadow, options.shadow_blur)
    left, top, right, bottom = (max(margin, side) for side in reach)
    return Page(*size, left, top, right, bottom, spacing, padding if box_color(options) else 0)


def box_color(options: OverlayOptions) -> Color | None:
    """The colour behind the texts, None for no box."""
    name = PRESETS[options.preset].box if options.box == "auto" else options.box
    return None if name == "none" else parse_color(name)


def wanted_texts(options: OverlayOptions) -> list[Wanted]:
    """The texts that are given, title first, each with fonts that have every sign of it."""
    preset, texts = PRESETS[options.preset], list[Wanted]()
    row, side = row_and_side(preset.positions["title"])
    for name in NAMES:
        text = getattr(options, name)
        position = getattr(options, f"{name}_position")
        position = preset.positions[name] if position == "auto" else position
        if text is None:
            continue
        spot = spot_of(position)
        row, side = (row, side) if position == "below" or spot else row_and_side(position)
        beside: Side = "center" if spot else side
        align = beside if options.align == "auto" else options.align
        text = capitals(text, options.language) if name in options.caps else text
        face, _ = typeface_of(options, name)
        texts.append(Wanted(
            name, text, stack_for(f"{text}-", [face]), getattr(options, f"{name}_size"), preset.shares[name],
            EASY[name], WEIGHTS[name], row, beside, align, options.stroke,
            options.line_spacing * LEADING[name], options.max_width, options.letter_spacing, options.min_size,
            options.language if options.hyphenate else "", spot,
        ))  # fmt: skip
    return texts


def spot_of(position: str) -> tuple[Spot, Spot] | None:
    """The place that "50%,120" names, None for one in words."""
    found = SPOT.fullmatch(position)
    if found is None:
        return None
    across, down = (
        Spot(share=float(part[:-1]) / 100) if part.endswith("%") else Spot(px=int(part.removesuffix("px")))
        for part in found.groups()
    )
    return across, down


def typeface_of(options: OverlayOptions, name: str) -> tuple[Typeface, str | None]:
    """The typeface asked for the text of that name; or the one inside where it may be replaced, and a note."""
    font = getattr(options, f"{name}_font") or options.font
    if font is None:
        return SHIPPED, None
    try:
        return find_typeface(font), None
    except UsageError as error:
        if not options.font_fallback:
            raise
        why, _, _ = str(error).partition(";")
        return SHIPPED, f"overlay: {why}, so the text is set in {SHIPPED.name}, the built-in font"


def color_asked(options: OverlayOptions, name: str) -> Color | None:
    """The colour asked for the text of that name, or for all; None for black or white."""
    own: str = getattr(options, f"{name}_color")
    color = options.color if own == "auto" else own
    return None if color == "auto" else parse_color(color)


def row_and_side(position: str) -> tuple[Row, Side]:
    """The row and the side that a position such as "top-left" or "left" names."""
    row = next((row for row in ("top", "bottom") if position.startswith(row)), "middle")
    side = next((side for side in ("left", "right") if position.endswith(side)), "center")
    return cast(Row, row), cast(Side, side)
