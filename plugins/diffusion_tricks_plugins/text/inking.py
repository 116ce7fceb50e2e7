"""Inking: text blocks as masks, painted onto a picture in colours that can be read on it.

contrast = (L1 + 0.05) / (L2 + 0.05), L the relative luminance      WCAG 2.2, a standard; there is no paper behind this

No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

from diffusion_tricks.plugin import colour_from_srgb
from diffusion_tricks_plugins.text.typesetting import Block, Face

Color = tuple[int, int, int, int]
Corner = tuple[int, int]
BLACK: Color = (0, 0, 0, 255)
WHITE: Color = (255, 255, 255, 255)
SPARE = 2  # px around a line's measured bounds, for the rounding of antialiased edges


@dataclass(frozen=True)
class Ink:
    """A block's coverage, 0 to 255: of the letters, and of the letters with their stroke. Cut to the latter's ink."""

    letters: Image.Image
    outline: Image.Image


def ink(block: Block, align: str) -> Ink:
    """The ink of a block, its lines aligned by what is seen of them (not by their advance)."""
    rows = [(round(i * block.face.pitch), *ink_line(block.face, line)) for i, line in enumerate(block.lines) if line]
    width = max(line.outline.width for _, line, _ in rows)
    top = min(baseline + rise for baseline, _, rise in rows)
    bottom = max(baseline + rise + line.outline.height for baseline, line, rise in rows)
    whole = Ink(Image.new("L", (width, bottom - top)), Image.new("L", (width, bottom - top)))
    for baseline, line, rise in rows:
        room = width - line.outline.width
        corner = ({"left": 0, "center": room // 2, "right": room}[align], baseline + rise - top)
        lighten(whole.letters, line.letters, corner)
        lighten(whole.outline, line.outline, corner)
    return whole


def ink_line(face: Face, line: str) -> tuple[Ink, int]:
    """One line's ink, and how far above (negative) or below its baseline the ink begins."""
    left, top, right, bottom = face.bounds(line)
    size = (right - left + 2 * SPARE, bottom - top + 2 * SPARE)
    masks = []
    for stroke in (0, face.stroke):
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).text(
            (SPARE - left, SPARE - top), face.visible(line), fill=255, font=face.font, anchor="ls",
            direction=face.direction, stroke_width=stroke, stroke_fill=255,
        )  # fmt: skip
        masks.append(mask)
    box = masks[1].getbbox() or (0, 0, 1, 1)
    return Ink(masks[0].crop(box), masks[1].crop(box)), box[1] - SPARE + top


def lighten(canvas: Image.Image, mask: Image.Image, corner: Corner) -> None:
    """Adds `mask` to `canvas` in place, the stronger coverage winning where lines meet."""
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
    """Lays `color`, of sRGB, over the RGBA `canvas` in place where `mask` covers it; other pixels keep their values.

    The colours of the canvas are in the space of the ICC profile in its `info`, if there is one.
    """
    own = colour_from_srgb(color[:3], canvas.info.get("icc_profile"))
    layer = Image.new("RGBA", mask.size, own)
    layer.putalpha(mask.point([round(value * color[3] / 255) for value in range(256)]))
    canvas.alpha_composite(layer, corner)


def parse_color(name: str) -> Color:
    """RGBA of a colour name or code as Pillow reads it ("navy", "#0008", "hsl(30, 100%, 50%)")."""
    red, green, blue, *alpha = ImageColor.getrgb(name)
    return red, green, blue, alpha[0] if alpha else 255


def relative_luminance(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """WCAG's relative luminance, 0 (black) to 1 (white), of sRGB values 0 to 255 (..., 3)."""
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ np.array([0.2126, 0.7152, 0.0722]), dtype=np.float64)


def contrast(one: float, other: float) -> float:
    """WCAG's contrast ratio of two luminances: 1 (none) to 21 (black on white)."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def readable_on(luminance: float) -> Color:
    """Black or white, whichever has the higher contrast with `luminance`."""
    return BLACK if contrast(0.0, luminance) > contrast(1.0, luminance) else WHITE


def opposite(color: Color) -> Color:
    """Black or white, whichever sets off `color` better: for strokes and shadows."""
    return readable_on(float(relative_luminance(np.array(color[:3], dtype=np.float64))))


def luminance_under(canvas: Image.Image, mask: Image.Image, corner: Corner) -> float:
    """The mean luminance of the RGBA `canvas` under `mask`, by coverage; transparent pixels show white paper."""
    box = (*corner, corner[0] + mask.width, corner[1] + mask.height)
    seen = Image.alpha_composite(Image.new("RGBA", mask.size, WHITE), canvas.crop(box))
    weight = np.asarray(mask, dtype=np.float64)  # (h w)
    light = relative_luminance(np.asarray(seen, dtype=np.float64)[..., :3])  # (h w)
    return float((light * weight).sum() / max(weight.sum(), 1.0))
