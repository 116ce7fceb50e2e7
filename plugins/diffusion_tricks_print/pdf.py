"""Pages as a PDF: vector lines, letters that can be searched, and pictures pixel by pixel. fpdf2 writes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path as File
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import PluginError
from diffusion_tricks_print.page import DASH, HAIR, INCH, Page, Text

if TYPE_CHECKING:
    from fpdf import FPDF

    from diffusion_tricks.plugin import Typeface

POINT = 72 / INCH  # per millimetre
FAMILY = "letters"


def as_pdf(pages: Sequence[Page], face: Typeface, title: str) -> bytes:
    """The pages in one document. Raises PluginError where the extra `print` is not installed."""
    pdf = _document(title)
    with _font_file(face) as file:
        pdf.add_font(FAMILY, fname=file, collection_font_number=face.index)
        pdf.set_text_shaping(True)
        for page in pages:
            _write(pdf, page)
        return bytes(pdf.output())


def _document(title: str) -> FPDF:
    try:
        import uharfbuzz  # noqa: F401  # fpdf2 shapes letters with it
        from fpdf import FPDF
    except ImportError as error:
        raise PluginError(f"a PDF needs {error.name}; install it with `pip install 'diffusion-tricks[print]'`, or write"
                          " to a name that ends in .svg") from None  # fmt: skip
    pdf = FPDF(unit="mm")
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.set_image_filter("FlateDecode")
    pdf.set_title(title)
    return pdf


@contextmanager
def _font_file(face: Typeface) -> Iterator[File]:
    """The file of a typeface, for as long as it is needed; of the built-in one, which has none, a copy."""
    if face.path:
        yield face.path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = File(folder, "letters.ttf")
        copy.write_bytes(face.at(16).path.getvalue())  # type: ignore[union-attr]
        yield copy


def _write(pdf: FPDF, page: Page) -> None:
    pdf.add_page(format=(page.width, page.height))
    for placed in page.pictures:
        area = placed.area
        pdf.image(placed.image, area.x, area.y, area.width, area.height)
    pdf.set_line_width(HAIR)
    for path in page.paths:
        pdf.set_dash_pattern(DASH if path.dashed else 0, DASH if path.dashed else 0)
        pdf.polyline(list(path.points), polygon=path.closed)
    pdf.set_dash_pattern()
    for text in page.texts:
        _letter(pdf, text)


def _letter(pdf: FPDF, text: Text) -> None:
    """The middle of the baseline is where `text` says; fpdf2 sets a cell's baseline 0.3 sizes below its middle."""
    (x, y), size = text.at, text.size
    pdf.set_font(FAMILY, size=size * POINT)
    width = pdf.get_string_width(text.text) + 1
    with ExitStack() as moved:
        if text.motion.degrees:
            moved.enter_context(pdf.rotation(text.motion.degrees, x, y))
        if text.motion.mirrored:
            moved.enter_context(pdf.mirror((x, y), "NORTH"))
        pdf.set_xy(x - width / 2, y - 0.8 * size)
        pdf.cell(width, size, text.text, align="C")
