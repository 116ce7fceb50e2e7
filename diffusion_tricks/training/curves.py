"""The figure of the losses: how training went, at a glance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from PIL import Image, ImageDraw

from diffusion_tricks.io.lettering import FAINT, INK, LIGHT, font, upwards
from diffusion_tricks.io.pictures import write_picture

SIZE = (1200, 720)
LEFT, TOP, RIGHT, BOTTOM = 96, 28, 48, 76  # margins, pixels
LETTERS = 20
FINER = 3  # lines are drawn so many times larger, then made small, which smooths them
TRAIN, PALE, HELD_OUT = (28, 92, 172), (178, 205, 236), (214, 92, 18)
SMOOTHED = 60  # the mean reaches one part in so many of the values to either side

Points = list[tuple[float, float]]
Colour = tuple[int, int, int]


def loss_figure(
    rows: Sequence[Mapping[str, object]], file: str | Path, *, train: str = "loss", held_out: str = "held_out"
) -> None:
    """Writes the losses of training and of held-out pictures against the step as a PNG, on a log scale.

    rows: as in metrics.jsonl, each with "step" and at least one of the keys named by `train` and `held_out`; what
    is missing, None, not finite or not above 0 is left out. The pale line is each value, the dark one their moving
    average. An older figure is replaced.
    """
    raw, held = points(rows, train), points(rows, held_out)
    smooth = smoothed(raw)
    axes = Axes.around(raw + held)
    page = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(page)
    if raw or held:
        axes.grid(page, draw)
        _lines(page, axes, [(raw, PALE, 1.2), (smooth, TRAIN, 3.0), (held, HELD_OUT, 3.0)], dots=held)
        axes.labels(page, draw)
        entries = [("training", smooth, TRAIN), ("held out", held, HELD_OUT)]
        _legend(draw, [(f"{name}: {line[-1][1]:.4g}", colour) for name, line, colour in entries if line])
    else:
        draw.text((SIZE[0] / 2, SIZE[1] / 2), "no losses yet", FAINT, font(LETTERS), anchor="mm")
    write_picture(page, file, force=True)


def points(rows: Sequence[Mapping[str, object]], key: str) -> Points:
    """(step, value) of the rows that have a value above 0 under `key`."""
    found = []
    for row in rows:
        step, value = row.get("step"), row.get(key)
        if isinstance(step, int | float) and isinstance(value, int | float) and 0 < value < math.inf:
            found.append((float(step), float(value)))
    return found


def smoothed(raw: Points) -> Points:
    """The mean of the values around each: as many before it as after it, fewer at the beginning, where losses fall."""
    sums = [0.0, *accumulate(value for _, value in raw)]
    line = []
    for i, (step, _) in enumerate(raw):
        reach = min(i, len(raw) // SMOOTHED)
        first, last = i - reach, min(len(raw), i + reach + 1)
        line.append((step, (sums[last] - sums[first]) / (last - first)))
    return line


@dataclass(frozen=True)
class Axes:
    """Where steps and losses lie on the page: steps from `first` to `last`, losses as powers of ten."""

    first: float
    last: float
    low: float
    high: float

    @staticmethod
    def around(data: Points) -> Axes:
        """Axes that hold all the data, and at least a third of a power of ten."""
        steps = [step for step, _ in data] or [0.0]
        powers = [math.log10(value) for _, value in data] or [0.0]
        room = max(0.04 * (max(powers) - min(powers)), (1 / 3 - (max(powers) - min(powers))) / 2)
        first, last = min(steps), max(steps)
        first = 0.0 if 0 <= first < last / 4 else first
        return Axes(first, last if last > first else first + 1, min(powers) - room, max(powers) + room)

    def place(self, step: float, value: float) -> tuple[float, float]:
        """Where on the page a loss is drawn, in pixels."""
        across = (step - self.first) / (self.last - self.first)
        up = (math.log10(value) - self.low) / (self.high - self.low)
        return LEFT + across * (SIZE[0] - LEFT - RIGHT), SIZE[1] - BOTTOM - up * (SIZE[1] - TOP - BOTTOM)

    def values(self) -> list[float]:
        """Losses that get a line and a label: 1, 2 and 5 times powers of ten, or the powers alone."""
        many = self.high - self.low > 3
        found = [m * 10.0**p for p in range(math.floor(self.low), math.ceil(self.high)) for m in (1, 2, 5)]
        kept = [value for value in found if self.low <= math.log10(value) <= self.high]
        powers = [value for value in kept if math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9)]
        return powers if many else kept if len(kept) > 2 else list(self._tenths())

    def _tenths(self) -> Iterator[float]:
        """Values a step of 1, 2 or 5 apart, for a range too narrow for those of a log scale."""
        low, high = 10**self.low, 10**self.high
        yield from multiples(low, high, 6)

    def grid(self, page: Image.Image, draw: ImageDraw.ImageDraw) -> None:
        """Faint lines behind the data."""
        for value in self.values():
            _, y = self.place(self.first, value)
            draw.line([(LEFT, y), (page.width - RIGHT, y)], LIGHT)
        for step in multiples(self.first, self.last, 8):
            x, _ = self.place(step, 10**self.low)
            draw.line([(x, TOP), (x, page.height - BOTTOM)], LIGHT)

    def labels(self, page: Image.Image, draw: ImageDraw.ImageDraw) -> None:
        """The axes, their numbers and what they mean."""
        letters, floor = font(LETTERS), page.height - BOTTOM
        draw.line([(LEFT, TOP), (LEFT, floor), (page.width - RIGHT, floor)], FAINT, 2)
        for value in self.values():
            draw.text((LEFT - 10, self.place(self.first, value)[1]), f"{value:.4g}", INK, letters, anchor="rm")
        for step in multiples(self.first, self.last, 8):
            draw.text((self.place(step, 1)[0], floor + 10), f"{step:,.10g}", INK, letters, anchor="ma")
        draw.text(((LEFT + page.width - RIGHT) / 2, page.height - 8), "step", INK, letters, anchor="md")
        name = upwards("loss (log scale)", letters, INK)
        page.paste(name, (4, (TOP + floor - name.height) // 2))


def multiples(low: float, high: float, most: int) -> list[float]:
    """At most so many round numbers from `low` to `high`: the multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * m for m in (1, 2, 5, 10, 20) if (high - low) / (power * m) <= most - 1)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _lines(page: Image.Image, axes: Axes, lines: list[tuple[Points, Colour, float]], dots: Points) -> None:
    large = page.resize((page.width * FINER, page.height * FINER), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(large)
    for data, colour, width in lines:
        places = [tuple(FINER * p for p in axes.place(*point)) for point in data]
        if len(places) > 1:
            draw.line(places, colour, round(width * FINER), joint="curve")
    for data, colour, radius in ((dots, HELD_OUT, 4), *((data, c, 3) for data, c, _ in lines[:2] if len(data) == 1)):
        for point in data:
            draw.circle([FINER * p for p in axes.place(*point)], radius * FINER, colour)
    page.paste(large.resize(page.size, Image.Resampling.LANCZOS))


def _legend(draw: ImageDraw.ImageDraw, entries: list[tuple[str, Colour]]) -> None:
    letters = font(LETTERS)
    wide = max(letters.getlength(text) for text, _ in entries) + 64
    left, high = SIZE[0] - RIGHT - 12 - wide, 30 * len(entries) + 12
    draw.rectangle([left, TOP + 10, left + wide, TOP + 10 + high], "white", LIGHT)
    for row, (text, colour) in enumerate(entries):
        y = TOP + 31 + row * 30
        draw.line([(left + 10, y), (left + 44, y)], colour, 4)
        draw.text((left + 54, y), text, INK, letters, anchor="lm")
