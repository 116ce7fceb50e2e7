"""Sheets of film: a hybrid in parts that add up to it in front of a light, and a picture with its negative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from diffusion_tricks_print.layers import films
from diffusion_tricks_print.layout import Layout
from diffusion_tricks_print.look import Look, in_layers

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks_print.page import Page

PRINT = "Print it on film."


def transparencies(image: Image, looks: Sequence[Look], layout: Layout) -> Iterator[Page]:
    """A sheet for every part of a hybrid, and two for a view that is the picture's negative."""
    for _, parts in in_layers(image, looks):
        yield from _parts(parts, layout)
    for negative in (look for look in looks if look.negative):
        plain = next((look.caption for look in looks if look.motion and look.motion.degrees == 0), "")
        yield _film(image, plain or "the picture", "Positive", f"{PRINT} Laid over the negative, both vanish.", layout)
        yield _film(
            negative.picture, negative.caption, "Negative", f"{PRINT} Laid over the positive, both vanish.", layout
        )


def _parts(parts: Sequence[Look], layout: Layout) -> Iterator[Page]:
    made = films([look.picture for look in parts])
    for number, (look, film) in enumerate(zip(parts, made, strict=True), 1):
        words = f"{PRINT} Lay films 1 to {len(parts)} over one another in front of a light, cross on cross."
        yield _film(film, look.caption, f"Film {number} of {len(parts)}", words, layout)


def _film(image: Image, caption: str, heading: str, words: str, layout: Layout) -> Page:
    page = layout.page("film", heading, words)
    layout.show(page, image)
    layout.register(page)
    layout.caption(page, caption)
    return page
