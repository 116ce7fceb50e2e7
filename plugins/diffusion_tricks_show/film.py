"""A film of a picture's views, its frames computed as they are asked for.

Every view is held, and between two views the picture goes back to what it is and on to the next, each way as the view
itself says (`Shown.frame`). The share of a way is eased: e(t) = t^2 (3 - 2 t), which starts and ends at rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from PIL import Image

from diffusion_tricks.plugin import Block, Shown, UsageError, block, fit
from diffusion_tricks_show.subject import Subject, instruction

MOVE, HOLD = 1.6, 1.2  # seconds of a move and a rest, where the length of the whole is not said
LEAST = 256  # pixels: how wide a small picture is shown, unless it is said
GAP, NARROW = 8, 200  # pixels: around captions, and the width they have at the least
INK, FAINT, PAPER = (32, 32, 36), (104, 104, 112), (255, 255, 255)
Easing = Literal["smooth", "linear"]


@dataclass(frozen=True)
class Pace:
    """How a film goes.

    fps: frames a second, 1 to 60. seconds: of the whole; None is as long as the views take. hold: for how many seconds
    each view rests. size: width of the picture in pixels; None is its own, but `LEAST` or more. boomerang: back the way
    it came. captions: what each view shows stands below it.
    """

    fps: int = 25
    seconds: float | None = None
    hold: float = HOLD
    size: int | None = None
    easing: Easing = "smooth"
    boomerang: bool = True
    captions: bool = True


class Shot(NamedTuple):
    """A frame (RGB), for how many frames of the film it stands, and whether a view rests in it."""

    image: Image.Image
    ticks: int
    rests: bool


class Moment(NamedTuple):
    """What is seen: a view, by its number, at a share of the way to it, for so many frames."""

    view: int
    share: float
    ticks: int


def eased(t: float, easing: Easing) -> float:
    """The share of the way at a share `t` of the time, both 0 to 1.

    >>> eased(0.5, "smooth"), eased(0.25, "smooth"), eased(0.25, "linear")
    (0.5, 0.15625, 0.25)
    """
    return t * t * (3 - 2 * t) if easing == "smooth" else t


def timetable(home: Sequence[bool], pace: Pace) -> list[Moment]:
    """Every moment of a film of so many views; `home` says which of them show the picture as it is.

    Raises UsageError for a film that is too short for its views.
    """
    forth = list(range(len(home)))
    stops = forth + (forth[-2:0:-1] if pace.boomerang else [])
    pairs = list(zip(stops, stops[1:] + stops[:1], strict=True))[: None if pace.boomerang else -1]
    hold = max(1, round(pace.hold * pace.fps))
    total = round((len(stops) * pace.hold + len(pairs) * MOVE if pace.seconds is None else pace.seconds) * pace.fps)
    left = total - hold * len(stops)
    if left < len(pairs):
        raise UsageError(
            f"a film of {total / pace.fps:g} s has no time for {len(stops)} rests of {hold / pace.fps:g} s and for what"
            " is between them; give it more seconds, or a shorter hold"
        )
    spans = [left * (i + 1) // len(pairs) - left * i // len(pairs) for i in range(len(pairs))]
    moves = [_move(pair, home, span, pace.easing) for pair, span in zip(pairs, spans, strict=True)]
    rests = [[Moment(view, 1.0, hold)] for view in stops]
    return [moment for i, rest in enumerate(rests) for moment in (*rest, *(moves[i] if i < len(moves) else ()))]


def _move(pair: tuple[int, int], home: Sequence[bool], span: int, easing: Easing) -> list[Moment]:
    """From one view to another by way of the picture as it is, in `span` frames; neither end is among them."""
    legs = [(pair[0], True)] * (not home[pair[0]]) + [(pair[1], False)] * (not home[pair[1]])
    if not legs:
        return [Moment(pair[0], 1.0, span)]
    moments = []
    for i in range(span):
        leg, t = divmod((i + 1) / (span + 1) * len(legs), 1)
        view, back = legs[int(leg)]
        moments.append(Moment(view, eased(1 - t if back else t, easing), 1))
    return moments


def shots(subject: Subject, pace: Pace) -> Iterator[Shot]:
    """The frames, one after the other. Raises UsageError for a picture with nothing to show but itself."""
    views = with_home(subject)
    table = timetable([subject.is_home(view) for view in views], pace)
    stage = Stage.of(subject.image.size, views, pace)
    for view, share, ticks in table:
        yield Shot(stage.frame(views[view], share), ticks, share == 1)


def with_home(subject: Subject) -> list[Shown]:
    """The views, and the picture as it is before a single one."""
    if all(subject.is_home(view) for view in subject.views):
        raise UsageError(
            f"{subject.path} shows one thing, as it is; name what else it shows, as in"
            ' `views=[("identity", "a rabbit"), ("flip", "a duck")]`'
        )
    home = [] if len(subject.views) > 1 else [Shown("identity", subject.image, "")]
    return [*home, *subject.views]


@dataclass(frozen=True)
class Stage:
    """Where the picture and its captions stand in a frame.

    picture: its size. size: of the whole frame. captions: by the name of the view, what it shows and what a person does
    to see it.
    """

    picture: tuple[int, int]
    size: tuple[int, int]
    captions: dict[str, tuple[Block, Block]]

    @classmethod
    def of(cls, size: tuple[int, int], views: Sequence[Shown], pace: Pace) -> Stage:
        """As large as the pace says, and as high as the highest caption needs."""
        width = pace.size or size[0] * max(1, -(-LEAST // size[0]))
        picture = (width, max(1, round(size[1] * width / size[0])))
        if not pace.captions:
            return cls(picture, picture, {})
        wide = max(width, NARROW)
        letters = max(14, width // 20)
        said = {
            view.name: (block(view.prompt, letters, wide - 2 * GAP),
                        block(instruction(view), max(11, round(letters * 0.75)), wide - 2 * GAP))
            for view in views
        }  # fmt: skip
        below = max(text.height + how.height for text, how in said.values())
        whole = (wide, picture[1] + below + 2 * GAP)
        return cls(picture, (whole[0] + whole[0] % 2, whole[1] + whole[1] % 2), said)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Where the picture stands: left, top, right, bottom."""
        left = (self.size[0] - self.picture[0]) // 2
        return left, 0, left + self.picture[0], self.picture[1]

    def frame(self, view: Shown, share: float) -> Image.Image:
        """The picture on its way to a view, with what the view shows below, the paler the farther it is."""
        seen = fit(picture_at(view, share), self.picture, "stretch")
        if not self.captions:
            return seen
        page = Image.new("RGB", self.size, PAPER)
        page.paste(seen, self.box[:2])
        text, how = self.captions[view.name]
        middle, top = self.size[0] / 2, self.picture[1] + GAP
        strength = max(0.0, 2 * share - 1)
        text.draw(page, (middle, top), "m", _mixed(INK, strength))
        how.draw(page, (middle, top + text.height), "m", _mixed(FAINT, strength))
        return page


def picture_at(view: Shown, share: float) -> Image.Image:
    """A picture on its way to a view; one that does not say how is there at once."""
    return view.picture if share == 1 or view.frame is None else view.frame(share)


def _mixed(ink: tuple[int, int, int], strength: float) -> tuple[int, int, int]:
    r, g, b = (round(paper + (one - paper) * strength) for one, paper in zip(ink, PAPER, strict=True))
    return r, g, b
