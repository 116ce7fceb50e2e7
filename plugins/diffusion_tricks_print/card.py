"""A turning card: each caption is upright when what it says is seen, and so upside down for a half turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from diffusion_tricks_print.layout import BAND, Layout
from diffusion_tricks_print.look import Look, by_motion

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks_print.motion import Motion
    from diffusion_tricks_print.page import Page

TURNS = {
    0: "as it is",
    90: "turned a quarter counter-clockwise",
    180: "turned upside down",
    270: "turned a quarter clockwise",
}


def card(image: Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """The picture, its captions, and around them a line to cut."""
    moved = by_motion(looks)
    heading = "Turning card" if len(moved) > 1 else "Picture"
    page = layout.page(
        "card", heading, " ".join(["Cut along the outer line.", *_told([motion for motion, _ in moved])])
    )
    layout.show(page, image)
    layout.frame(page, layout.area.grown(BAND))
    sides = [motion.back.degrees for motion, _ in moved]
    for i, (motion, seen) in enumerate(moved):
        row, rows = sides[:i].count(sides[i]), sides.count(sides[i])
        layout.caption(page, ", ".join(look.caption for look in seen), motion, row, rows)
    yield page


def _told(motions: Sequence[Motion]) -> Iterator[str]:
    """How the card is held to be read."""
    turned = [TURNS[motion.degrees] for motion in motions if not motion.mirrored and motion.degrees]
    if turned:
        yield f"Look at it as it is, and {', then '.join(turned)}."
    if any(motion.mirrored for motion in motions):
        yield "A caption that is mirrored is read on film, turned over so that it can be, or in a mirror."
