"""What stands on a page: pictures, lines and texts. All lengths are in millimetres, right and down from the top left.

Geometry, not science: there is no paper behind this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diffusion_tricks_print.motion import UPRIGHT, Motion

if TYPE_CHECKING:
    from PIL.Image import Image

INCH = 25.4
PAPERS = {"a4": (210.0, 297.0), "letter": (8.5 * INCH, 11 * INCH)}
HAIR = 0.2  # how wide a line is that scissors or a plotter follow
DASH = 2.0  # of a line that is folded, and as much between two dashes

Point = tuple[float, float]


@dataclass(frozen=True)
class Area:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        """Its middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def at(self, centre: Point) -> Area:
        """One of its size about that middle."""
        return Area(centre[0] - self.width / 2, centre[1] - self.height / 2, self.width, self.height)

    def grown(self, by: float) -> Area:
        """The rectangle that is so much larger on every side."""
        return Area(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)

    def corners(self) -> list[Point]:
        """From the top left, clockwise."""
        right, bottom = self.x + self.width, self.y + self.height
        return [(self.x, self.y), (right, self.y), (right, bottom), (self.x, bottom)]

    def holding(self, aspect: float) -> Area:
        """The largest rectangle in its middle that is `aspect` times as wide as high."""
        width = min(self.width, self.height * aspect)
        height = width / aspect
        return Area(0, 0, width, height).at(self.centre)


@dataclass(frozen=True)
class Placed:
    """A picture, upright, that fills an area."""

    image: Image
    area: Area


@dataclass(frozen=True)
class Path:
    """A line through points; closed: back to the first. dashed: to be folded, else to be cut."""

    points: tuple[Point, ...]
    closed: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Text:
    """One line of letters: the middle of its baseline, its size, and how it is turned and mirrored about that point."""

    text: str
    at: Point
    size: float
    motion: Motion = UPRIGHT


@dataclass
class Page:
    """One side of a sheet of paper, and all that is on it in the order in which it is drawn."""

    name: str
    width: float
    height: float
    pictures: list[Placed] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
