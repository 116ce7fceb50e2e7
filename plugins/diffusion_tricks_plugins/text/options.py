"""The options of the overlay trick: what to write, where, and how it looks."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from pydantic import field_validator, model_validator

from diffusion_tricks.plugin import FONT_FILES, TrickOptions, UsageError, is_invisible, option
from diffusion_tricks_plugins.text import covers
from diffusion_tricks_plugins.text.breaking import hyphenated
from diffusion_tricks_plugins.text.color import parse_color
from diffusion_tricks_plugins.text.legibility import Way
from diffusion_tricks_plugins.text.typesetting import clean

POSITIONS = (
    "auto", "below", "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right",
)  # fmt: skip
SPOT = re.compile(r"\s*(\d{1,6}(?:px)?|\d{1,3}(?:\.\d+)?%)\s*,\s*(\d{1,6}(?:px)?|\d{1,3}(?:\.\d+)?%)\s*")
Name = Literal["title", "subtitle", "author", "text"]
NAMES: tuple[Name, ...] = get_args(Name)
POSITION = "; or X,Y, each in px from the left or top, or in % of what the text leaves free, as 50%,120"


def size_of(name: str) -> Any:
    """The option for the size of a text."""
    return option(None, f"{name} size in px; else as large as suits and fits", needs=[name], ge=1, le=10_000)


def font_of(name: str) -> Any:
    """The option for the font of a text."""
    return option(None, f"a font for the {name}; else that of all", path=FONT_FILES, needs=[name])


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
        """Text as it will be set, see `typesetting.clean`; None where nothing of it would be seen."""
        text = clean(value) if value else ""
        return None if all(map(is_invisible, text)) else text

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


def sheet_of(options: OverlayOptions) -> covers.Sheet | None:
    """The page of a cover, None where the picture stays as it is."""
    if options.format == "picture":
        return None
    return covers.sheet_of(options.format, options.pages, options.paper)
