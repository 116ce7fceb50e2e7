"""The overlay trick: a title, a subtitle, an author and free text on a finished picture, which may become a cover.

picture = text over box over picture, where the ink is      no paper: this is a typesetter's craft

Texts are wrapped and sized to fit (`text.typesetting`), placed apart from each other (`text.layout`), set in the first
font that has each sign, and painted so that they can be read (`text.lettering`). What is written is one transparent
layer: `lettering(image, options).layer`. Needs no model: `Overlay(title="...").finish_image(None, image, 0)`.
No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from PIL import Image
from pydantic import field_validator, model_validator

from diffusion_tricks.plugin import (
    FONT_FILES,
    SHIPPED,
    Trick,
    TrickOptions,
    Typeface,
    UsageError,
    find_typeface,
    hookimpl,
    option,
    stack_for,
)
from diffusion_tricks_plugins.text import covers, inking
from diffusion_tricks_plugins.text.breaking import hyphenated
from diffusion_tricks_plugins.text.color import Color, on_paper, parse_color
from diffusion_tricks_plugins.text.covers import Sheet
from diffusion_tricks_plugins.text.layout import Page, Row, Side, Spot, Wanted
from diffusion_tricks_plugins.text.legibility import THUMBNAIL, Way
from diffusion_tricks_plugins.text.lettering import Lettering, Style, letter, moved
from diffusion_tricks_plugins.text.typesetting import capitals, clean

POSITIONS = (
    "auto", "below", "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right",
)  # fmt: skip
SPOT = re.compile(r"\s*(\d{1,6}(?:px)?|\d{1,3}(?:\.\d+)?%)\s*,\s*(\d{1,6}(?:px)?|\d{1,3}(?:\.\d+)?%)\s*")
Name = Literal["title", "subtitle", "author", "text"]
NAMES: tuple[Name, ...] = ("title", "subtitle", "author", "text")
WEIGHTS = {"title": 0.34, "subtitle": 0.14, "author": 0.13, "text": 0.35}
LEADING = {"title": 0.84, "subtitle": 0.9, "author": 0.9, "text": 1.0}  # of the font's own distance between lines
EASY = {"title": 10, "subtitle": 8, "author": 8, "text": 8}  # px
SPINE_WIDTHS = {"title": 0.64, "author": 0.32}  # of a spine's length
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
POSITION = "; or X,Y, each in px from the left or top, or in % of what the text leaves free, as 50%,120"


def size_of(name: str) -> Any:
    """The option for the size of a text."""
    return option(None, f"{name} size in px; else as large as suits and fits", needs=[name], ge=1, le=10_000)


def font_of(name: str) -> Any:
    """The option for the font of a text."""
    return option(None, f"a font for the {name}, as `font`; else that of all", path=FONT_FILES, needs=[name])


def position_of(name: str, more: str) -> Any:
    """The option for the place of a text."""
    return option("auto", f"where the {name} stands, as top-left, top, center, below; {more}{POSITION}", needs=[name])


def color_of(name: str) -> Any:
    """The option for the colour of a text's letters."""
    return option("auto", f"of the {name}'s letters; auto: as the color of all", needs=[name])


class OverlayOptions(TrickOptions):
    """What to write on the picture, and how. Lengths in px of the picture."""

    title: str | None = option(None, "the title; \\n begins a line, here and in all texts")
    subtitle: str | None = option(None, "the subtitle")
    author: str | None = option(None, "the author's name")
    text: str | None = option(None, "free text; newlines are kept")
    preset: Literal["cover", "poster", "caption"] = option(
        "cover", "cover: title top, author below it; poster: author at the foot; caption: all at the foot, on a box"
    )
    format: covers.Format = option(
        "picture", "a cover's size: ebook 1600x2560 px, audio 3000x3000 px, or in inches at 300 dpi with bleed; "
        "picture: as it is"
    )  # fmt: skip
    pages: int | None = option(
        None, "of a printed book: makes back, spine and front in one, the spine as thick as they are", needs=["format"],
        ge=1,
    )  # fmt: skip
    paper: covers.Paper = option("white", "on which the pages are printed", needs=["pages"])
    font: str | None = option(
        None, "a font file or a family, installed or Noto Serif; signs that it lacks come from others", path=FONT_FILES
    )
    title_font: str | None = font_of("title")
    subtitle_font: str | None = font_of("subtitle")
    author_font: str | None = font_of("author")
    text_font: str | None = font_of("text")
    font_fallback: bool = option(
        False, "where a font cannot be had, use the built-in one and say so",
        needs=["font", *(f"{name}_font" for name in NAMES)],
    )  # fmt: skip
    title_size: int | None = size_of("title")
    subtitle_size: int | None = size_of("subtitle")
    author_size: int | None = size_of("author")
    text_size: int | None = size_of("text")
    min_size: int | None = option(
        None, "the least automatic size in px; words are divided before letters get smaller", ge=1, le=10_000
    )
    language: str = option(
        "auto", "of hyphens and capitals, as de or pt_BR; auto: English, Russian or Greek by letters"
    )
    hyphenate: bool = option(True, "divide words by the rules of the language, where they would get too small")
    caps: list[Name] = option([], "set a text in capitals; may be given for several")
    letter_spacing: float = option(0.0, "between letters, in sizes of the letters, as 0.1", ge=-0.2, le=2)
    title_position: str = position_of("title", "auto: as the preset says")
    subtitle_position: str = position_of("subtitle", "below: under the title")
    author_position: str = position_of("author", "below: under title and subtitle")
    text_position: str = position_of("text", "below: under the others")
    align: Literal["auto", "left", "center", "right"] = option("auto", "of lines; auto: towards the text's side")
    margin: int | None = option(None, "px from the picture's edge to the ink or box; else 50, less if small", ge=0)
    spacing: int | None = option(None, "px between title, author and text; else 20, less if small", ge=0)
    max_width: float = option(1.0, "the widest a line may be, as a share of the width inside the margins", gt=0, le=1)
    line_spacing: float = option(1.0, "line distance, 1 being the font's own", ge=0.5, le=5)
    color: str = option("auto", "of the letters; auto: black or white, whichever contrasts more with what is under it")
    title_color: str = color_of("title")
    subtitle_color: str = color_of("subtitle")
    author_color: str = color_of("author")
    text_color: str = color_of("text")
    contrast: float | None = option(
        None,
        "the contrast of every letter that is to be reached; else WCAG's 4.5, or 3 for 18 pt and more",
        ge=1,
        le=21,
    )
    backing: Way = option(
        "auto", "what is laid under letters until they can be read; auto: scrim, or box, under those of automatic color"
    )
    stroke: int = option(0, "outline of the letters in px, 0 for none", ge=0, le=200)
    stroke_color: str = option(
        "auto", "of the outline; auto: black or white, whichever sets off the letters", needs=["stroke"]
    )
    shadow: tuple[int, int] = option((0, 0), "the shadow's offset in px, right and down; 0 0 for none")
    shadow_blur: float = option(0.0, "the shadow's softness, sigma in px; without an offset: a glow", ge=0, le=500)
    shadow_color: str = option(
        "auto", "of the shadow; auto: black or white, whichever sets off the letters", needs=["shadow", "shadow_blur"]
    )
    box: str = option("auto", "colour behind each text, as #rrggbbaa to let the picture through; none; auto: preset")
    box_padding: int | None = option(None, "px from the ink to the box's edge; else as the spacing", ge=0)

    @field_validator(*NAMES, "font", *(f"{name}_font" for name in NAMES), mode="before")
    @classmethod
    def empty_is_none(cls, value: Any) -> Any:
        """Empty strings count as not given."""
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator(*NAMES)
    @classmethod
    def cleaned(cls, value: str | None) -> str | None:
        """Text as it will be set; see `typesetting.clean`."""
        return (clean(value) or None) if value else None

    @field_validator(*(f"{name}_position" for name in NAMES))
    @classmethod
    def is_position(cls, value: str) -> str:
        """A named place, or one across and one down."""
        shares = [float(part[:-1]) for part in re.findall(r"[\d.]+%", value)]
        if value not in POSITIONS and (not SPOT.fullmatch(value) or max(shares, default=0) > 100):
            raise ValueError(f"expected {', '.join(POSITIONS)}, or X,Y in px or 0% to 100%, as 50%,120; got {value!r}")
        return value

    @field_validator("language")
    @classmethod
    def has_patterns(cls, value: str) -> str:
        """A language that words can be divided in."""
        try:
            hyphenated("", value)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("color", *(f"{name}_color" for name in NAMES), "stroke_color", "shadow_color", "box")
    @classmethod
    def is_color(cls, value: str, info: Any) -> str:
        """A colour that Pillow reads, "auto", or for the box "none"."""
        free = {"auto", "none"} if info.field_name == "box" else {"auto"}
        try:
            if value not in free:
                parse_color(value)
        except ValueError:
            words = " or ".join(sorted(free))
            raise ValueError(f"expected {words}, a colour name or #rrggbb, got {value!r}") from None
        return value

    @model_validator(mode="after")
    def says_something(self) -> OverlayOptions:
        """At least one text is given."""
        if not any(getattr(self, name) for name in NAMES):
            raise ValueError(f"nothing to write; give at least one of {', '.join(NAMES[:-1])} and {NAMES[-1]}")
        return self

    @model_validator(mode="after")
    def is_a_cover(self) -> OverlayOptions:
        """The pages are of a book that can be bound."""
        try:
            sheet_of(self)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self


class Overlay(Trick[OverlayOptions]):
    """Writes title, subtitle, author and text on the finished picture; works alone, without a model."""

    name = "overlay"

    @hookimpl
    def finish_image(
        self, run: Any, image: Image.Image, index: int, facts: dict[str, Any] | None = None
    ) -> Image.Image:
        """A copy of `image` with the text on it, in the same mode (RGB or RGBA; others become RGB or RGBA).

        It has the same size, and only pixels under ink, shadow, box or scrim change, unless `format` makes a cover of
        it. How the texts are set and how well they are read is added to `facts`. Raises `UsageError` for text that does
        not fit, an unknown font, and signs that no font has.
        """
        if image.mode not in {"RGB", "RGBA"}:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        page, notes = on_sheet(image, self.options)
        written = lettering(page, self.options)
        told(facts if facts is not None else {}, self.options, written, notes)
        return with_layer(page, written.layer)

    def notes(self) -> list[str]:
        """That the built-in font took the place of those that cannot be had."""
        faces = [typeface_of(self.options, name) for name in NAMES if getattr(self.options, name)]
        return list(dict.fromkeys(note for _, note in faces if note))


def with_layer(image: Image.Image, layer: Image.Image) -> Image.Image:
    """The RGB or RGBA picture with the layer over it; where the layer is empty, pixels keep their values."""
    canvas = image.copy()
    canvas.info = {}  # else a transparent colour of the file would become alpha
    canvas = canvas.convert("RGBA")
    canvas.alpha_composite(layer)
    result = canvas.convert(image.mode)
    result.info = dict(image.info)
    return result


def sheet_of(options: OverlayOptions) -> Sheet | None:
    """The page of a cover, None where the picture stays as it is."""
    if options.format == "picture":
        return None
    return covers.sheet_of(options.format, options.pages, options.paper)


def on_sheet(image: Image.Image, options: OverlayOptions) -> tuple[Image.Image, list[str]]:
    """The picture on the page of its cover, if it becomes one, with notes."""
    sheet = sheet_of(options)
    if sheet is None:
        return image, []
    page, notes = covers.laid(image, sheet)
    page.info = {**image.info, **({"dpi": (sheet.dpi, sheet.dpi)} if sheet.dpi else {})}
    return page, notes


def lettering(image: Image.Image, options: OverlayOptions) -> Lettering:
    """All that is written on a picture, or on a cover's page: a transparent layer of its size, and what to say of it.

    image: any that `on_paper` takes, in sRGB; it only decides colours, and what is laid under letters.
    """
    seen, sheet = on_paper(image), sheet_of(options)
    texts, style = wanted_texts(options), style_of(options, sheet)
    colors: dict[str, Color | None] = {name: color_asked(options, name) for name in NAMES}
    if sheet is None:
        return letter(seen, texts, colors, page_of(seen.size, options), style)
    front = letter(seen.crop(sheet.front), texts, colors, page_of_cover(sheet, options), style)
    whole = moved(front, sheet.front[:2], sheet.size)
    if sheet.spine_text is None:
        return whole
    return joined(whole, on_spine(seen, sheet.spine_text, texts, colors, style))


def joined(one: Lettering, other: Lettering) -> Lettering:
    """What is written on two parts of one page."""
    layer = Image.alpha_composite(one.layer, other.layer)
    return Lettering(layer, one.texts | other.texts, [*one.notes, *other.notes])


def on_spine(
    seen: Image.Image, room: tuple[int, int, int, int], texts: list[Wanted], colors: Mapping[str, Color | None],
    style: Style,
) -> Lettering:  # fmt: skip
    """Title and author along a spine, read from the top downwards."""
    spine = seen.crop(room).transpose(Image.Transpose.ROTATE_90)
    page = Page(*spine.size, 0, 0, 0, 0, 0, 0)
    ends: dict[str, Side] = {"title": "left", "author": "right"}
    set_in = [
        replace(text, text=text.text.replace("\n", " "), size=None, share=0.5, weight=1.0, min_size=None, language="",
                row="middle", side=ends[text.name], align=ends[text.name], max_width=SPINE_WIDTHS[text.name],
                spot=(Spot(share=0.0 if text.name == "title" else 1.0), Spot(share=0.5)))
        for text in texts if text.name in ends
    ]  # fmt: skip
    if not set_in:
        return Lettering(Image.new("RGBA", seen.size))
    written = letter(spine, set_in, colors, page, style)
    layer = Image.new("RGBA", seen.size)
    layer.paste(written.layer.transpose(Image.Transpose.ROTATE_270), room[:2])
    said = {f"spine {name}": turned(facts, room) for name, facts in written.texts.items()}
    return Lettering(layer, said, [f"spine: {note}" for note in written.notes])


def turned(facts: dict[str, Any], room: tuple[int, int, int, int]) -> dict[str, Any]:
    """What is said of a text on a spine, its box as it stands on the cover; nobody reads it in a small copy."""
    left, top, right, bottom = facts["box"]
    box = [room[2] - bottom, room[1] + left, room[2] - top, room[1] + right]
    return {key: value for key, value in facts.items() if key != "thumbnail"} | {"box": box}


def told(facts: dict[str, Any], options: OverlayOptions, written: Lettering, notes: list[str]) -> None:
    """Adds to the facts of a picture how its texts are set, in which fonts, and what a small copy shows of them."""
    texts = [*facts.get("texts", ()), *({"name": name, **said} for name, said in written.texts.items())]
    facts["texts"] = texts
    facts["fonts"] = list(dict.fromkeys(font["name"] for text in texts for font in text["fonts"]))
    if sheet := sheet_of(options):
        facts["cover"] = covers.facts_of(options.format, sheet)
    if notes := [*notes, *written.notes, *small_notes(options, written)]:
        facts["notes"] = [*facts.get("notes", ()), *(f"overlay: {note}" for note in notes)]


def small_notes(options: OverlayOptions, written: Lettering) -> list[str]:
    """That a cover's title cannot be read in a small copy, if so."""
    title = written.texts.get("title")
    if title is None or options.format == "picture" or title["thumbnail"]["legible"]:
        return []
    small = title["thumbnail"]
    return [
        f"in a shop's list, {THUMBNAIL} px high, the title cannot be read: its capitals are {small['capitals']} px "
        f"high with a contrast of {small['contrast']}; shorten it, or give a larger `title_size`"
    ]


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
