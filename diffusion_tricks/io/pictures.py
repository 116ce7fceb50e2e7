"""Pictures in and out: orientation, ICC profiles, alpha, 16 bit; what is refused, and why; files written whole.

What is done to pixels once they are read lives in `pixels`, how a file is written in `atomic`; both are offered
here too.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from diffusion_tricks.errors import OutputError, OutputFailed, PictureError, UsageError
from diffusion_tricks.io.atomic import atomic_write, check_place
from diffusion_tricks.io.pixels import eight_bit_rgb, flatten
from diffusion_tricks.io.provenance import Provenance, provenance_of
from diffusion_tricks.io.signatures import LOOKED_AT, kind_of

READ = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
USER_COMMENT_PREFIX = b"UNICODE\0"  # big-endian, as the common programs write and read it
MAX_COMMENT_BYTES = 65_000  # of the 65,533 of a JPEG's segment
MAX_PIXELS = 100_000_000
PROGRAMS = {b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "EPS", b"%PDF": "PDF"}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# what Pillow's readers are known to raise over bytes that are not what they claim to be
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError,
    AssertionError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
_opening = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A picture that was read: 8-bit RGB or RGBA, upright, with the ICC profile that describes its pixels.

    provenance: whether its file says that a model made it, or helped to.
    """

    image: Image.Image
    icc: bytes | None
    path: Path
    provenance: Provenance | None = None


def read_picture(path: str | Path, *, max_pixels: int | None = None) -> Picture:
    """Read a single picture as 8-bit RGB, or RGBA where it has transparency, turned upright by its EXIF tag.

    Accepts PNG, JPEG, WebP, TIFF, BMP and GIF of one frame, in gray, palette, RGB, CMYK or 16-bit gray, which is
    scaled, not clipped. CMYK becomes sRGB through the picture's own profile. The ICC profile is kept only where it
    describes the RGB pixels returned. `max_pixels` (or DIFFUSION_TRICKS_MAX_PIXELS, default 100 million) is checked
    before anything is decoded. Raises `PictureError` for everything that cannot be used, with the reason.
    """
    with open_picture(path, max_pixels=max_pixels) as image:
        image.load()
        made = provenance_of(image.info.get("xmp"))
        icc, turn = image.info.get("icc_profile"), TURNS.get(_orientation(image))
        describes = image.mode not in {"CMYK", "LAB"} and icc is not None and icc[16:20] == b"RGB "
        upright = eight_bit_rgb(image, Path(path))
    if turn is not None:
        upright = upright.transpose(turn)
    return Picture(_bare(upright), icc if describes else None, Path(path), made)


@contextlib.contextmanager
def open_picture(path: str | Path, *, max_pixels: int | None = None) -> Iterator[Image.Image]:
    """A picture whose header is read and checked but whose pixels are not yet decoded, closed at the end.

    What its decoder raises inside the `with` becomes a `PictureError`.
    """
    path, limit = Path(path), pixel_limit() if max_pixels is None else max_pixels
    _check_file(path)
    try:
        with _open(path) as image:
            if image.width * image.height > limit:
                raise PictureError(
                    f"{path} says it is {image.width} x {image.height} pixels, more than the {limit:,} that are read;"
                    " make it smaller, or raise DIFFUSION_TRICKS_MAX_PIXELS if you trust it"
                )
            _check_single(image, path)
            yield image
    except UnidentifiedImageError:
        raise PictureError(_not_a_picture(path)) from None
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


def _open(path: Path) -> Image.Image:
    # Pillow's own limit would raise before the size can be named, and cannot be passed as an argument
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=READ)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_single(image: Image.Image, path: Path) -> None:
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # phones' JPEGs carry previews as MPO
    if frames > 1:
        kind = "pages" if image.format == "TIFF" else "frames"
        raise PictureError(
            f"{path} has {frames} {kind} ({image.format}), expected a single picture;"
            f" save the one you want as a picture of its own, as PNG, say"
        )


def _not_a_picture(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    for mark, name in PROGRAMS.items():
        if head.startswith(mark):
            return f"{path} is {name}, which is a program to be run and is not read; convert it to PNG first"
    return (
        f"{path} is not a picture that can be read: expected PNG, JPEG, WebP, TIFF, BMP or GIF,"
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
    _format(Path(path))
    check_place(path, force=force, inputs=inputs)


def _format(path: Path) -> str:
    known = WRITTEN.get(path.suffix.lower())
    if known is None:
        came = f"got {path.suffix!r}" if path.suffix else "got no extension"
        raise OutputError(f"{path}: expected a name that ends in {', '.join(WRITTEN)}, {came}; rename the output")
    return known


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

    PNG, WebP and TIFF are lossless and keep alpha; JPEG has quality 95, no chroma subsampling, and alpha is laid on
    white. `text` is for PNG only (iTXt, UTF-8), `comment` for JPEG and WebP (EXIF UserComment, UTF-16), where it is not
    longer than a segment of JPEG; elsewhere they are left out.
    """
    kind, dpi = _format(Path(path)), image.info.get("dpi")
    gray = image.mode == "L" and icc is None  # the profiles kept here describe RGB
    image = _bare(image if gray or image.mode in {"RGB", "RGBA"} else _plain(image))
    if kind == "JPEG" and image.mode == "RGBA":
        image = flatten(image)
    options = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff}[kind](text or {}, xmp, comment)
    file = io.BytesIO()  # in memory first: Pillow's own file writing hides why the disk refused
    try:
        image.save(file, kind, icc_profile=icc, **options, **({"dpi": dpi} if dpi else {}))
    except (OSError, ValueError, SyntaxError) as error:
        size = f"{image.width} x {image.height}"
        raise OutputFailed(f"{path} could not be encoded as {kind} at {size} pixels ({error}); try .png") from error
    return file.getvalue()


def _plain(image: Image.Image) -> Image.Image:
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _png(text: Mapping[str, str], xmp: bytes | None, _: str) -> dict[str, object]:
    chunks = PngImagePlugin.PngInfo()
    if xmp:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8"))
    for key, value in text.items():
        # iTXt ends at a NUL and holds UTF-8 only; a prompt from the command line may hold neither
        chunks.add_itxt(key, value.replace("\0", "").encode("utf-8", "replace").decode("utf-8"))
    return {"pnginfo": chunks}


def _jpeg(_: Mapping[str, str], xmp: bytes | None, comment: str) -> dict[str, object]:
    return {"quality": 95, "subsampling": 0, **({"xmp": xmp} if xmp else {}), **_exif(comment)}


def _webp(_: Mapping[str, str], xmp: bytes | None, comment: str) -> dict[str, object]:
    return {"lossless": True, "exact": True, **({"xmp": xmp} if xmp else {}), **_exif(comment)}


def _exif(comment: str) -> dict[str, object]:
    """An EXIF block that holds a UserComment alone (EXIF 2.32, 4.6.5); none for one that does not fit."""
    data = USER_COMMENT_PREFIX + comment.replace("\0", "").encode("utf-16-be", "replace")
    if not comment or len(data) > MAX_COMMENT_BYTES:
        return {}
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = data
    return {"exif": exif}


def _tiff(_: Mapping[str, str], xmp: bytes | None, __: str) -> dict[str, object]:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if xmp:
        tags[TiffImagePlugin.XMP] = xmp
    return {"compression": "tiff_adobe_deflate", "tiffinfo": tags}
