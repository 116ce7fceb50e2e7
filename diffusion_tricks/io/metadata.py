"""What a photo's file says beside its pixels: EXIF, XMP, IPTC, resolution and texts, made true of a new picture.

The pixels are turned upright once, so the orientation becomes 1; thumbnails show the picture before, and go; a position
goes unless it is asked for. Source: EXIF 2.32, IPTC-IIM 4.2, and the formats' own papers.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image

from diffusion_tricks.io.provenance import Provenance, provenance_xmp
from diffusion_tricks.io.xmp import NoXmp, merged, names_a_place

EXIF, GPS, INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
IPTC_TAG, MAKER_NOTE, USER_COMMENT = 33723, 0x927C, 0x9286
IPTC_RESOURCE = 0x0404  # of Photoshop's
# tags of TIFF that describe how pixels are stored, or that have a place of their own here
STORAGE = {
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289,
    290, 291, 292, 293, 296, 297, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340, 341,
    342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 700, IPTC_TAG, 34377, 34675, 37724,
}  # fmt: skip
RAW_IPTC = "Raw profile type iptc"
OWN_TEXTS = ("Raw profile type", "XML:com.adobe.xmp", "xmp", "exif")
# what readers of damaged blocks are known to raise
DAMAGE = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, AssertionError,
          struct.error)  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """What a picture's file says beside its pixels.

    tags, details, interop, place: of EXIF, by number: of the picture, of how it was taken, of its rules, and where.
    order: of bytes in EXIF, "<" or ">".  iptc: IPTC-IIM records.  dpi: pixels to an inch, across and down.  texts: of
    a PNG, by keyword.  comment: of a JPEG.  lost: what cannot be kept, in words.
    """

    tags: dict[int, Any] = field(default_factory=dict)
    details: dict[int, Any] = field(default_factory=dict)
    interop: dict[int, Any] = field(default_factory=dict)
    place: dict[int, Any] = field(default_factory=dict)
    order: str = ">"
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    comment: bytes | None = None
    lost: tuple[str, ...] = ()

    def exif(self, size: tuple[int, int], *, keep_gps: bool, comment: bytes | None = None) -> Image.Exif:
        """The EXIF block of a new picture of that size (width, height); empty where there is nothing to say.

        comment: its UserComment, where it has none of its own.
        """
        exif = Image.Exif()
        exif.endian = self.order
        for tag, value in self.tags.items():
            exif[tag] = value
        details = dict(self.details)
        if comment:
            details[USER_COMMENT] = comment
        for tag, side in zip((ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight), size, strict=True):
            if tag in details:
                details[tag] = side
        if self.interop:
            details[INTEROP] = dict(self.interop)
        if details:
            exif.get_ifd(EXIF).update(details)
        if self.place and keep_gps:
            exif.get_ifd(GPS).update(self.place)
        if self.tags or details:
            exif[ExifTags.Base.Orientation] = 1
        return exif

    def packet(self, kind: Provenance | None, *, keep_gps: bool, size: tuple[int, int]) -> bytes | None:
        """The XMP packet of a new picture of that size, marked as `kind`; one that cannot be read is replaced."""
        if self.xmp is not None:
            try:
                return merged(self.xmp, kind, keep_gps, size)
            except NoXmp:
                pass
        return provenance_xmp(kind) if kind else None

    def missing(self, *, keep_gps: bool) -> list[str]:
        """What of it does not stand in any new file, in words."""
        said = list(self.lost)
        if not keep_gps and (self.place or (self.xmp is not None and names_a_place(self.xmp))):
            said.append("the GPS position, which `keep_gps` keeps")
        if self.xmp is not None:
            try:
                merged(self.xmp, None, True)
            except NoXmp as error:
                said.append(f"XMP that cannot be read ({error})")
        return said


def read_metadata(image: Image.Image) -> Metadata:
    """What the file of an opened picture says. What is damaged says nothing, and is told of in `lost`."""
    lost: list[str] = []
    try:
        exif = image.getexif()
        tags = {tag: _held(value) for tag, value in exif.items() if tag not in STORAGE | {EXIF, GPS}}
        details = {tag: _held(value) for tag, value in exif.get_ifd(EXIF).items() if tag != INTEROP}
        interop = dict(exif.get_ifd(INTEROP)) if INTEROP in exif.get_ifd(EXIF) else {}
        place = {tag: _held(value) for tag, value in exif.get_ifd(GPS).items()}
        if image.format != "TIFF" and exif.get_ifd(ExifTags.IFD.IFD1):
            lost.append("the thumbnail in EXIF, as it shows the picture before")
        order = exif.endian or ">"
        exif.tobytes()
    except DAMAGE:
        tags, details, interop, place, order = {}, {}, {}, {}, ">"
        lost.append("EXIF that is damaged")
    xmp = image.info.get("xmp")
    return Metadata(
        tags, details, interop, place, order, xmp if isinstance(xmp, bytes) and xmp else None, _iptc(image),
        _dpi(image), _texts(image), _comment(image), (*lost, *_unkept(image)),
    )  # fmt: skip


def _held(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytearray) else value


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        exif = image.getexif()
        told: list[Any] = [exif.get(tag) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution)]
        unit = {2: 1.0, 3: 2.54}.get(exif.get(ExifTags.Base.ResolutionUnit, 2), 0.0)
        sides = None if image.format == "TIFF" and None in told else image.info.get("dpi")
        across, down = (float(side) for side in sides or [side * unit for side in told])
    except DAMAGE:
        return None
    return (across, down) if 0 < across < 1e5 and 0 < down < 1e5 else None


def _texts(image: Image.Image) -> dict[str, str]:
    texts = getattr(image, "text", {}) if image.format == "PNG" else {}
    return {key: str(text) for key, text in texts.items() if not key.startswith(OWN_TEXTS)}


def _comment(image: Image.Image) -> bytes | None:
    comment = image.info.get("comment")
    return comment if isinstance(comment, bytes) and comment and image.format in {"JPEG", "MPO"} else None


def _unkept(image: Image.Image) -> list[str]:
    """Marks that hold for one file alone, and pictures beside the picture."""
    said = []
    private = [name for name, *_ in getattr(image, "private_chunks", ())]
    segments = [data for name, data in getattr(image, "applist", ()) if name == "APP11"]
    if b"caBX" in private or any(b"c2pa" in data for data in segments):
        said.append("Content Credentials (C2PA), which are signed for the file that they came in")
    if image.format == "MPO":
        said.append("the further pictures in the file")
    return said


def _iptc(image: Image.Image) -> bytes | None:
    """IPTC-IIM records, wherever the format keeps them."""
    found: Any = None
    if image.format in {"JPEG", "MPO"}:
        found = image.info.get("photoshop", {}).get(IPTC_RESOURCE)
    elif image.format == "TIFF":
        found = getattr(image, "tag_v2", {}).get(IPTC_TAG)
    elif image.format == "PNG":
        found = _from_text(image.info.get(RAW_IPTC))
    else:
        try:
            found = image.getexif().get(IPTC_TAG)
        except DAMAGE:
            found = None
    if isinstance(found, tuple) and all(isinstance(each, int) for each in found):  # longs, as older programs write them
        found = struct.pack(f"<{len(found)}I", *found)
    return found.rstrip(b"\0") if isinstance(found, bytes) and found[:1] == b"\x1c" else None


def _from_text(text: Any) -> bytes | None:
    """The records in ImageMagick's form: a name, a length, and figures to the base 16, often within a resource."""
    try:
        data = binascii.unhexlify("".join(str(text).split()[2:]))
    except ValueError:
        return None
    try:
        return _resource_in(data)
    except struct.error:  # cut short
        return None


def _resource_in(data: bytes) -> bytes:
    """The records in a list of Photoshop's resources, or bare. Raises struct.error for one that is cut short."""
    while data[:4] == b"8BIM":
        kind, name = struct.unpack_from(">HB", data, 4)
        start = 4 + 2 + (name + 2) // 2 * 2  # the name is as long as it says, and made even with its length
        (length,) = struct.unpack_from(">I", data, start)
        if kind == IPTC_RESOURCE:
            return data[start + 4 : start + 4 + length]
        data = data[start + 4 + length + length % 2 :]
    return data


def resource(iptc: bytes) -> bytes:
    """The records as a resource of Photoshop's."""
    return b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def iptc_segment(iptc: bytes) -> bytes:
    """The APP13 segment of a JPEG with the records in it; empty for more than one holds."""
    data = b"Photoshop 3.0\0" + resource(iptc)
    return b"\xff\xed" + struct.pack(">H", len(data) + 2) + data if len(data) < 65_534 else b""


def iptc_text(iptc: bytes) -> str:
    """The records as text in ImageMagick's form, for a PNG."""
    data = resource(iptc)
    figures = data.hex()
    lines = [figures[i : i + 72] for i in range(0, len(figures), 72)]
    return "\n".join(["", "iptc", f"{len(data):8}", *lines, ""])
