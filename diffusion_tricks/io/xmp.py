"""XMP packets of pictures that are changed: what they say is kept, and who changed them is added.

Source: XMP Specification part 1 (ISO 16684-1) and part 2; IPTC Photo Metadata Standard 2023.1.
"""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree as ET

from diffusion_tricks.io.provenance import SOURCE_TYPES, Provenance

RDF, XMP = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://ns.adobe.com/xap/1.0/}"
MEDIA, EVENT = "{http://ns.adobe.com/xap/1.0/mm/}", "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
PREFIXES = {RDF: "rdf", XMP: "xmp", MEDIA: "xmpMM", EVENT: "stEvt", SOURCE_TYPE: "Iptc4xmpExt"}
PLACE = "{http://ns.adobe.com/exif/1.0/}GPS"
ORIENTATION = "{http://ns.adobe.com/tiff/1.0/}Orientation"
SIDES = {  # which of width and height a property says
    "{http://ns.adobe.com/exif/1.0/}PixelXDimension": 0, "{http://ns.adobe.com/exif/1.0/}PixelYDimension": 1,
    "{http://ns.adobe.com/tiff/1.0/}ImageWidth": 0, "{http://ns.adobe.com/tiff/1.0/}ImageLength": 1,
}  # fmt: skip
THUMBNAILS = f"{XMP}Thumbnails"
HEAD, TAIL = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', '\n<?xpacket end="w"?>'


class NoXmp(ValueError):
    """A packet that cannot be read as XMP."""


def names_a_place(xmp: bytes) -> bool:
    """Whether a packet says where on Earth a picture was taken."""
    return b"GPSL" in xmp


def merged(xmp: bytes, kind: Provenance | None, keep_gps: bool, size: tuple[int, int] | None = None) -> bytes:
    """A packet with the mark of `kind` added, if there is one, and without what holds no longer.

    The mark that was there goes into the history. Its orientation, as the pixels are upright, its thumbnails, which
    show what was before, and unless `keep_gps` its position are taken out. size: (width, height) of the new picture,
    where the packet says one. Raises NoXmp.
    """
    root, rdf = _parsed(xmp)
    for description in rdf.iterfind(f"{RDF}Description"):
        for name in [*description.attrib, *(child.tag for child in description)]:
            if name in {ORIENTATION, THUMBNAILS} or (name.startswith(PLACE) and not keep_gps):
                _taken(description, name)
            elif name in SIDES and size is not None:
                _set(description, name, str(size[SIDES[name]]))
    if kind is not None:
        _mark(rdf, SOURCE_TYPES[kind])
    for name, prefix in PREFIXES.items():
        ET.register_namespace(prefix, name[1:].partition("}")[0])
    return (HEAD + ET.tostring(root, encoding="unicode") + TAIL).encode("utf-8")


def _parsed(xmp: bytes) -> tuple[ET.Element, ET.Element]:
    """The root and the rdf:RDF in it, whose names keep their prefixes."""
    if b"<!" in xmp.replace(b"<!--", b""):  # a document type may define what grows without end
        raise NoXmp("it defines entities")
    try:
        packet = re.sub(rb"\0+$", b"", xmp).decode("utf-8-sig")
        packet = re.sub(r"<\?xpacket.*?\?>", "", packet).strip("\ufeff \r\n\t\0")
        for _, (prefix, uri) in ET.iterparse(io.StringIO(packet), events=["start-ns"]):
            if prefix and not re.fullmatch(r"ns\d+", prefix):
                ET.register_namespace(prefix, uri)
        root = ET.fromstring(packet)
    except (ET.ParseError, ValueError) as error:
        raise NoXmp(str(error)) from None
    rdf = root if root.tag == f"{RDF}RDF" else root.find(f"{RDF}RDF")
    if rdf is None:
        raise NoXmp("it holds no rdf:RDF")
    return root, rdf


def _taken(description: ET.Element, name: str) -> str | None:
    """A property that is taken out: its text, None where there is none."""
    text = description.attrib.pop(name, None)
    for child in description.findall(name):
        text = child.text or child.get(f"{RDF}resource") or text
        description.remove(child)
    return text


def _set(description: ET.Element, name: str, text: str) -> None:
    """Gives a property that is there another text."""
    if name in description.attrib:
        description.set(name, text)
    for child in description.findall(name):
        child.text = text


def _mark(rdf: ET.Element, source: str) -> None:
    before = [said for each in rdf.iterfind(f"{RDF}Description") if (said := _taken(each, SOURCE_TYPE))]
    first = rdf.find(f"{RDF}Description")
    about = "" if first is None else first.get(f"{RDF}about", "")
    ET.SubElement(_description(rdf, about), SOURCE_TYPE).text = source
    event = ET.SubElement(_history(rdf, about), f"{RDF}li", {f"{RDF}parseType": "Resource"})
    facts = {"action": "edited", "softwareAgent": "diffusion-tricks"}
    facts |= {"parameters": f"DigitalSourceType was {', '.join(before)}"} if before else {}
    for name, text in facts.items():
        ET.SubElement(event, f"{EVENT}{name}").text = text


def _history(rdf: ET.Element, about: str) -> ET.Element:
    """The list of events, that there is or a new one."""
    there = rdf.find(f"{RDF}Description/{MEDIA}History/{RDF}Seq")
    if there is not None:
        return there
    return ET.SubElement(ET.SubElement(_description(rdf, about), f"{MEDIA}History"), f"{RDF}Seq")


def _description(rdf: ET.Element, about: str) -> ET.Element:
    return ET.SubElement(rdf, f"{RDF}Description", {f"{RDF}about": about})
