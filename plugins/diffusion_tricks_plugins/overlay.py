"""The overlay trick: a title, a subtitle, an author and free text on a finished picture, which may become a cover.

picture = text over box over picture, where the ink is      no paper: this is a typesetter's craft

Texts are wrapped and sized to fit (`text.typesetting`), placed apart from each other (`text.layout`), set in the first
font that has each sign, and painted so that they can be read (`text.lettering`). What is written is one transparent
layer: `lettering(image, options).layer`. Needs no model: `Overlay(title="...").finish_image(None, image, 0)`.
No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PIL import Image

from diffusion_tricks.plugin import Trick, from_srgb, hookimpl
from diffusion_tricks_plugins.text import covers
from diffusion_tricks_plugins.text.color import Color, on_paper
from diffusion_tricks_plugins.text.layout import Page, Side, Spot, Wanted
from diffusion_tricks_plugins.text.legibility import THUMBNAIL
from diffusion_tricks_plugins.text.lettering import Lettering, Style, letter, moved
from diffusion_tricks_plugins.text.options import NAMES, OverlayOptions, sheet_of
from diffusion_tricks_plugins.text.settings import (
    color_asked,
    page_of,
    page_of_cover,
    style_of,
    typeface_of,
    wanted_texts,
)

SPINE_WIDTHS = {"title": 0.64, "author": 0.32}  # of a spine's length


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
        written, icc = lettering(page, self.options), image.info.get("icc_profile")
        told(facts if facts is not None else {}, self.options, written, notes)
        return with_layer(page, from_srgb(written.layer, icc) if icc else written.layer)

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
