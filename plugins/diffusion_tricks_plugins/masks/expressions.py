"""Masks made of masks: joined, turned round, and worked on at the rim.

Weights are degrees of membership, which join as in L. A. Zadeh, Fuzzy Sets, 1965: union is the greater, intersection
the lesser, the complement what is left of the whole. Where all are 0 or 255 these are the operations of sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diffusion_tricks_plugins.masks.edges import EDGES
from diffusion_tricks_plugins.masks.mask import Canvas, Drawn, Weights
from diffusion_tricks_plugins.masks.numbers import Length


def union(a: Weights, b: Weights) -> Weights:
    """In either."""
    return np.maximum(a, b)


def intersection(a: Weights, b: Weights) -> Weights:
    """In both."""
    return np.minimum(a, b)


def difference(a: Weights, b: Weights) -> Weights:
    """In the first and not in the second."""
    return np.minimum(a, 255 - b)


def either(a: Weights, b: Weights) -> Weights:
    """In one of them and not in the other."""
    return union(difference(a, b), difference(b, a))


# sign: (how strongly it binds, what it does); equal ones go from left to right
JOINS: dict[str, tuple[int, Callable[[Weights, Weights], Weights]]] = {
    "+": (1, union), "-": (1, difference), "^": (2, either), "&": (3, intersection),
}  # fmt: skip


@dataclass(frozen=True)
class Join:
    """Two masks with a sign between them."""

    sign: str
    left: Drawn
    right: Drawn

    def draw(self, canvas: Canvas) -> Weights:
        """As the sign says."""
        return JOINS[self.sign][1](self.left.draw(canvas), self.right.draw(canvas))


@dataclass(frozen=True)
class Complement:
    """All that a mask is not."""

    inner: Drawn

    def draw(self, canvas: Canvas) -> Weights:
        """Turned round."""
        return 255 - self.inner.draw(canvas)


@dataclass(frozen=True)
class Edge:
    """A mask with its rim worked on; a length in percent is of the picture's shorter side."""

    inner: Drawn
    name: str
    length: Length

    def draw(self, canvas: Canvas) -> Weights:
        """As the name says."""
        return EDGES[self.name][0](self.inner.draw(canvas), self.length.px(min(canvas.size)))
