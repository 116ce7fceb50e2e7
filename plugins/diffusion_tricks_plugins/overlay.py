"""The overlay trick: a title, an author and free text on a finished picture.

picture = text over box over picture, where the ink is      no paper: this is a typesetter's craft

Title, author and text are wrapped and sized to fit (`typesetting`), placed apart from each other (`layout`), and
painted in a colour that can be read (`inking`). Needs no model: `Overlay(title="...").finish_image(None, image, 0)`.
No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from PIL import Image
from pydantic import field_validator, model_validator

from diffusion_tricks.plugin import (
    FONT_FILES,
    Trick,
    TrickOptions,
    Typeface,
    UsageError,
    check_glyphs,
    find_typeface,
    hookimpl,
    option,
)
from diffusion_tricks_plugins.text import inking
from diffusion_tricks_plugins.text.inking import Color, Ink
from diffusion_tricks_plugins.text.layout import Page, Row, Side, Wanted, fit_all, place
from diffusion_tricks_plugins.text.typesetting import clean

Position = Literal[
    "auto", "below", "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
]
NAMES = ("title", "author", "text")
WEIGHTS = {"title": 0.45, "author": 0.15, "text": 0.35}
EASY = {"title": 10, "author": 8, "text": 8}  # px
MARGIN, SPACING = 50, 20  # px, for pictures of 625 px and more


@dataclass(frozen=True)
class Preset:
    """Where texts stand, how large they are (shares of the height), and the box behind them."""

    positions: Mapping[str, str]
    shares: Mapping[str, float] = field(default_factory=lambda: {"title": 0.08, "author": 0.04, "text": 0.03})
    box: str = "none"


PRESETS = {
    "cover": Preset({"title": "top", "author": "below", "text": "bottom"}),
    "poster": Preset({"title": "top", "author": "bottom", "text": "center"}),
    "caption": Preset(
        {"title": "bottom", "author": "bottom", "text": "bottom"},
        {"title": 0.06, "author": 0.035, "text": 0.04},
        "#000000a8",
    ),
}


class OverlayOptions(TrickOptions):
    """What to write on the picture, and how. Lengths in px of the picture."""

    title: str | None = option(None, "the title")
    author: str | None = option(None, "the author's name")
    text: str | None = option(None, "free text; newlines are kept")
    preset: Literal["cover", "poster", "caption"] = option(
        "cover", "cover: title top, author below it; poster: author at the foot; caption: all at the foot, on a box"
    )
    font: str | None = option(None, "a font file or an installed family; else a built-in font", path=FONT_FILES)
    font_fallback: bool = option(
        False, "where that font cannot be had, use the built-in one and say so", needs=["font"]
    )
    title_size: int | None = option(
        None, "title size in px; else as large as suits and fits", needs=["title"], ge=1, le=10_000
    )
    author_size: int | None = option(None, "author size in px; else automatic", needs=["author"], ge=1, le=10_000)
    text_size: int | None = option(None, "text size in px; else automatic", needs=["text"], ge=1, le=10_000)
    title_position: Position = option("auto", "where the title stands; auto: as the preset says", needs=["title"])
    author_position: Position = option("auto", "where the author stands; below: under the title", needs=["author"])
    text_position: Position = option("auto", "where the text stands; below: under title and author", needs=["text"])
    align: Literal["auto", "left", "center", "right"] = option("auto", "of lines; auto: towards the text's side")
    margin: int | None = option(None, "px from the picture's edge to the ink or box; else 50, less if small", ge=0)
    spacing: int | None = option(None, "px between title, author and text; else 20, less if small", ge=0)
    max_width: float = option(1.0, "the widest a line may be, as a share of the width inside the margins", gt=0, le=1)
    line_spacing: float = option(1.0, "line distance, 1 being the font's own", ge=0.5, le=5)
    color: str = option("auto", "of the letters; auto: black or white, whichever contrasts more with what is under it")
    title_color: str = option("auto", "of the title's letters; auto: as the color of all", needs=["title"])
    author_color: str = option("auto", "of the author's letters; auto: as the color of all", needs=["author"])
    text_color: str = option("auto", "of the text's letters; auto: as the color of all", needs=["text"])
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

    @field_validator(*NAMES, "font", mode="before")
    @classmethod
    def empty_is_none(cls, value: Any) -> Any:
        """Empty strings count as not given."""
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator(*NAMES)
    @classmethod
    def cleaned(cls, value: str | None) -> str | None:
        """Text as it will be set; see `typesetting.clean`."""
        return (clean(value) or None) if value else None

    @field_validator("color", "title_color", "author_color", "text_color", "stroke_color", "shadow_color", "box")
    @classmethod
    def is_color(cls, value: str, info: Any) -> str:
        """A colour that Pillow reads, "auto", or for the box "none"."""
        free = {"auto", "none"} if info.field_name == "box" else {"auto"}
        try:
            if value not in free:
                inking.parse_color(value)
        except ValueError:
            words = " or ".join(sorted(free))
            raise ValueError(f"expected {words}, a colour name or #rrggbb, got {value!r}") from None
        return value

    @model_validator(mode="after")
    def says_something(self) -> OverlayOptions:
        """At least one text is given."""
        if not any(getattr(self, name) for name in NAMES):
            raise ValueError("nothing to write; give at least one of title, author and text")
        return self


class Overlay(Trick[OverlayOptions]):
    """Writes title, author and text on the finished picture; works alone, without a model."""

    name = "overlay"

    @hookimpl
    def finish_image(self, run: Any, image: Image.Image, index: int) -> Image.Image:
        """A copy of `image` with the text on it, of the same size and mode (RGB or RGBA; others become RGB or RGBA).

        Only pixels under ink, shadow or box change. Raises `UsageError` for text that does not fit, an unknown
        font, and characters that the font lacks.
        """
        if image.mode not in {"RGB", "RGBA"}:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        canvas = image.copy()
        icc = image.info.get("icc_profile")  # of the picture's space; a transparent colour would become alpha
        canvas.info = {"icc_profile": icc} if icc else {}
        canvas = canvas.convert("RGBA")
        write(canvas, self.options)
        result = canvas.convert(image.mode)
        result.info = dict(image.info)
        return result

    def notes(self) -> list[str]:
        """That the built-in font took the place of one that cannot be had."""
        _, note = typeface_of(self.options)
        return [note] if note else []


def write(canvas: Image.Image, options: OverlayOptions) -> None:
    """Lays all texts on the RGBA `canvas` in place: first the boxes, then the shadows, then the letters."""
    page, texts = page_of(canvas.size, options), wanted_texts(options)
    inks = {name: inking.ink(block, aligned(texts, name)) for name, block in fit_all(texts, page).items()}
    corners = place({name: ink.outline.size for name, ink in inks.items()}, texts, page)
    for name, ink in inks.items():
        draw_box(canvas, ink, corners[name], page.padding, box_color(options))
    colors = {name: letter_color(canvas, ink, corners[name], named_color(options, name)) for name, ink in inks.items()}
    for name, ink in inks.items():
        draw_shadow(canvas, ink, corners[name], colors[name], options)
    for name, ink in inks.items():
        draw_letters(canvas, ink, corners[name], colors[name], options)


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
    return None if name == "none" else inking.parse_color(name)


def wanted_texts(options: OverlayOptions) -> list[Wanted]:
    """The texts that are given, title first, checked for characters that the font lacks."""
    (face, _), preset = typeface_of(options), PRESETS[options.preset]
    texts: list[Wanted] = []
    row, side = row_and_side(preset.positions["title"])
    for name in NAMES:
        text = getattr(options, name)
        position = getattr(options, f"{name}_position")
        position = preset.positions[name] if position == "auto" else position
        if text is None:
            continue
        check_glyphs(text, face)
        row, side = (row, side) if position == "below" else row_and_side(position)
        align = side if options.align == "auto" else options.align
        texts.append(Wanted(
            name, text, face, getattr(options, f"{name}_size"), preset.shares[name], EASY[name],
            WEIGHTS[name], row, side, align, options.stroke, options.line_spacing, options.max_width,
        ))  # fmt: skip
    return texts


def typeface_of(options: OverlayOptions) -> tuple[Typeface, str | None]:
    """The typeface that is asked for; or the built-in one where that cannot be had and may be replaced, and a note."""
    try:
        return find_typeface(options.font), None
    except UsageError as error:
        if not options.font_fallback:
            raise
        why, _, _ = str(error).partition(";")
        face = find_typeface(None)
        return face, f"overlay: {why}, so the text is set in {face.name}"


def named_color(options: OverlayOptions, name: str) -> str:
    """The colour asked for the text of that name, or for all."""
    own: str = getattr(options, f"{name}_color")
    return options.color if own == "auto" else own


def row_and_side(position: str) -> tuple[Row, Side]:
    """The row and the side that a position such as "top-left" or "left" names."""
    row = next((row for row in ("top", "bottom") if position.startswith(row)), "middle")
    side = next((side for side in ("left", "right") if position.endswith(side)), "center")
    return cast(Row, row), cast(Side, side)


def aligned(texts: list[Wanted], name: str) -> Side:
    """How the lines of the text of that name are aligned."""
    return next(text.align for text in texts if text.name == name)


def letter_color(canvas: Image.Image, ink: Ink, corner: tuple[int, int], name: str) -> Color:
    """The colour of that name; for "auto" black or white, whichever contrasts more with what is under the letters."""
    if name != "auto":
        return inking.parse_color(name)
    return inking.readable_on(inking.luminance_under(canvas, ink.letters, corner))


def set_off(name: str, letters: Color) -> Color:
    """The colour of that name; for "auto" black or white, whichever sets off the letters."""
    return inking.opposite(letters) if name == "auto" else inking.parse_color(name)


def draw_box(canvas: Image.Image, ink: Ink, corner: tuple[int, int], padding: int, color: Color | None) -> None:
    """Lays a box behind the ink, `padding` px larger on every side."""
    if color is not None:
        size = (ink.outline.width + 2 * padding, ink.outline.height + 2 * padding)
        inking.paint(canvas, Image.new("L", size, 255), color, (corner[0] - padding, corner[1] - padding))


def draw_shadow(
    canvas: Image.Image, ink: Ink, corner: tuple[int, int], letters: Color, options: OverlayOptions
) -> None:
    """Lays the shadow under the ink, if one is asked for."""
    if options.shadow != (0, 0) or options.shadow_blur:
        mask, soft = inking.shadow(ink.outline, options.shadow_blur)
        at = (corner[0] - soft + options.shadow[0], corner[1] - soft + options.shadow[1])
        inking.paint(canvas, mask, set_off(options.shadow_color, letters), at)


def draw_letters(
    canvas: Image.Image, ink: Ink, corner: tuple[int, int], letters: Color, options: OverlayOptions
) -> None:
    """Lays the stroke, if there is one, and the letters over it."""
    if options.stroke:
        inking.paint(canvas, ink.outline, set_off(options.stroke_color, letters), corner)
    inking.paint(canvas, ink.letters, letters, corner)
