"""By the end of a file's name: all pages in one PDF, or each page in an SVG of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from diffusion_tricks.plugin import Typeface, UsageError, atomic_write, atomic_write_all
from diffusion_tricks_print.page import Page

Writer = Callable[..., list[Path]]


def writer_for(output: Path) -> Writer:
    """What writes files of that name. Raises UsageError for any name but .pdf and .svg."""
    writers: dict[str, Writer] = {".pdf": write_pdf, ".svg": write_svg}
    if output.suffix.lower() not in writers:
        raise UsageError(f"expected a file that ends in .pdf or .svg, got {output}")
    return writers[output.suffix.lower()]


def write_pdf(
    output: Path, pages: Sequence[Page], face: Typeface, *, force: bool, inputs: Sequence[str]
) -> list[Path]:  # fmt: skip
    """One document. Raises OutputError, and PluginError where the extra `print` is not installed."""
    from diffusion_tricks_print.pdf import as_pdf

    atomic_write(output, as_pdf(pages, face, output.stem), force=force, inputs=inputs)
    return [output]


def write_svg(
    output: Path, pages: Sequence[Page], face: Typeface, *, force: bool, inputs: Sequence[str]
) -> list[Path]:  # fmt: skip
    """One file for each page: its number stands before the suffix, unless there is only one. Raises OutputError."""
    from diffusion_tricks_print.svg import as_svg

    several = len(pages) > 1
    paths = [output.with_stem(f"{output.stem}-{i}") if several else output for i in range(1, len(pages) + 1)]
    atomic_write_all(
        {path: as_svg(page, face) for path, page in zip(paths, pages, strict=True)}, force=force, inputs=inputs
    )
    return paths
