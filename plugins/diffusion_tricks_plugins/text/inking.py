"""Inking: text blocks as masks, painted onto a transparent layer.

No paper: this is a typesetter's craft. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from diffusion_tricks.plugin import clusters
from diffusion_tricks_plugins.text.color import BLACK, Color
from diffusion_tricks_plugins.text.typesetting import Block, Face, Span, starts_of

Corner = tuple[int, int]
SPARE = 2  # px around a line's measured bounds, for the rounding of antialiased edges


@dataclass(frozen=True)
class Glyph:
    """A sign as it was set, and the box in px that its ink is in."""

    text: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Ink:
    """A block's coverage, 0 to 255: of the letters, and of the letters with their stroke. Cut to the latter's ink.

    colours: signs that have colours of their own, as emoji; the outline has them, the letters do not.
    glyphs: where each letter stands.
    """

    letters: Image.Image
    outline: Image.Image
    colours: Image.Image | None = None
    glyphs: tuple[Glyph, ...] = ()


def ink(block: Block, align: str) -> Ink:
    """The ink of a block, its lines aligned by what is seen of them (not by their advance)."""
    rows = [(round(i * block.face.pitch), *ink_line(block.face, line)) for i, line in enumerate(block.lines) if line]
    width = max(line.outline.width for _, line, _ in rows)
    top = min(baseline + rise for baseline, _, rise in rows)
    size = (width, max(baseline + rise + line.outline.height for baseline, line, rise in rows) - top)
    letters, outline, colours, glyphs = Image.new("L", size), Image.new("L", size), None, list[Glyph]()
    for baseline, line, rise in rows:
        room = width - line.outline.width
        corner = ({"left": 0, "center": room // 2, "right": room}[align], baseline + rise - top)
        lighten(letters, line.letters, corner)
        lighten(outline, line.outline, corner)
        if line.colours:
            colours = colours or Image.new("RGBA", size)
            colours.alpha_composite(line.colours, corner)
        glyphs += [Glyph(glyph.text, moved(glyph.box, corner)) for glyph in line.glyphs]
    return Ink(letters, outline, colours, tuple(glyphs))


def moved(box: tuple[int, int, int, int], by: Corner) -> tuple[int, int, int, int]:
    """The box, `by` so many px further right and down."""
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]


def ink_line(face: Face, line: str) -> tuple[Ink, int]:
    """One line's ink, and how far above (negative) or below its baseline the ink begins."""
    left, top, right, bottom = face.bounds(line)
    origin, size = (SPARE - left, SPARE - top), (right - left + 2 * SPARE, bottom - top + 2 * SPARE)
    letters, outline, colours = Image.new("L", size), Image.new("L", size), Image.new("RGBA", size)
    for span in face.spans(line):
        at = (origin[0] + span.x, origin[1])
        if span.letters.coloured:
            colours.alpha_composite(coloured(span, at, size))
        else:
            write(letters, span, at, face.direction, 0)
            write(outline, span, at, face.direction, face.stroke)
    alpha = colours.getchannel("A")
    seen = bool(alpha.getbbox())
    lighten(outline, alpha, (0, 0))
    box = outline.getbbox() or (0, 0, 1, 1)
    glyphs = [
        Glyph(
            text,
            (max(math.floor(start + origin[0]) - box[0], 0), 0, math.ceil(end + origin[0]) - box[0], box[3] - box[1]),
        )
        for text, start, end in columns(face, line)
    ]
    return (
        Ink(letters.crop(box), outline.crop(box), colours.crop(box) if seen else None, tuple(glyphs)),
        box[1] - SPARE + top,
    )


def write(mask: Image.Image, span: Span, at: tuple[float, float], direction: str | None, stroke: int) -> None:
    """Adds the span's letters to `mask` in place, which begin at `at` on their baseline."""
    alone = Image.new("L", mask.size)
    ImageDraw.Draw(alone).text(
        at, span.letters.visible(span.text), fill=255, font=span.letters.font, anchor="ls", direction=direction,
        stroke_width=stroke, stroke_fill=255,
    )  # fmt: skip
    lighten(mask, alone, (0, 0))


def coloured(span: Span, at: tuple[float, float], size: tuple[int, int]) -> Image.Image:
    """The span's signs in their own colours on a transparent page of `size`, drawn from their bitmaps and scaled."""
    left, top, right, bottom = span.letters.font.getbbox(span.letters.visible(span.text), anchor="ls")
    signs = Image.new("RGBA", (math.ceil(right - left) + 2 * SPARE, math.ceil(bottom - top) + 2 * SPARE))
    ImageDraw.Draw(signs).text(
        (SPARE - left, SPARE - top), span.letters.visible(span.text), fill=BLACK, font=span.letters.font, anchor="ls",
        embedded_color=True,
    )  # fmt: skip
    scale = span.letters.scale
    if scale != 1:
        small = (max(round(signs.width * scale), 1), max(round(signs.height * scale), 1))
        signs = signs.convert("RGBa").resize(small, Image.Resampling.LANCZOS).convert("RGBA")
    page = Image.new("RGBA", size)
    corner = (round(at[0] + (left - SPARE) * scale), round(at[1] + (top - SPARE) * scale))
    page.paste(signs, corner)
    return page


def columns(face: Face, line: str) -> Iterator[tuple[str, float, float]]:
    """Each letter of a line with where it begins and ends, in px from where the line begins; not those in colour."""
    for span in face.spans(line):
        signs = clusters(span.text)
        starts = starts_of(signs, span.letters, face.direction)
        for sign, start, end in zip(signs, starts, starts[1:], strict=False):
            if not sign.isspace() and not span.letters.coloured:
                near = (starts[-1] - end, starts[-1] - start) if face.direction == "rtl" else (start, end)
                yield sign, span.x + near[0], span.x + near[1]


def lighten(canvas: Image.Image, mask: Image.Image, corner: Corner) -> None:
    """Adds `mask` to `canvas` in place, the stronger coverage winning where lines meet; what is outside is lost."""
    box = (*corner, corner[0] + mask.width, corner[1] + mask.height)
    canvas.paste(ImageChops.lighter(canvas.crop(box), mask), box)


def shadow_reach(offset: tuple[int, int], blur: float) -> tuple[int, int, int, int]:
    """How far a shadow stands out from its ink to the left, top, right and bottom, in px."""
    soft = math.ceil(3 * blur) + 2 if blur else 0
    across, down = offset
    return max(soft - across, 0), max(soft - down, 0), max(soft + across, 0), max(soft + down, 0)


def shadow(outline: Image.Image, blur: float) -> tuple[Image.Image, int]:
    """The soft copy of `outline`, and by how many px it stands out on every side."""
    soft = math.ceil(3 * blur) + 2 if blur else 0
    wide = Image.new("L", (outline.width + 2 * soft, outline.height + 2 * soft))
    wide.paste(outline, (soft, soft))
    return wide.filter(ImageFilter.GaussianBlur(blur)) if blur else wide, soft


def paint(canvas: Image.Image, mask: Image.Image, color: Color, corner: Corner) -> None:
    """Lays `color` over the RGBA `canvas` in place where `mask` covers it; all other pixels keep their values."""
    layer = Image.new("RGBA", mask.size, color)
    layer.putalpha(mask.point([round(value * color[3] / 255) for value in range(256)]))
    lay(canvas, layer, corner)


def lay(canvas: Image.Image, layer: Image.Image, corner: Corner) -> None:
    """Lays the RGBA `layer` over the RGBA `canvas` in place, but for what of it is outside."""
    left, top = max(-corner[0], 0), max(-corner[1], 0)
    canvas.alpha_composite(layer, (max(corner[0], 0), max(corner[1], 0)), (left, top, *layer.size))


def widened(mask: Image.Image, by: int) -> tuple[Image.Image, int]:
    """The mask grown by so many px all round, with a smooth edge, and by how many px it stands out on every side."""
    from scipy.ndimage import distance_transform_edt  # here, as help needs none of it

    room = by + 1
    wide = np.pad(np.asarray(mask), room)
    far = distance_transform_edt(wide < 128)
    return Image.fromarray((np.clip(by + 0.5 - far, 0, 1) * 255).round().astype(np.uint8)), room


def paint_box(canvas: Image.Image, box: tuple[int, int, int, int], padding: int, color: Color) -> None:
    """Lays a box of `color` over the RGBA `canvas` in place, `padding` px larger than `box` on every side."""
    left, top, right, bottom = box
    size = (right - left + 2 * padding, bottom - top + 2 * padding)
    paint(canvas, Image.new("L", size, 255), color, (left - padding, top - padding))
