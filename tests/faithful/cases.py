"""One case: a photo of some kind is written by others, read, changed in part, written, and read by others again."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from diffusion_tricks.generate.finish import finished_raster
from diffusion_tricks.io.encode import is_lossy
from diffusion_tricks.io.pictures import read_picture
from diffusion_tricks.io.raster import changed_pixels
from diffusion_tricks.io.source import Source
from diffusion_tricks.recipes.record import encoded_with_record
from diffusion_tricks_plugins import Inpaint
from diffusion_tricks_plugins.masks import Mask, feathered
from diffusion_tricks_plugins.repainting import Edit
from faithful.profiles import ADOBE_RGB, DISPLAY_P3, GRAY, SRGB
from faithful.readers import said_by, samples_of

# kind: (channels, dtype, the formats that hold it)
KINDS: dict[str, tuple[int, Any, tuple[str, ...]]] = {
    "1": (1, bool, ("png", "tif", "bmp")), "L": (1, np.uint8, ("png", "tif", "jpg", "bmp")),
    "LA": (2, np.uint8, ("png", "tif")), "RGB": (3, np.uint8, ("png", "tif", "jpg", "webp", "bmp", "avif", "jp2")),
    "RGBA": (4, np.uint8, ("png", "tif", "webp")), "CMYK": (4, np.uint8, ("tif", "jpg")),
    "P": (1, np.uint8, ("png", "gif", "tif")), "P with transparency": (1, np.uint8, ("png", "gif")),
    "L16": (1, np.uint16, ("png", "tif", "jp2")), "LA16": (2, np.uint16, ("png", "tif")),
    "RGB16": (3, np.uint16, ("png", "tif", "jp2")), "RGBA16": (4, np.uint16, ("png", "tif")),
    "CMYK16": (4, np.uint16, ("tif",)), "F": (1, np.float32, ("tif",)), "RGBF": (3, np.float32, ("tif",)),
}  # fmt: skip
TURNED = {"png", "tif", "jpg", "webp"}  # that say in EXIF how they are to be turned
OUTPUTS = ("png", "tif", "webp", "bmp", "jpg", "avif")
MASKS = ("box:25%,25%,75%,80%", "box:0,0,1,1", "ellipse:10%,20%,95%,90%", "box:-5,2,4,100%", "alpha", "all")
RIGHTS = "Copyright 2026 Ada"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' tiff:Make="Ada\'s"><dc:rights><rdf:Alt><rdf:li xml:lang="x-default">Ada\'s own</rdf:li></rdf:Alt></dc:rights>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
PLAIN = {"RGB": (None, SRGB, DISPLAY_P3, ADOBE_RGB), "L": (None, GRAY)}
UPRIGHT = {  # EXIF 2.32, tag 0x0112: what is seen of what is stored
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 3), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    kind: str
    form: str
    turn: int
    icc: bytes | None
    mask: str
    feather: float
    invert: bool
    output: str
    size: tuple[int, int]
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(sorted(KINDS)))
    form = draw(st.sampled_from(KINDS[kind][2]))
    colours = "RGB" if "RGB" in kind else "L" if kind[0] in "LF" else "none"
    return Case(
        kind, form, draw(st.integers(1, 8)) if form in TURNED else 1,
        draw(st.sampled_from(PLAIN.get(colours, (None,)))) if form in {"png", "tif", "jpg", "webp"} else None,
        draw(st.sampled_from(MASKS)), draw(st.sampled_from([0, 0, 2.5])), draw(st.booleans()),
        draw(st.sampled_from(OUTPUTS)), (draw(st.integers(3, 17)), draw(st.integers(3, 17))),
        draw(st.integers(0, 2**32)),
    )  # fmt: skip


def stored(case: Case) -> np.ndarray:
    """The samples (h w c) of a photo as its file stores them."""
    channels, dtype, _ = KINDS[case.kind]
    random, shape = np.random.default_rng(case.seed), (case.size[1], case.size[0], channels)
    if dtype is bool:
        return random.random(shape) > 0.5
    if dtype is np.float32:
        return random.random(shape, np.float32)
    values = random.integers(0, np.iinfo(dtype).max + 1, shape, dtype)
    if case.kind.endswith(("A", "A16")):
        values[..., -1][random.random(shape[:2]) < 0.3] = 0
    return values


def written(case: Case, samples: np.ndarray, path: Path) -> None:
    """The photo, by Pillow where it knows the mode, else by tifffile and imagecodecs."""
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = case.turn, RIGHTS
    deep = samples.dtype in (np.uint16, np.float32)
    if case.form == "jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(samples.squeeze(), level=0, reversible=True, codecformat="jp2"))
    elif case.form == "tif" and deep:
        tags = [(0x0112, 3, 1, case.turn, True), (0x8298, 2, 0, RIGHTS, True), (700, 1, len(XMP), XMP, True)]
        photometric = "separated" if "CMYK" in case.kind else "rgb" if "RGB" in case.kind else "minisblack"
        tifffile.imwrite(
            path, samples.squeeze(-1) if samples.shape[2] == 1 else samples, photometric=photometric,
            extrasamples=["unassalpha"] if "A" in case.kind else None, iccprofile=case.icc, extratags=tags,
            byteorder=">" if case.seed % 2 else "<", metadata=None,
            planarconfig="contig" if samples.shape[2] > 1 else None,
        )  # fmt: skip
    elif case.form == "png" and deep:
        path.write_bytes(with_chunks(imagecodecs.png_encode(samples.squeeze(-1) if samples.shape[2] == 1 else samples),
                                     exif, case.icc))  # fmt: skip
    else:
        _by_pillow(case, samples, path, exif)


def _by_pillow(case: Case, samples: np.ndarray, path: Path, exif: Image.Exif) -> None:
    mode = case.kind.split()[0]
    if mode == "1":
        image = Image.fromarray(samples[..., 0])
    else:
        image = Image.frombytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes())
    options: dict[str, Any] = {"icc_profile": case.icc} if case.icc else {}
    if mode == "P":
        image.putpalette(np.random.default_rng(case.seed).permutation(768).astype(np.uint8).tobytes())
        options |= {"transparency": 7} if "transparency" in case.kind else {}
    options |= {"webp": {"lossless": True, "exact": True}, "jpg": {"quality": 95}}.get(case.form, {})
    if case.form in TURNED:
        options |= {"exif": exif}
    if case.form == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options |= {"pnginfo": info}
    elif case.form in {"jpg", "webp"}:
        options |= {"xmp": XMP}
    image.save(path, {"jpg": "JPEG", "tif": "TIFF"}.get(case.form), **options)


def with_chunks(png: bytes, exif: Image.Exif, icc: bytes | None) -> bytes:
    """A PNG with the chunks that Pillow makes of these."""
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    Image.new("RGB", (1, 1)).save(file, "PNG", exif=exif, pnginfo=info, **({"icc_profile": icc} if icc else {}))
    small = file.getvalue()
    return png[:33] + small[33 : small.index(b"IDAT") - 4] + png[33:]


def changed(case: Case, path: Path) -> tuple[Any, Any, np.ndarray]:
    """The photo as it is read, what `inpaint` makes of it with noise for a model's picture, and where it is kept."""
    picture = read_picture(path)
    height, width = picture.raster.samples.shape[:2]
    trick = Inpaint(mask="box:0,0,1,1" if case.mask in {"alpha", "all"} else case.mask, invert=case.invert)
    mask = trick.mask_of(picture) if case.mask not in {"alpha", "all"} else None
    if mask is None:
        weights = np.random.default_rng(case.seed + 1).integers(0, 256, (height, width), np.uint8)
        weights[weights < 90] = 0
        mask = Mask(weights)
    else:
        mask = Mask(feathered(mask, case.feather))
    source = Source(picture, (0, 0, width, height))
    edit = Edit("inpaint", trick.options, "original", mask, mask.weights, (0, 0, width, height), [mask])
    run = SimpleNamespace(source=source, repainted={}, tricks=[trick], state=lambda _: {"edit": edit})
    noise = np.random.default_rng(case.seed + 2).integers(0, 256, (8, 8, 3), np.uint8)
    finished = trick.finish_image(run, Image.fromarray(noise), 0)
    raster = finished_raster(run, finished, 0)
    return picture, raster, run.repainted[0].kept


def broken(case: Case, folder: Path) -> str | None:
    """What of the promise a case breaks; None for nothing."""
    path, out = folder / f"in.{case.form}", folder / f"out.{case.output}"
    written(case, stored(case), path)
    try:
        picture, raster, kept = changed(case, path)
    except Exception as error:  # every kind is to be read
        if "is empty" in str(error) or "no area" in str(error) or "outside" in str(error):
            return None
        raise
    encoded = encoded_with_record(raster, out, None, provenance="edited", metadata=picture.metadata)
    out.write_bytes(encoded.data)
    if not is_lossy(out):
        found = samples_of(out)
        expected = seen(case, path, found)
        if expected is None:
            return None if encoded.lost else "what could not be kept is not said"
        differs = (found != expected).any(axis=2) & kept
        if differs.any():
            return f"{np.count_nonzero(differs)} of {np.count_nonzero(kept)} kept pixels changed"
        if (changed_pixels(picture.raster, read_picture(out).raster) & kept).any():
            return "the count of changed pixels is wrong"
    return said(case, out, encoded)


def seen(case: Case, path: Path, found: np.ndarray) -> np.ndarray | None:
    """What the kept pixels of a file with such samples must be; None where its format cannot hold the photo's."""
    if case.form in {"jpg", "avif", "gif"} or case.kind.startswith("P"):
        image = Image.open(io.BytesIO(path.read_bytes()))
        image.getexif().pop(0x0112, None)  # else Pillow turns a TIFF
        mode = "RGBA" if "transparency" in case.kind else "RGB"
        values = np.asarray(image if case.kind in {"L", "CMYK"} else image.convert(mode))
        values = values.reshape(*values.shape[:2], -1)
    else:
        values = stored(case)
        values = values.astype(np.uint8) * np.uint8(255) if values.dtype == bool else values
    values = UPRIGHT[case.turn](values)
    if values.dtype != found.dtype or ("CMYK" in case.kind and case.output != "tif"):
        return None
    gray = {1: values[..., :1], 2: values}.get(values.shape[2], values)
    if case.icc and (case.output == "bmp" or (case.icc == GRAY and found.shape[2] >= 3)):
        return None
    if gray.shape[2] == found.shape[2]:
        return gray
    if values.shape[2] == 1 and found.shape[2] == 3:
        return np.repeat(values, 3, axis=2)
    if values.shape[2] == 2 and found.shape[2] == 4:
        return values[..., [0, 0, 0, 1]]
    return None


def said(case: Case, out: Path, encoded: Any) -> str | None:
    """What of the rights, the mark, the orientation and the profile is not in the file."""
    if case.output == "bmp":
        return None
    rights, turn, xmp, icc = said_by(out)
    if case.form in TURNED and rights != RIGHTS:
        return f"the rights are {rights!r}"
    if turn not in {None, 1}:
        return f"the orientation is {turn}"
    if b"compositeWithTrainedAlgorithmicMedia" not in xmp:
        return "the mark is missing"
    if case.form in {"png", "jpg", "webp"} and b"Ada's own" not in xmp:
        return "the rights in XMP are missing"
    if icc != encoded.raster.icc or (case.icc and not icc and not any("sRGB" in each for each in encoded.lost)):
        return "the profile is another"
    return None
