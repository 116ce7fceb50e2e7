"""Captions in people's words: articles, synonyms, backgrounds and styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# How each rendered style is asked for; "" is the font's own look.
STYLES = {
    "": ("a picture of {}", "a cartoon of {}", "an emoji of {}"),
    "oil painting": ("an oil painting of {}", "a painting of {}", "{}, oil painting"),
    "pencil sketch": ("a pencil sketch of {}", "a sketch of {}", "a drawing of {}", "a pencil drawing of {}"),
    "pixel art": ("pixel art of {}", "{} in pixel art", "{}, pixel art"),
    "silhouette": ("a silhouette of {}", "the silhouette of {}", "a black silhouette of {}"),
    "watercolour": ("a watercolour of {}", "a watercolor of {}", "a watercolour painting of {}"),
}
BARE = {"Santa Claus", "lightning", "bread", "fire", "corn"}  # what takes no article, beside plurals
NUMBERS = ("two ", "three ", "some ")


def with_article(name: str) -> str:
    """`rabbit` -> `a rabbit`; plurals, counted things and proper names stay bare."""
    if name in BARE or name.startswith(NUMBERS) or (name.endswith("s") and not name.endswith(("ss", "us"))):
        return name
    vowel = name[0].lower() in "aeiou" and not name.lower().startswith(("un", "eu", "uk", "ufo"))
    return f"{'an' if vowel or name.startswith('hour') else 'a'} {name}"


def named(name: str, random: np.random.Generator) -> str:
    """A thing as a caption: with its article in four of five, else bare."""
    return with_article(name) if random.random() < 0.8 else name


def caption(
    names: Sequence[str],
    background: str | None,
    style: str,
    random: np.random.Generator,
    styles: Mapping[str, Sequence[str]] = STYLES,
) -> str:
    """One way to ask for a thing that goes by `names`, the first said most often.

    styles: how each style is asked for; "" is none, whose ways are said now and then, if it has any.
    """
    name = str(random.choice(names[1:])) if len(names) > 1 and random.random() < 0.4 else names[0]
    draw = random.random()
    text = with_article(name) if draw < 0.65 else name if draw < 0.9 else f"the {name}"
    if background is not None:
        text += f" on {with_article(background)} background"
    if style or (random.random() < 0.08 and styles.get("")):
        text = str(random.choice(styles[style])).format(text)
    return text
