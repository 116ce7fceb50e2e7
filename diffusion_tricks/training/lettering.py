"""Words on sheets and figures, in Pillow's own font, so that they look the same everywhere."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

INK, FAINT, LIGHT = (32, 32, 36), (120, 120, 128), (228, 228, 232)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: int) -> Font:
    """Pillow's own font at `size` pixels."""
    return ImageFont.load_default(size)


def clipped(text: str, lettering: Font, width: float) -> str:
    """The text, cut and ended with "..." where it is wider than `width` pixels; "" where not even that fits."""
    if lettering.getlength(text) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        short = text[:length].rstrip() + "..."
        if lettering.getlength(short) <= width:
            return short
    return ""


def wrapped(text: str, lettering: Font, width: float, lines: int) -> list[str]:
    """The text in at most so many lines of `width` pixels, broken between words; what stands over is clipped."""
    words = text.split()
    found: list[str] = []
    while words and len(found) < lines - 1:
        count = 1
        while count < len(words) and lettering.getlength(" ".join(words[: count + 1])) <= width:
            count += 1
        found.append(clipped(" ".join(words[:count]), lettering, width))
        words = words[count:]
    return [*found, clipped(" ".join(words), lettering, width)] if words else found


def upwards(text: str, lettering: Font, colour: tuple[int, int, int]) -> Image.Image:
    """The text turned a quarter to the left, on white."""
    box = lettering.getbbox(text)
    page = Image.new("RGB", (int(box[2]) + 2, int(box[3]) + 4), "white")
    ImageDraw.Draw(page).text((1, 1), text, colour, lettering)
    return page.transpose(Image.Transpose.ROTATE_90)
