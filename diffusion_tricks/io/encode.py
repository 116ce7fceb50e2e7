"""A picture as the bytes of a file: what each format can hold of it, and what is said where it cannot hold all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from diffusion_tricks.errors import OutputError, OutputFailed, UsageError
from diffusion_tricks.io.colour import to_srgb
from diffusion_tricks.io.metadata import IPTC_TAG, MAKER_NOTE, RAW_IPTC, USER_COMMENT, Metadata, iptc_segment, iptc_text
from diffusion_tricks.io.pixels import flatten
from diffusion_tricks.io.png import encode_png
from diffusion_tricks.io.provenance import Provenance, provenance_xmp
from diffusion_tricks.io.raster import Raster, eight_bit, raster_of
from diffusion_tricks.io.tiff import encode_tiff

WRITTEN = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".avif": "AVIF",
    ".bmp": "BMP",
}  # fmt: skip
MODES = {
    "PNG": {"1", "L", "RGB"}, "JPEG": {"L", "RGB", "CMYK"}, "WEBP": {"RGB"}, "TIFF": {"1", "L", "RGB", "CMYK"},
    "AVIF": {"RGB"}, "BMP": {"1", "L", "RGB"},
}  # fmt: skip
DEEP, WITHOUT_ALPHA = {"PNG", "TIFF"}, {"JPEG", "BMP"}
QUALITY = {"JPEG": 95, "AVIF": 90}  # where none is asked for
WITH_QUALITY = ("JPEG", "WEBP", "AVIF")
USER_COMMENT_PREFIX = b"UNICODE\0"  # big-endian, as the common programs write and read it
SEGMENT = 65_502  # bytes of a JPEG's segment, past the name of XMP
MAX_COMMENT_BYTES = 65_000  # of the 65,533 of a JPEG's segment


@dataclass(frozen=True)
class Said:
    """What a file says beside its pixels.

    metadata: of the picture that was changed.  mark: how a model had a part in it.  texts: of a PNG.  comment: of
    EXIF, where it has none.  keep_gps: whether the position stays.  quality: 1..100 of a lossy file; None is the
    format's own, which of WebP is lossless.  xmp: a packet to write as it is, instead.
    """

    metadata: Metadata = field(default_factory=Metadata)
    mark: Provenance | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""
    keep_gps: bool = False
    quality: int | None = None
    xmp: bytes | None = None

    def packet(self, size: tuple[int, int]) -> bytes | None:
        """The XMP packet of a picture of that size (width, height), if there is one."""
        return self.xmp or self.metadata.packet(self.mark, keep_gps=self.keep_gps, size=size)


@dataclass
class Encoded:
    """The bytes of a file, the picture that they hold, and what could not be kept, in words."""

    data: bytes
    raster: Raster
    lost: list[str]


def format_of(path: str | Path) -> str:
    """The format that a name ends in. Raises OutputError for one that is not written."""
    path = Path(path)
    known = WRITTEN.get(path.suffix.lower())
    if known is None:
        came = f"got {path.suffix!r}" if path.suffix else "got no extension"
        raise OutputError(f"{path}: expected a name that ends in {', '.join(WRITTEN)}, {came}; rename the output")
    return known


def is_lossy(path: str | Path, quality: int | None = None) -> bool:
    """Whether a file of that name changes pixels as it is written."""
    kind = format_of(path)
    return kind in {"JPEG", "AVIF"} or (kind == "WEBP" and quality is not None)


def check_quality(path: str | Path, quality: int | None) -> None:
    """Raises UsageError for a quality of a format that has none."""
    if quality is not None and format_of(path) not in WITH_QUALITY:
        raise UsageError(f"{path}: `quality` is of JPEG, WebP and AVIF, and this file keeps every pixel; leave it out")


def encode(raster: Raster, path: str | Path, said: Said) -> Encoded:
    """The file that holds a picture as truly as its format can; see `Encoded`. Raises OutputError, OutputFailed."""
    kind = format_of(path)
    fitting, lost = fitted(raster, kind)
    lost += said.metadata.missing(keep_gps=said.keep_gps)
    try:
        data, more = ENCODERS[kind](fitting, said)
    except (OSError, ValueError, SyntaxError) as error:
        size = f"{raster.size[0]} x {raster.size[1]}"
        raise OutputFailed(f"{path} could not be encoded as {kind} at {size} pixels ({error}); try .png") from error
    return Encoded(data, fitting, [*lost, *more])


def fitted(raster: Raster, kind: str) -> tuple[Raster, list[str]]:
    """The picture as a format can hold it, and what that costs."""
    lost = []
    if raster.mode == "1" and ((raster.samples != 0) & (raster.samples != 255)).any():
        raster = replace(raster, mode="L")
        lost.append("1-bit black and white, as what was made has grays: it is 8-bit gray now")
    if raster.mode not in MODES[kind] or (raster.icc and kind == "BMP"):
        before = raster.named() + ("" if raster.icc is None else " in its own colour space")
        raster = raster_of(to_srgb(raster.shown(), raster.icc if raster.mode == "RGB" else None), None)
        if not before.startswith("8-bit gray") or before.endswith("space"):
            lost.append(f"{before}, which {kind} cannot hold: it is 8-bit sRGB now")
    raster, less = _depth_for(raster, kind)
    lost += less
    if raster.alpha and kind in WITHOUT_ALPHA:
        lost += ["transparency, which is laid on white"] if (raster.samples[..., -1] != raster.top).any() else []
        raster = raster_of(flatten(raster.shown()) if raster.mode == "RGB" else _gray(raster), raster.icc)
    return raster, lost


def _gray(raster: Raster) -> Image.Image:
    """Gray with alpha laid on white."""
    share = raster.samples[..., 1].astype(np.float32) / 255
    gray = raster.samples[..., 0] * share + 255 * (1 - share)
    return Image.fromarray(gray.round().astype(np.uint8))


def _depth_for(raster: Raster, kind: str) -> tuple[Raster, list[str]]:
    """The picture at a depth that a format has."""
    if not raster.deep or kind == "TIFF":
        return raster, []
    if kind not in DEEP:
        small = replace(raster, samples=eight_bit(raster.samples, raster.top), top=255)
        return small, [f"{raster.named().split()[0]} depth, as {kind} holds 8 bits"]
    if raster.samples.dtype == np.uint16 and raster.top == 65535:
        return raster, []
    scaled = raster.samples.astype(np.float64) * (65535 / raster.top)
    whole = replace(raster, samples=scaled.clip(0, 65535).round().astype(np.uint16), top=65535)
    exact = raster.samples.dtype.kind == "i"
    return whole, [] if exact else [f"{raster.named().split()[0]} samples, which a PNG holds as 16 bit"]


def pillow_image(raster: Raster) -> Image.Image:
    """An 8-bit picture as Pillow's, in its own mode."""
    samples = np.ascontiguousarray(raster.samples)
    mode = "L" if raster.mode == "1" else raster.mode
    whole = samples[..., 0] if samples.shape[2] == 1 else samples
    image = Image.frombytes(f"{mode}{'A' if raster.alpha else ''}", raster.size, np.ascontiguousarray(whole).tobytes())
    return image.convert("1") if raster.mode == "1" else image


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()  # in memory first: Pillow's own file writing hides why the disk refused
    image.save(file, kind, **options)
    return file.getvalue()


def _png(raster: Raster, said: Said) -> tuple[bytes, list[str]]:
    metadata, chunks = said.metadata, PngImagePlugin.PngInfo()
    if packet := said.packet(raster.size):
        chunks.add_itxt("XML:com.adobe.xmp", packet.decode("utf-8"))
    if metadata.iptc:
        chunks.add_text(RAW_IPTC, iptc_text(metadata.iptc), zip=True)
    for key, value in {**metadata.texts, **said.texts}.items():
        # iTXt ends at a NUL and holds UTF-8 only; a prompt from the command line may hold neither
        chunks.add_itxt(key, value.replace("\0", "").encode("utf-8", "replace").decode("utf-8"))
    exif = metadata.exif(raster.size, keep_gps=said.keep_gps)
    options = {"pnginfo": chunks, "icc_profile": raster.icc, "dpi": metadata.dpi, **({"exif": exif} if exif else {})}
    if not raster.deep:
        return _saved(pillow_image(raster), "PNG", **options), []
    beside = _saved(Image.new("L" if raster.mode == "L" else "RGB", (1, 1)), "PNG", **options)
    return encode_png(raster.samples, beside), []


def _jpeg(raster: Raster, said: Said) -> tuple[bytes, list[str]]:
    metadata, lost = said.metadata, _unplaced_texts(said.metadata)
    packet = said.packet(raster.size)
    if packet and len(packet) > SEGMENT:
        lost.append("XMP, which is more than a JPEG holds")
        packet = provenance_xmp(said.mark) if said.mark else None
    segment = iptc_segment(metadata.iptc) if metadata.iptc else b""
    lost += ["IPTC, which is more than a JPEG holds"] if metadata.iptc and not segment else []
    exif, short = _short_exif(_with_comment(raster, said), SEGMENT)
    options: dict[str, Any] = {"xmp": packet} if packet else {}
    options |= {"exif": exif} if exif else {}
    options |= {"dpi": metadata.dpi} if metadata.dpi else {}
    options |= {"comment": metadata.comment} if metadata.comment else {}
    data = _saved(
        pillow_image(raster), "JPEG", quality=said.quality or QUALITY["JPEG"], subsampling=0, icc_profile=raster.icc,
        extra=segment, **options,
    )  # fmt: skip
    return data, [*lost, *short]


def _short_exif(exif: Image.Exif, most: int) -> tuple[bytes, list[str]]:
    """The block, without the maker's notes or without anything where it is more than a format holds."""
    if not exif:
        return b"", []
    if len(data := exif.tobytes()) <= most:
        return data, []
    exif.get_ifd(ExifTags.IFD.Exif).pop(MAKER_NOTE, None)
    if len(data := exif.tobytes()) <= most:
        return data, ["the maker's notes in EXIF, which are more than a JPEG holds"]
    return b"", ["EXIF, which is more than a JPEG holds"]


def _with_comment(raster: Raster, said: Said) -> Image.Exif:
    """EXIF with our settings as its UserComment (EXIF 2.32, 4.6.5), where they fit and the photo has none."""
    data = USER_COMMENT_PREFIX + said.comment.replace("\0", "").encode("utf-16-be", "replace")
    fits = bool(said.comment) and len(data) <= MAX_COMMENT_BYTES and USER_COMMENT not in said.metadata.details
    return said.metadata.exif(raster.size, keep_gps=said.keep_gps, comment=data if fits else None)


def _with_all(raster: Raster, said: Said) -> Image.Exif:
    """EXIF for formats that have no other place for resolution and IPTC."""
    exif, metadata = _with_comment(raster, said), said.metadata
    if metadata.dpi:
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = metadata.dpi
        exif[ExifTags.Base.ResolutionUnit] = 2
    if metadata.iptc:
        exif[IPTC_TAG] = metadata.iptc
    return exif


def _webp(raster: Raster, said: Said) -> tuple[bytes, list[str]]:
    quality = {"lossless": True, "exact": True} if said.quality is None else {"quality": said.quality}
    return _with_blocks(raster, said, "WEBP", **quality)


def _avif(raster: Raster, said: Said) -> tuple[bytes, list[str]]:
    return _with_blocks(raster, said, "AVIF", quality=said.quality or QUALITY["AVIF"], subsampling="4:4:4")


def _with_blocks(raster: Raster, said: Said, kind: str, **options: Any) -> tuple[bytes, list[str]]:
    exif, packet = _with_all(raster, said), said.packet(raster.size)
    options |= ({"exif": exif.tobytes()} if exif else {}) | ({"xmp": packet} if packet else {})
    data = _saved(pillow_image(raster), kind, icc_profile=raster.icc or b"", **options)
    return data, _unplaced_texts(said.metadata)


def _tiff(raster: Raster, said: Said) -> tuple[bytes, list[str]]:
    metadata = said.metadata
    data = encode_tiff(
        raster, exif=metadata.exif(raster.size, keep_gps=said.keep_gps), iptc=metadata.iptc, dpi=metadata.dpi,
        xmp=said.packet(raster.size),
    )  # fmt: skip
    return data, _unplaced_texts(metadata)


def _bmp(raster: Raster, said: Said) -> tuple[bytes, list[str]]:
    metadata = said.metadata
    blocks = {
        "EXIF": metadata.tags or metadata.details, "XMP": metadata.xmp, "IPTC": metadata.iptc,
        "the mark that a model had a part in it": said.mark,
    }  # fmt: skip
    lost = [f"{name}, for which BMP has no place" for name, block in blocks.items() if block]
    dpi = {"dpi": metadata.dpi} if metadata.dpi else {}
    return _saved(pillow_image(raster), "BMP", **dpi), [*lost, *_unplaced_texts(metadata)]


def _unplaced_texts(metadata: Metadata) -> list[str]:
    names = ", ".join(metadata.texts)
    return [f"the texts of the PNG ({names}), which have no place in this format"] if names else []


ENCODERS = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff, "AVIF": _avif, "BMP": _bmp}
