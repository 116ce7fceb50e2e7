"""Figures: labelled grids of pictures, charts, and several of them on one page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from diffusion_tricks.plugin import labelled_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 100
GAP = 16  # pixels between figures
WIDEST = 256  # pixels, to which larger pictures are reduced in a grid

Tile = Image.Image | None


def grid(tiles: Sequence[Sequence[Tile]], *, captions: Sequence[Sequence[str]] = (), **labels: Any) -> Image.Image:
    """Pictures in rows of one length, a caption below each; None leaves a place empty. labels: as `labelled_grid`'s.

    Those of large models are reduced, so that a figure stays a figure.
    """
    flat = [tile and reduced(tile) for row in tiles for tile in row]
    texts = [text for row in captions for text in row]
    return labelled_grid(flat, captions=texts, across=len(tiles[0]), **labels)


def reduced(picture: Image.Image) -> Image.Image:
    """A picture of at most WIDEST pixels in both directions."""
    if max(picture.size) <= WIDEST:
        return picture
    small = picture.copy()
    small.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    return small


def enlarged(pictures: Sequence[Image.Image], side: int) -> list[Image.Image]:
    """Pictures in crisp squares, by the whole factor with which they come next to `side` pixels, or as they are."""
    return [one.resize([max(1, side // one.width) * length for length in one.size], 0) for one in pictures]


def chart(
    *draws: Callable[[Axes], Any], width: int = 900, height: int = 480, columns: int | None = None
) -> Image.Image:
    """One or more charts side by side; each function draws in axes of matplotlib and names them.

    width, height: of all together, pixels. columns: charts in a row; None is all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = columns or len(draws)
    figure = Figure((width / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(-(-len(draws) // columns), columns, squeeze=False).flat
    for draw, one in zip(draws, axes, strict=False):
        one.spines[["top", "right"]].set_visible(False)
        draw(one)
    for empty in list(axes)[len(draws) :]:
        empty.set_visible(False)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return Image.open(data).convert("RGB")


def stacked(*pictures: Image.Image) -> Image.Image:
    """Pictures one below the other, each on a ground of its own corner's colour."""
    width = max(picture.width for picture in pictures)
    page = Image.new("RGB", (width, sum(picture.height + GAP for picture in pictures) - GAP), "white")
    top = 0
    for picture in pictures:
        page.paste(picture.crop((0, 0, 1, 1)).resize((width, picture.height)), (0, top))
        page.paste(picture, (0, top))
        top += picture.height + GAP
    return page
