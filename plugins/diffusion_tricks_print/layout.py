"""Where things stand on every sheet: a heading, one area for the picture, which is the same on all, and words below."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from diffusion_tricks.plugin import Typeface, UsageError
from diffusion_tricks_print.lettering import PITCH, fitted
from diffusion_tricks_print.motion import UPRIGHT, Motion
from diffusion_tricks_print.page import INCH, PAPERS, Area, Page, Path, Placed, Text

HEADING, WORDS, CAPTION = 5.0, 3.4, 4.6  # mm, sizes of letters
HEAD, FOOT = 12.0, 24.0  # mm, rooms for the heading and for the words below
BAND = 12.0  # mm around the picture, for captions
CROSS, APART = 4.0, 3.0  # mm: half a mark by which films are laid in register, and its distance from the picture
LEAST = 5.0  # mm that a picture measures at the least


@dataclass(frozen=True)
class Layout:
    """The paper, and how large the picture stands on it.

    size: pixels of the picture, whose shape decides which way the paper lies. face: of all letters. paper: one of
    `PAPERS`. margin: mm, all around, that printers leave white. longest: mm of the picture's longer side, None for as
    large as fits. dpi: dots per inch that pictures are resampled to, None for their own pixels.
    Raises UsageError where the picture does not fit.
    """

    size: tuple[int, int]
    face: Typeface
    paper: str = "a4"
    margin: float = 12.0
    longest: float | None = None
    dpi: float | None = None

    def __post_init__(self) -> None:
        room = max(self.room.width, self.room.height)
        if min(self.room.width, self.room.height) < LEAST:
            raise UsageError(f"`margin_mm` {self.margin:g} leaves no room on {self.paper} paper; take a smaller one")
        if self.longest is not None and self.longest > room + 1e-6:
            raise UsageError(f"`size_mm` {self.longest:g} does not fit on {self.paper} paper with `margin_mm` "
                             f"{self.margin:g}; {room:.1f} is the most")  # fmt: skip

    @property
    def aspect(self) -> float:
        """Width by height of the picture."""
        return self.size[0] / self.size[1]

    @property
    def sheet(self) -> tuple[float, float]:
        """Width and height of the paper, which lies on its side for a picture that is wider than high."""
        short, long = PAPERS[self.paper]
        return (long, short) if self.aspect > 1 else (short, long)

    @cached_property
    def inside(self) -> Area:
        """What the margins leave."""
        width, height = self.sheet
        return Area(0, 0, width, height).grown(-self.margin)

    @cached_property
    def free(self) -> Area:
        """What heading and words leave."""
        area = self.inside
        return Area(area.x, area.y + HEAD, area.width, area.height - HEAD - FOOT)

    @cached_property
    def room(self) -> Area:
        """The largest that the picture can be, with captions around it."""
        inner = self.free.grown(-BAND)
        return inner.holding(self.aspect) if min(inner.width, inner.height) > 0 else Area(0, 0, 0, 0)

    @cached_property
    def area(self) -> Area:
        """Where the picture stands on every sheet."""
        if self.longest is None:
            return self.room
        share = self.longest / max(self.room.width, self.room.height)
        return Area(0, 0, self.room.width * share, self.room.height * share).at(self.room.centre)

    def page(self, name: str, heading: str, words: str) -> Page:
        """A page with nothing but its heading and the words at its foot."""
        page = Page(name, *self.sheet)
        top, foot = self.inside, self.inside.y + self.inside.height - FOOT
        self.write(page, heading, Area(top.x, top.y, top.width, HEAD), HEADING)
        self.write(page, words, Area(top.x, foot + 4, top.width, FOOT - 4), WORDS)
        return page

    def show(self, page: Page, image: Image.Image, area: Area | None = None) -> None:
        """Puts a picture on a page, where the picture stands on every sheet if nothing else is said."""
        area = area or self.area
        if self.dpi:
            dots = tuple(max(1, round(side / INCH * self.dpi)) for side in (area.width, area.height))
            image = image.resize((dots[0], dots[1]), Image.Resampling.LANCZOS)
        page.pictures.append(Placed(image, area))

    def write(self, page: Page, text: str, area: Area, size: float) -> None:
        """Sets text in the middle of an area from its top on, smaller if it does not fit."""
        lines, size = fitted(text, self.face, size, area.width, area.height)
        x = area.centre[0]
        page.texts += [Text(line, (x, area.y + size * (1 + PITCH * i)), size) for i, line in enumerate(lines)]

    def caption(self, page: Page, text: str, motion: Motion = UPRIGHT, row: int = 0, rows: int = 1) -> None:
        """Sets text below the picture as it is seen when the sheet is moved so: on the page it stands otherwise.

        row: its place, from the picture outwards, among so many rows on that side.
        """
        back = motion.back
        across = self.area.width if back.degrees % 180 == 0 else self.area.height
        depth = (self.area.height if back.degrees % 180 == 0 else self.area.width) / 2
        high = (BAND - 3) / rows
        lines, size = fitted(text, self.face, CAPTION, max(across, 4 * BAND), high)
        (x, y) = self.area.centre
        for i, line in enumerate(lines):
            right, down = back.moved(0, depth + 2 + row * high + size * (1 + PITCH * i))
            page.texts.append(Text(line, (x + right, y + down), size, back))

    def frame(self, page: Page, area: Area) -> None:
        """A line to cut around an area."""
        page.paths.append(Path(tuple(area.corners()), closed=True))

    def register(self, page: Page) -> None:
        """Four crosses around the picture, at the same places on every sheet, by which sheets are laid in register."""
        for x, y in self.area.grown(APART + CROSS).corners():
            page.paths += [Path(((x - CROSS, y), (x + CROSS, y))), Path(((x, y - CROSS), (x, y + CROSS)))]
