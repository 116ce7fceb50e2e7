"""Covers: the sizes that shops and printers ask for, with bleed, a spine as thick as the book, and safe margins.

width of a wrap = bleed + back + spine + front + bleed,  spine = pages x thickness of the paper

The measures are those of Kindle Direct Publishing, which other printers share or come near to; there is no paper behind
this. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from PIL import Image, ImageFilter, ImageOps

from diffusion_tricks.plugin import UsageError

Format = Literal["picture", "ebook", "audio", "5x8", "5.5x8.5", "6x9", "8.5x11"]
Paper = Literal["white", "cream", "color"]
Box = tuple[int, int, int, int]  # left, top, right, bottom, in px
SCREEN: dict[str, tuple[int, int]] = {"ebook": (1600, 2560), "audio": (3000, 3000)}  # px
PRINT = [name for name in get_args(Format) if "x" in name]  # named by their trimmed size in inches
DPI = 300
BLEED, SAFE = 0.125, 0.25  # inches beyond the trim, and inside it for what must not be cut off
SAFE_ON_SCREEN = 0.05  # of the shorter side
THICKNESS = {"white": 0.002252, "cream": 0.0025, "color": 0.002347}  # inches a page
FEWEST, MOST = 24, 828  # pages that are bound
SPINE_TEXT = 80  # pages from which a spine may have text
FOLD = 0.0625  # inches on either side of a spine that stay empty
BROAD = 1.2  # a picture of more than this for its height goes around the whole wrap
SOFT = 1 / 14  # of the front's width: the blur of what stands on the back


@dataclass(frozen=True)
class Sheet:
    """A cover's page in px: its size, the front, and for a wrap the spine; and what stays free at the front's edges.

    insets: left, top, right, bottom of the front. dpi: px to an inch, None on screens.
    """

    size: tuple[int, int]
    front: Box
    insets: tuple[int, int, int, int]
    dpi: int | None = None
    spine: Box | None = None
    spine_inches: float = 0.0
    pages: int | None = None

    @property
    def spine_text(self) -> Box | None:
        """The part of the spine that may have text, None for none."""
        if self.spine is None or self.pages is None or self.pages < SPINE_TEXT:
            return None
        left, top, right, bottom = self.spine
        fold, end = px(FOLD), px(BLEED + SAFE)
        return left + fold, top + end, right - fold, bottom - end


def px(inches: float) -> int:
    """Inches in print as pixels."""
    return round(inches * DPI)


def sheet_of(kind: Format, pages: int | None, paper: Paper) -> Sheet:
    """The page of a cover. Raises `UsageError` for pages that cannot be bound, and for those of what has no spine."""
    if kind not in PRINT:
        return _on_screen(kind, pages)
    width, height = (float(side) for side in kind.split("x"))
    if pages is None:
        size = (px(width + 2 * BLEED), px(height + 2 * BLEED))
        return Sheet(size, (0, 0, *size), (px(BLEED + SAFE),) * 4, DPI)
    if not FEWEST <= pages <= MOST:
        raise UsageError(f"a book of {pages} pages cannot be bound; give `pages` from {FEWEST} to {MOST}")
    spine = pages * THICKNESS[paper]
    size = (px(2 * (BLEED + width) + spine), px(height + 2 * BLEED))
    left, right = px(BLEED + width), px(BLEED + width + spine)
    outer, fold = px(BLEED + SAFE), px(SAFE)
    return Sheet(size, (right, 0, *size), (fold, outer, outer, outer), DPI, (left, 0, right, size[1]), spine, pages)


def _on_screen(kind: str, pages: int | None) -> Sheet:
    if pages is not None:
        raise UsageError(f"format {kind} has no spine, so `pages` does nothing; take one of {', '.join(PRINT)}")
    size = SCREEN[kind]
    return Sheet(size, (0, 0, *size), (round(SAFE_ON_SCREEN * min(size)),) * 4)


def laid(picture: Image.Image, sheet: Sheet) -> tuple[Image.Image, list[str]]:
    """The picture on a cover's page, and notes of what was cut off, and how far it was enlarged.

    It fills the front, or the whole wrap where it is broad. Else spine and back have it mirrored and blurred.
    """
    whole = sheet.spine is None or picture.width > BROAD * picture.height
    if whole:
        return filled(picture, sheet.size)
    left, top, right, bottom = sheet.front
    front, notes = filled(picture, (right - left, bottom - top))
    back = ImageOps.mirror(filled(picture, (left, bottom - top))[0])
    page = Image.new(picture.mode, sheet.size)
    page.paste(back.filter(ImageFilter.GaussianBlur(SOFT * front.width)), (0, 0))
    page.paste(front, (left, top))
    return page, notes


def filled(picture: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, list[str]]:
    """The middle of the picture at that size, with notes."""
    scale = max(size[0] / picture.width, size[1] / picture.height)
    width, height = size[0] / scale, size[1] / scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    box = (left, top, left + width, top + height)
    named, notes = f"{size[0]} x {size[1]}", list[str]()
    if round(width) < picture.width or round(height) < picture.height:
        shown = f"{round(box[0])},{round(box[1])},{round(box[2])},{round(box[3])}"
        notes.append(f"of the picture's {picture.width} x {picture.height} px the part {shown} is shown, at {named}")
    if scale > 1.01:
        notes.append(f"the picture is enlarged {scale:.1f} times for {named}, and may look soft")
    return picture.resize(size, Image.Resampling.LANCZOS, box), notes


def facts_of(kind: Format, sheet: Sheet) -> dict[str, object]:
    """What is said of a cover: its format, size in px, and in print dpi, bleed, the front's box, and the spine."""
    said: dict[str, object] = {"format": kind, "size": list(sheet.size), "safe": list(sheet.insets)}
    if sheet.dpi:
        said |= {"dpi": sheet.dpi, "bleed_inches": BLEED, "front": list(sheet.front)}
    if sheet.spine:
        said |= {"pages": sheet.pages, "spine_inches": round(sheet.spine_inches, 4), "spine": list(sheet.spine)}
    return said
