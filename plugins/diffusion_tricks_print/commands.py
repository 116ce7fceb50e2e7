"""The command `print`: from a picture, or from what it is said to show, to a file for the printer. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffusion_tricks_print.page import PAPERS

KINDS = ("card", "jigsaw", "fold", "transparencies", "distance", "seen")
EXAMPLES = "Example:\n\n\b\n  diffusion-tricks print illusion.png -o sheet.pdf --paper letter"


@click.command("print", epilog=EXAMPLES, short_help="a picture as sheets to print, cut, fold and turn")
@click.argument("picture", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="The .pdf to write, or .svg for each page.")
@click.option(
    "--view", "views", multiple=True, type=(str, str), metavar="VIEW TEXT",
    help="What it shows through a view, in place of its record; see views. Once per view.",
)  # fmt: skip
@click.option("--sheet", "sheets", multiple=True, type=click.Choice(KINDS),
              help="Only these sheets.  [default: all that the picture needs]")  # fmt: skip
@click.option(
    "--paper", type=click.Choice(list(PAPERS)), default="a4", show_default=True, help="What it is printed on."
)
@click.option("--size-mm", type=click.FloatRange(5, 400), help="The picture's longer side.  [default: what fits]")
@click.option("--margin-mm", type=click.FloatRange(0, 100), default=12, show_default=True,
              help="What stays white all around.")  # fmt: skip
@click.option("--dpi", type=click.FloatRange(36, 2400),
              help="Resample pictures to so many dots per inch.  [default: their own pixels]")  # fmt: skip
@click.option("--font", help="A font file or an installed family.  [default: one that has all letters]")
@click.option("--force", is_flag=True, help="Replace an older file.")
def print_command(picture: str, output: str, **options: Any) -> None:
    """Sheets to print, cut, fold and turn, measured in millimetres, from the record inside a picture.

    A turning card with a caption for each view; cut lines and a plan for views in pieces; folds; films to lay over one
    another; for hybrids the distance from which the far picture is seen alone. Print at 100 %, not "fit to page".
    """
    for path in printed(picture, Path(output), **options):
        click.echo(str(path))


def printed(
    picture: str, output: Path, *, views: tuple[tuple[str, str], ...], sheets: tuple[str, ...], paper: str,
    size_mm: float | None, margin_mm: float, dpi: float | None, font: str | None, force: bool,
) -> list[Path]:  # fmt: skip
    """Writes the sheets of a picture, and gives the files. Raises what reading, laying out and writing raise."""
    from diffusion_tricks.plugin import flatten, shown_in
    from diffusion_tricks_print.layout import Layout
    from diffusion_tricks_print.lettering import typeface_for
    from diffusion_tricks_print.look import look_of
    from diffusion_tricks_print.sheets import pages_of
    from diffusion_tricks_print.writers import writer_for

    write = writer_for(output)
    image, shown = shown_in(picture, views)
    looks = [look_of(one) for one in shown]
    face = typeface_for(" ".join(look.caption for look in looks), font)
    layout = Layout(image.size, face, paper, margin_mm, size_mm, dpi)
    pages = pages_of(flatten(image), looks, layout, sheets)
    return write(output, pages, face, force=force, inputs=[picture])
