"""The samples of an opened picture in its own mode and depth, where Pillow has no mode that holds them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from diffusion_tricks.errors import PictureError
from diffusion_tricks.io.colour import describes, to_srgb
from diffusion_tricks.io.png import decode_png
from diffusion_tricks.io.raster import Raster, Samples
from diffusion_tricks.io.tiff import read_samples

Turn = Callable[[Samples], Samples]
TURNS: dict[int, Turn] = {  # EXIF 2.32, tag 0x0112
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
FLOATS = (1.0, 255.0, 65535.0)  # what white may be in floats: the least that no sample is above
HEAD = 100_000  # bytes of a file in which its properties are looked for
TO_RGB = "colours of {}, which are sRGB now"


def raster_in(image: Image.Image, source: Path | io.BytesIO, page: int) -> tuple[Raster, list[str]]:
    """The picture as its file holds it, not yet upright, and what became of what cannot be held, in words.

    source: the file of the opened `image`, for what Pillow cannot read whole. Raises PictureError for what has no
    meaning as a picture, and what the decoders raise.
    """
    raw = _raw(image)
    if image.format == "TIFF" and (raw or not _readable(image)):
        samples, alpha = read_samples(source, page)
        return _deep(image, samples, alpha, source), []
    if image.format == "PNG" and ";16" in raw:
        return _deep(image, *_png_samples(image, source), source), []
    if image.format == "JPEG2000" and (planes := _jpeg2000_samples(image, source)) is not None:
        return _deep(image, planes, planes.shape[2] in {2, 4}, source), []
    if image.format == "TIFF":
        image.filename = ""  # type: ignore[attr-defined]  # else Pillow maps the file, and misreads what lies on a side
    image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        return _single(image, source)
    raster, lost = _eight_bit(image, source)
    return raster, [*lost, *_cut_depth(image, source)]


def _cut_depth(image: Image.Image, source: Path | io.BytesIO) -> list[str]:
    """That a picture of more than 8 bits was read as 8, where it was: ISO/IEC 23008-12, 6.5.6, `pixi`."""
    if image.format not in {"AVIF", "HEIF"}:
        return []
    head = _bytes(source)[:HEAD]
    place = head.find(b"pixi")
    bits = max(head[place + 9 : place + 9 + head[place + 8]], default=8) if 0 <= place < HEAD - 9 else 8
    return [f"{bits}-bit depth, of which 8 are read"] if bits > 8 else []


def _raw(image: Image.Image) -> str:
    """Pillow's name of how several deep samples of a pixel are stored, "" where there are none."""
    tiles = getattr(image, "tile", None) or [("", (), 0, "")]
    arguments = tiles[0][3]
    name = arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""
    return name if ";16" in name and len(image.getbands()) > 1 else ""


def _readable(image: Image.Image) -> bool:
    """Whether Pillow reads all the samples of a TIFF, and the right way round."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,))
    white_is_0 = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    return max(bits) <= 8 or (len(bits) == 1 and not white_is_0)


def _png_samples(image: Image.Image, source: Path | io.BytesIO) -> tuple[Samples, bool]:
    samples = decode_png(_bytes(source))
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and samples.shape[2] == 3:
        opaque = (samples != np.array(clear, samples.dtype)).any(axis=2, keepdims=True)
        samples = np.concatenate([samples, np.where(opaque, 65535, 0).astype(samples.dtype)], axis=2)
    return samples, samples.shape[2] in {2, 4}


def _jpeg2000_samples(image: Image.Image, source: Path | io.BytesIO) -> Samples | None:
    if image.mode not in {"RGB", "RGBA", "LA"}:
        return None
    import imagecodecs  # here, as most pictures are others

    samples = np.asarray(imagecodecs.jpeg2k_decode(_bytes(source)))
    return samples if samples.dtype == np.uint16 and samples.ndim == 3 and samples.shape[2] in {2, 3, 4} else None


def _bytes(source: Path | io.BytesIO) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source.getvalue()


def _deep(image: Image.Image, samples: Samples, alpha: bool, source: Path | io.BytesIO) -> Raster:
    """A picture of several deep samples a pixel."""
    cmyk = image.mode == "CMYK"
    mode = "CMYK" if cmyk else "RGB" if samples.shape[2] - alpha >= 3 else "L"
    kept = {"CMYK": 4, "RGB": 3, "L": 1}[mode] + alpha
    top = _white(samples, source) if samples.dtype.kind == "f" else 65535
    samples = samples.astype(samples.dtype.newbyteorder("="))
    if alpha and getattr(image, "tag_v2", {}).get(TiffImagePlugin.EXTRASAMPLES) == (1,):
        samples = _apart(samples, top)
    return Raster(np.ascontiguousarray(samples[..., :kept]), mode, top, _icc(image, mode))


def _apart(samples: Samples, top: float) -> Samples:
    """Samples whose colours were multiplied with alpha, as TIFF allows, without that."""
    alpha = samples[..., -1:].astype(np.float64)
    colours = (samples[..., :-1] * (top / np.maximum(alpha, 1e-9))).clip(0, top)
    whole = colours if samples.dtype.kind == "f" else colours.round()
    return np.concatenate([whole.astype(samples.dtype), samples[..., -1:]], axis=2)


def _white(samples: NDArray[np.floating[Any]], source: object) -> float:
    """The value of white in floats. Raises PictureError for what is no picture."""
    least, most = float(samples.min()), float(samples.max())
    if not (np.isfinite(samples).all() and least >= 0 and most <= FLOATS[-1]):
        raise PictureError(
            f"{source} holds floating-point values from {least:g} to {most:g}, expected 0 to 1, to 255 or to 65535;"
            " scale it first"
        )
    return next(top for top in FLOATS if most <= top)


def _single(image: Image.Image, source: object) -> tuple[Raster, list[str]]:
    """A picture of one deep sample a pixel: 16 bit, 32 bit, or floating-point."""
    values = np.asarray(image)
    values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind == "f":
        return Raster(values[..., None], "L", _white(values, source), _icc(image, "L")), []
    top = 4095 if getattr(image, "tag_v2", {}).get(TiffImagePlugin.BITSPERSAMPLE) == (12,) else 65535
    if values.min() < 0 or values.max() > top:
        raise PictureError(
            f"{source} holds values from {values.min()} to {values.max()}, expected 0 to {top};"
            " save it as 8 or 16 bit first"
        )
    samples = values[..., None]
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        samples = np.concatenate([samples, np.where(samples == clear, 0, top).astype(values.dtype)], axis=2)
    return Raster(samples, "L", top, _icc(image, "L")), []


def _eight_bit(image: Image.Image, source: object) -> tuple[Raster, list[str]]:
    """A picture of 8 bits or less a sample, in its own mode or in the nearest that is written."""
    if image.mode in {"P", "PA"}:
        return _from_palette(image, source)
    if image.mode in {"LAB", "YCbCr", "HSV"}:
        icc = image.info.get("icc_profile") if describes(image.info.get("icc_profile"), image.mode) else None
        colours = to_srgb(image, icc).convert("RGB") if icc else image.convert("RGB")
        return _whole(colours, "RGB", None), [TO_RGB.format(image.mode)] if image.mode != "YCbCr" else []
    clear = image.has_transparency_data
    if image.mode in {"1", "L", "LA", "La"}:
        if image.mode == "1" and not clear:
            return _whole(image.convert("L"), "1", None), []
        return _whole(image.convert("LA") if clear else image, "L", _icc(image, "L")), []
    if image.mode == "CMYK":
        return _whole(image, "CMYK", _icc(image, "CMYK")), []
    return _whole(image.convert("RGBA" if clear else "RGB"), "RGB", _icc(image, "RGB")), []


def _from_palette(image: Image.Image, source: object) -> tuple[Raster, list[str]]:
    if image.palette is None:
        raise PictureError(f"{source} holds numbers of colours and no palette that says which; get another copy of it")
    whole = image.convert("RGBA" if image.has_transparency_data else "RGB")
    note = f"its palette, which has no room for what is made: it is {whole.mode} now, of the same colours"
    return _whole(whole, "RGB", _icc(image, "RGB")), [note]


def _whole(image: Image.Image, mode: str, icc: bytes | None) -> Raster:
    values = np.asarray(image)
    return Raster(values.reshape(*values.shape[:2], -1), mode, icc=icc)


def _icc(image: Image.Image, mode: str) -> bytes | None:
    icc = image.info.get("icc_profile")
    return icc if describes(icc, mode) else None
