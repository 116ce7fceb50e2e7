"""Pictures in and out: orientation, ICC profiles, alpha, 16 bit; what is refused, and why; files written whole.

What is done to pixels once they are read lives in `pixels`, how a file is written in `atomic`; both are offered
here too.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from diffusion_tricks.errors import PictureError, UsageError
from diffusion_tricks.io.atomic import atomic_write, check_place
from diffusion_tricks.io.colour import to_srgb
from diffusion_tricks.io.decode import TURNS, raster_in
from diffusion_tricks.io.encode import Said, encode, format_of
from diffusion_tricks.io.metadata import Metadata, read_metadata
from diffusion_tricks.io.named import page_of
from diffusion_tricks.io.provenance import Provenance, provenance_of
from diffusion_tricks.io.raster import Raster, raster_of
from diffusion_tricks.io.signatures import LOOKED_AT, kind_of

READ = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000")
HEIF = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")
MAX_PIXELS = 100_000_000
SIDEWAYS = (5, 6, 7, 8)  # orientations of EXIF that lie on a side
PROGRAMS = {b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "EPS", b"%PDF": "PDF"}
# of TIFF, what Pillow cannot open and tifffile reads: gray with alpha of 16 bit, and floating-point colours
MORE_TIFF = {
    (order, kind, samples, 1, bits, extra): (mode, mode)
    for order in (b"II", b"MM")
    for kind, samples, bits, extra, mode in (
        *((gray, (1,), (16, 16), (alpha,), "LA") for gray in (0, 1) for alpha in (0, 1, 2)),
        *((1, (3,), (32, 32), (alpha,), "LA") for alpha in (0, 1, 2)),
        (2, (3,), (32, 32, 32), (), "RGB"),
        *((2, (3,), (32, 32, 32, 32), (alpha,), "RGBA") for alpha in (0, 1, 2)),
    )
}
# what Pillow's, tifffile's and imagecodecs' readers are known to raise over bytes that are not what they claim to be
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError,
    AssertionError, struct.error, zlib.error, RuntimeError, Image.DecompressionBombError,
)  # fmt: skip
_opening = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A picture that was read: 8-bit RGB or RGBA, upright, with the ICC profile that describes its pixels.

    provenance: whether its file says that a model made it, or helped to.  deep: the picture in its file's own mode and
    depth, None where `image` is all of it.  metadata: what else the file says.  format: Pillow's name of it.
    """

    image: Image.Image
    icc: bytes | None
    path: Path
    provenance: Provenance | None = None
    deep: Raster | None = None
    metadata: Metadata = field(default_factory=Metadata)
    format: str | None = None

    @cached_property
    def raster(self) -> Raster:
        """The picture in its file's own mode and depth."""
        return self.deep or raster_of(self.image, self.icc)

    @cached_property
    def srgb(self) -> Image.Image:
        """`image` in sRGB, as models see pictures."""
        return to_srgb(self.image, self.icc)


def read_picture(path: str | Path | io.BytesIO, *, max_pixels: int | None = None) -> Picture:
    """Read a single picture as 8-bit RGB, or RGBA where it has transparency, turned upright by its EXIF tag.

    Accepts PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, JPEG 2000 and, with pillow-heif, HEIC, of any mode and depth; 16 bit
    are scaled, not clipped, and kept beside it. `photo.tif[2]` is the third page or frame of a file. CMYK and gray with
    a profile become sRGB through it. `max_pixels` (or DIFFUSION_TRICKS_MAX_PIXELS, default 100 million) is checked
    before anything is decoded. path: `-` is standard input; the bytes of a file serve as well. Raises `PictureError`
    for everything that cannot be used, with the reason.
    """
    file, page = page_of(path)
    with open_picture(path, max_pixels=max_pixels) as image:
        raster, lost = raster_in(image, file, page or 0)
        metadata = read_metadata(image)  # now, as Pillow finds some of it behind the pixels
        turn = TURNS.get(_orientation(image), TURNS[1])  # asked now, as Pillow turns a TIFF by itself as it loads it
        upright = replace(raster, samples=np.ascontiguousarray(turn(raster.samples)))
    metadata = replace(metadata, lost=(*lost, *metadata.lost))
    plain = upright.mode == "RGB" and not upright.deep
    icc = upright.icc if upright.mode == "RGB" else None
    made, shown = provenance_of(metadata.xmp), _bare(upright.shown())
    where = Path("picture") if isinstance(path, io.BytesIO) else Path(path)
    return Picture(shown, icc, where, made, None if plain else upright, metadata, image.format)


def picture_size(path: str | Path | io.BytesIO) -> tuple[int, int]:
    """(width, height) in pixels of a picture as `read_picture` gives it, upright; nothing of it is decoded.

    Raises PictureError as that does for what cannot be opened.
    """
    with open_picture(path) as image:
        width, height = image.size
        sideways = image.format != "TIFF" and _orientation(image) in SIDEWAYS  # of a TIFF Pillow tells the upright size
        return (height, width) if sideways else (width, height)


@contextlib.contextmanager
def open_picture(path: str | Path | io.BytesIO, *, max_pixels: int | None = None) -> Iterator[Image.Image]:
    """A picture whose header is read and checked but whose pixels are not yet decoded, closed at the end.

    What its decoder raises inside the `with` becomes a `PictureError`.
    """
    (file, page), limit = page_of(path), pixel_limit() if max_pixels is None else max_pixels
    if isinstance(file, Path):
        _check_file(file)
    try:
        with _open(file) as image:
            _turn_to(image, path, page)
            if image.width * image.height > limit:
                raise PictureError(
                    f"{path} says it is {image.width} x {image.height} pixels, more than the {limit:,} that are read;"
                    " make it smaller, or raise DIFFUSION_TRICKS_MAX_PIXELS if you trust it"
                )
            yield image
    except UnidentifiedImageError:
        raise PictureError(_not_a_picture(file, path)) from None
    except PermissionError:
        raise PictureError(
            f"{path} may not be read by you, expected a readable picture; change its permissions"
        ) from None
    except DAMAGE as error:
        raise PictureError(
            f"{path} is damaged or cut short ({error}), expected a whole picture; get another copy of it"
        ) from error


def pixel_limit() -> int:
    """The most pixels a picture may have: DIFFUSION_TRICKS_MAX_PIXELS, or 100 million."""
    text = os.environ.get("DIFFUSION_TRICKS_MAX_PIXELS", "") or str(MAX_PIXELS)
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"DIFFUSION_TRICKS_MAX_PIXELS: expected a number of pixels, got {text!r}")
    return int(text)


def _check_file(path: Path) -> None:
    if os.path.isdir(path):
        raise PictureError(f"{path} is a folder, expected a picture file")
    if not os.path.exists(path):  # unlike Path.exists, no error for a name that is too long
        raise PictureError(f"{path} does not exist, expected a picture file; check the name")
    if not os.path.isfile(path):  # a pipe or a device might never end
        raise PictureError(f"{path} is not a regular file, expected a picture file")
    if path.stat().st_size == 0:
        raise PictureError(f"{path} is empty (0 bytes), expected a picture; get another copy of it")


def _open(source: Path | io.BytesIO) -> Image.Image:
    # Pillow's own limit would raise before the size can be named, and cannot be passed as an argument
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        known = TiffImagePlugin.OPEN_INFO.copy()
        TiffImagePlugin.OPEN_INFO.update(MORE_TIFF)
        try:
            return Image.open(source, formats=[*READ, *_heif(source)])
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            TiffImagePlugin.OPEN_INFO.clear()
            TiffImagePlugin.OPEN_INFO.update(known)


def _heif(source: Path | io.BytesIO) -> list[str]:
    """The format of HEIC, where the file is of it and pillow-heif is there."""
    if _head(source)[4:12] not in HEIF or importlib.util.find_spec("pillow_heif") is None:
        return []
    import pillow_heif

    pillow_heif.register_heif_opener()
    return ["HEIF"]


def _head(source: Path | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()[:LOOKED_AT]
    with source.open("rb") as file:
        return file.read(LOOKED_AT)


def _turn_to(image: Image.Image, path: str | Path | io.BytesIO, page: int | None) -> None:
    """Turns to the page asked for. Raises PictureError where there is none, or several and none is asked for."""
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # phones' JPEGs carry previews as MPO
    kind = "pages" if image.format == "TIFF" else "frames"
    if page is None and frames > 1:
        raise PictureError(
            f"{path} has {frames} {kind} ({image.format}), expected a single picture;"
            f" save the one you want as a picture of its own, as PNG, say, or name it: {path}[0] is the first"
        )
    if page is not None and page >= frames:
        raise PictureError(f"{path}: the file has {frames} {kind if frames > 1 else kind[:-1]}, and the first is [0]")
    if page:
        image.seek(page)


def _not_a_picture(source: Path | io.BytesIO, path: str | Path | io.BytesIO) -> str:
    head = _head(source)
    for mark, name in PROGRAMS.items():
        if head.startswith(mark):
            return f"{path} is {name}, which is a program to be run and is not read; convert it to PNG first"
    if head[4:12] in HEIF:
        return f"{path} is HEIC, which pillow-heif reads; pip install 'diffusion-tricks[heic]', or convert it to PNG"
    return (
        f"{path} is not a picture that can be read: expected PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000,"
        f" got {kind_of(head)}; convert it to PNG first"
    )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except DAMAGE:  # a damaged EXIF block says nothing, and the pixels are whole
        return 1


def _bare(image: Image.Image) -> Image.Image:
    """A copy that carries pixels only: Pillow would write on what stands in `info`."""
    image = image.copy()
    image.info = {}
    return image


def check_output(path: str | Path, *, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Raise `OutputError` unless a picture may be written at `path`: call it before the model is loaded.

    The name must end in one of `WRITTEN`; else as `check_place`.
    """
    format_of(path)
    check_place(path, force=force, inputs=inputs)


def write_picture(
    image: Image.Image, path: str | Path, *, force: bool, inputs: Iterable[str | Path] = (), icc: bytes | None = None,
    text: Mapping[str, str] | None = None, xmp: bytes | None = None,
) -> None:  # fmt: skip
    """Write a picture in the format its name says, whole or not at all; see `encode_picture` and `atomic_write`."""
    check_output(path, force=force, inputs=inputs)
    data = encode_picture(image, path, icc=icc, text=text, xmp=xmp)
    atomic_write(path, data, force=force, inputs=inputs)


def encode_picture(
    image: Image.Image, path: str | Path, *, icc: bytes | None = None, text: Mapping[str, str] | None = None,
    xmp: bytes | None = None, comment: str = "",
) -> bytes:  # fmt: skip
    """The bytes of a picture file in the format that `path` ends in; of `image.info` only the dpi are written.

    PNG, WebP, TIFF and BMP are lossless; JPEG has quality 95, AVIF 90, both without chroma subsampling. Alpha is laid
    on white where there is none of it, in JPEG and BMP. `text` is for PNG only (iTXt, UTF-8), `comment` for JPEG, WebP
    and AVIF (EXIF UserComment, UTF-16), where it is not longer than a segment of JPEG; elsewhere they are left out.
    """
    said = Said(Metadata(dpi=image.info.get("dpi")), texts=text or {}, comment=comment, xmp=xmp)
    return encode(plain_raster(image, icc), path, said).data


def plain_raster(image: Image.Image, icc: bytes | None) -> Raster:
    """A picture of Pillow's, of any mode, as one that can be written; the profile, if any, is one of RGB."""
    gray = image.mode == "L" and icc is None
    whole = image if gray or image.mode in {"RGB", "RGBA"} else _plain(image)
    return raster_of(whole, icc)


def _plain(image: Image.Image) -> Image.Image:
    return image.convert("RGBA" if image.has_transparency_data else "RGB")
