"""The mark that says a picture was made or changed by a model: IPTC DigitalSourceType, in XMP.

Source: IPTC Photo Metadata Standard 2023.1, "Digital Source Type", and the IPTC NewsCodes of that name.
"""

from __future__ import annotations

from typing import Literal

Provenance = Literal["generated", "edited"]
SOURCE_TYPES: dict[Provenance, str] = {
    "generated": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "edited": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
}
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>{tool}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def provenance_xmp(kind: Provenance) -> bytes:
    """The XMP packet (UTF-8) for a picture made by a model, `generated`, or one that a model changed, `edited`."""
    return PACKET.format(tool="diffusion-tricks", source=SOURCE_TYPES[kind]).encode("utf-8")


def provenance_of(xmp: bytes | str | None) -> Provenance | None:
    """What an XMP packet says of a picture's making: by a model, with a model's help, or nothing of either.

    A packet that says both is of a picture that a model made and one changed.
    """
    text = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp or ""
    return next((kind for kind, source in reversed(SOURCE_TYPES.items()) if source in text), None)
