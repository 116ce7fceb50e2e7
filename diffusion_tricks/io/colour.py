"""Colour spaces: from a picture's own, which its ICC profile describes, to sRGB, and back.

Relative colorimetric, with the black points matched where inks are involved. Source: ICC.1:2022; Little CMS computes.
"""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}
DAMAGE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC


def describes(icc: bytes | None, mode: str) -> bool:
    """Whether a profile is one of colours of that mode: "RGB", "L", "CMYK" or "LAB"."""
    return icc is not None and SPACES.get(icc[16:20]) == mode


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """The picture (RGB, L or CMYK; RGBA keeps its alpha) in sRGB, as RGB; as it is where no profile can be used."""
    if icc is None:
        return image
    return _changed(image, icc, None, "RGB") or image


def from_srgb(image: Image.Image, icc: bytes | None, mode: str = "RGB") -> Image.Image:
    """A picture in sRGB (RGB or RGBA) in the space of a profile; `mode` without one, or where it cannot be used."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha else image
    changed = (icc and _changed(colours, None, icc, mode)) or colours.convert(mode)
    if alpha:
        changed.putalpha(alpha)
    return changed


def colour_from_srgb(colour: tuple[int, int, int], icc: bytes | None) -> tuple[int, int, int]:
    """One colour of sRGB (0..255) in the space of a profile of RGB."""
    if icc is None:
        return colour
    red, green, blue = from_srgb(Image.new("RGB", (1, 1), colour), icc).getpixel((0, 0))  # type: ignore[misc]
    return int(red), int(green), int(blue)


def _changed(image: Image.Image, source: bytes | None, target: bytes | None, mode: str) -> Image.Image | None:
    """The picture from one space to another, None where a profile cannot be used; None as a profile is sRGB."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    image = image.convert("RGB") if alpha else image
    transform = _transform(source, target, image.mode, mode)
    if transform is None:
        return None
    changed = ImageCms.applyTransform(image, transform)
    if changed is not None and alpha:
        changed.putalpha(alpha)
    return changed


@lru_cache(maxsize=16)
def _transform(
    source: bytes | None, target: bytes | None, before: str, after: str
) -> ImageCms.ImageCmsTransform | None:
    try:
        return ImageCms.buildTransform(_profile(source), _profile(target), before, after, INTENT, FLAGS)
    except DAMAGE:
        return None


def _profile(icc: bytes | None) -> ImageCms.ImageCmsProfile | io.BytesIO:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")) if icc is None else io.BytesIO(icc)
