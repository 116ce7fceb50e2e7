"""The sheet that says from how far a hybrid's far picture is seen alone, with small ones for a room: see `distance`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from diffusion_tricks_print.distance import alone_from, said
from diffusion_tricks_print.layout import CAPTION, WORDS, Layout
from diffusion_tricks_print.look import in_layers
from diffusion_tricks_print.page import Area

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks_print.look import Look
    from diffusion_tricks_print.page import Page

ROOM = (3000.0, 6000.0, 10_000.0)  # mm: distances that there are in a room, or along a corridor
LABEL, ROW = 12.0, 0.3  # mm for the words below a small picture; how much of the height the small ones take
ACUITY = "For an eye of 20/20, which sees no stroke finer than one minute of arc; the far picture wins before."


def distances(image: Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """The picture as on the other sheets or smaller, its distances, and small ones for those in `ROOM`."""
    seen = [look for motion, parts in in_layers(image, looks) if motion.degrees == 0 for look in parts]
    blurred = [look for look in seen if look.blur]
    if not blurred:
        return
    page = layout.page("distance", "Viewing distance", ACUITY)
    free = layout.free
    large = Area(free.x, free.y, free.width, free.height * (1 - ROW) - 2 * LABEL).holding(layout.aspect)
    large = large if large.width < layout.area.width else layout.area.at(large.centre)
    layout.show(page, image, large)
    below = Area(free.x, free.y + free.height * (1 - ROW) - 2 * LABEL + 3, free.width, 2 * LABEL - 4)
    layout.write(page, told(blurred, seen, large), below, CAPTION)
    _small(page, image, blurred[0], layout)
    yield page


def told(blurred: Sequence[Look], looks: Sequence[Look], area: Area) -> str:
    """From where on each blurred look is seen alone, when the picture fills an area."""
    side = min(area.width, area.height)
    far = [f"{look.prompt} is seen alone from {said(alone_from(look.blur * side))} on" for look in blurred if look.blur]
    near = [f"{look.prompt} from near" for look in looks if look.part and not look.blur]
    return f"At {area.width:.0f} x {area.height:.0f} mm: {'; '.join([*far, *near])}"


def width_for(distance: float, blur: float, aspect: float) -> float:
    """How wide a picture is, in mm, whose far part is seen alone from a distance in mm on."""
    return distance / alone_from(blur) * max(aspect, 1.0)


def _small(page: Page, image: Image, far: Look, layout: Layout) -> None:
    """A row of small pictures, and below each from where on its far part is seen alone."""
    free, share = layout.free, layout.free.width / len(ROOM)
    high = free.height * ROW - LABEL
    for i, distance in enumerate(ROOM):
        assert far.blur is not None
        width = width_for(distance, far.blur, layout.aspect)
        height = width / layout.aspect
        if width > share - 4 or height > high:
            continue
        place = Area(free.x + i * share, free.y + free.height * (1 - ROW), share, high)
        layout.show(page, image, Area(0, 0, width, height).at((place.centre[0], place.y + high - height / 2)))
        words = f"{width:.1f} mm wide: from {said(distance)}"
        layout.write(page, words, Area(place.x + 1, place.y + high + 2, share - 2, LABEL - 2), WORDS)
