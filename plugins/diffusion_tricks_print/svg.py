"""A page as an SVG in millimetres, which plotters and cutters take: lines are lines, and letters stay text.

The letters are drawn by the fonts of whoever opens it.
"""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from diffusion_tricks_print.page import DASH, HAIR, Page, Path, Placed, Text

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Typeface


def as_svg(page: Page, face: Typeface) -> bytes:
    """The page; user units are millimetres."""
    inside = [*map(_picture, page.pictures), *map(_line, page.paths), *map(_letters, page.texts)]
    size = f'width="{page.width:.6g}mm" height="{page.height:.6g}mm" viewBox="0 0 {page.width:.6g} {page.height:.6g}"'
    family = quoteattr(f"{face.name.rpartition(' ')[0]}, sans-serif" if face.path else "sans-serif")
    body = "\n".join(inside)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family={family}>\n{body}\n</svg>\n'.encode()


def _picture(placed: Placed) -> str:
    file, area = BytesIO(), placed.area
    placed.image.save(file, "PNG")
    place = f'x="{area.x:.4f}" y="{area.y:.4f}" width="{area.width:.4f}" height="{area.height:.4f}"'
    data = base64.b64encode(file.getvalue()).decode()
    return f'<image {place} preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'


def _line(path: Path) -> str:
    points = " ".join(f"{x:.4f},{y:.4f}" for x, y in path.points)
    dashes = f' stroke-dasharray="{DASH}"' if path.dashed else ""
    name = "polygon" if path.closed else "polyline"
    return f'<{name} points="{points}" fill="none" stroke="black" stroke-width="{HAIR}"{dashes}/>'


def _letters(text: Text) -> str:
    (x, y), motion = text.at, text.motion
    mirror = " scale(-1 1)" if motion.mirrored else ""
    place = f"translate({x:.4f} {y:.4f}) rotate({-motion.degrees}){mirror}"
    return f'<text transform="{place}" font-size="{text.size:.4f}" text-anchor="middle">{escape(text.text)}</text>'
