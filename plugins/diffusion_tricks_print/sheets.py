"""The sheets that a picture is printed on, one kind after the other, each only where a look at the picture needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import UsageError
from diffusion_tricks_print.card import card
from diffusion_tricks_print.distance_sheet import distances
from diffusion_tricks_print.jigsaw import folded, jigsaws
from diffusion_tricks_print.transparencies import transparencies

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks_print.layout import Layout
    from diffusion_tricks_print.look import Look
    from diffusion_tricks_print.page import Page

Sheet = Callable[["Image", Sequence["Look"], "Layout"], Iterator["Page"]]


def others(image: Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """What is seen through views that paper cannot show, each on a page."""
    for look in looks:
        if look.motion is None and not look.negative and not any(has_lines(look, image.size)):
            page = layout.page("seen", f"Through the view {look.name}", "No turn of the paper shows this; here it is.")
            layout.show(page, look.picture)
            layout.caption(page, look.caption)
            yield page


def has_lines(look: Look, size: tuple[int, int]) -> Iterator[bool]:
    """Whether each view of a look is cut or folded."""
    return (bool(view.pieces(size) or view.folds(size)) for view in look.views)


SHEETS: dict[str, Sheet] = {
    "card": card,
    "jigsaw": jigsaws,
    "fold": folded,
    "transparencies": transparencies,
    "distance": distances,
    "seen": others,
}


def pages_of(image: Image, looks: Sequence[Look], layout: Layout, kinds: Sequence[str] = ()) -> list[Page]:
    """The sheets of those kinds, of all kinds if none is named, in the order of `SHEETS`.

    image: RGB. Raises UsageError for a kind that this picture has no sheet of.
    """
    made = {name: list(sheet(image, looks, layout)) for name, sheet in SHEETS.items() if not kinds or name in kinds}
    if empty := [name for name in kinds if not made[name]]:
        has = ", ".join(name for name, sheet in SHEETS.items() if next(sheet(image, looks, layout), None))
        raise UsageError(f"there is no sheet {empty[0]!r} for this picture; it has: {has}")
    return [page for sheet in made.values() for page in sheet]
