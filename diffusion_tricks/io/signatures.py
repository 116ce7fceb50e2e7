"""Kinds of files by their first bytes, for messages about files that are no picture that can be read."""

from __future__ import annotations

SIGNATURES = {
    b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "EPS", b"%PDF": "a PDF", b"8BPS": "a Photoshop document",
    b"PK\x03\x04": "a ZIP archive, as documents and apps are", b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000", b"\0\0\1\0": "a Windows icon", b"icns": "an Apple icon",
    b"gimp xcf": "a GIMP document",
    b"\x76\x2f\x31\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR", b"qoif": "QOI", b"DDS ": "a DirectDraw surface",
    b"FUJIFILM": "a raw photograph of Fujifilm", b"IIRO": "a raw photograph of Olympus",
    b"IIU\0": "a raw photograph of Panasonic",
    b"<svg": "SVG", b"<?xml": "XML, as SVG is", b"<!DOCTYPE": "a web page", b"<html": "a web page",
    b"{": "JSON text",
    b"\x7fELF": "a program", b"MZ": "a program", b"\x1aE\xdf\xa3": "a Matroska or WebM film",
    b"OggS": "an Ogg recording",
    b"ID3": "an MP3 recording", b"fLaC": "a FLAC recording", b"\x89PNG": "a PNG whose header is damaged",
    b"\xff\xd8\xff": "a JPEG whose header is damaged",
    b"GIF8": "a GIF whose header is damaged", b"BM": "a BMP whose header is damaged",
    b"\x89HDF": "HDF5", b"\x93NUMPY": "a NumPy array", b"\x00\x01\x00\x00\x00": "a font", b"OTTO": "a font",
}  # fmt: skip
BRANDS = {
    b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF",
    b"avis": "AVIF", b"crx ": "a raw photograph of Canon", b"qt  ": "a QuickTime film",
}  # fmt: skip
RIFF = {b"WEBP": "a WebP whose header is damaged", b"WAVE": "a WAV recording", b"AVI ": "an AVI film"}
LOOKED_AT = 64  # bytes


def kind_of(head: bytes) -> str:
    """What the first bytes of a file say it is, in words, as "HEIC", "a ZIP archive" or "text"."""
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12], "an MP4 film")
    if head.startswith(b"RIFF"):
        return RIFF.get(head[8:12], "a RIFF file")
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    found = next((name for mark, name in SIGNATURES.items() if bare.startswith(mark) or head.startswith(mark)), None)
    return found or ("text" if _is_text(head) else "a file of no kind that is known here")


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a letter that the end cuts through
            return False
        text = head[: error.start].decode("utf-8")
    return all(char.isprintable() or char.isspace() for char in text)
