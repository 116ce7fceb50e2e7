"""A figure of one curve: values against a number that doubles."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw

from diffusion_tricks.io.lettering import FAINT, INK, LIGHT, font, upwards
from diffusion_tricks.io.pictures import write_picture
from diffusion_tricks.training.curves import multiples

SIZE = (1000, 620)
LEFT, TOP, RIGHT, BOTTOM = 96, 64, 40, 80  # margins, pixels
LINE = (28, 92, 172)
LETTERS = 20


def curve(points: list[tuple[int, float]], file: str | Path, *, title: str, across: str, up: str) -> None:
    """Writes values (number, value) as a PNG: numbers in powers of two across, values from 0 up.

    Raises ValueError where there are none. An older figure is replaced.
    """
    if not points:
        raise ValueError("expected at least one point to draw, got none")
    page = Image.new("RGB", SIZE, "white")
    draw, letters = ImageDraw.Draw(page), font(LETTERS)
    highest, last = 1.1 * max(value for _, value in points) or 1.0, math.log2(max(n for n, _ in points)) or 1.0
    width, height, floor = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM, SIZE[1] - BOTTOM

    def place(number: float, value: float) -> tuple[float, float]:
        return LEFT + math.log2(number) / last * width, floor - value / highest * height

    for value in multiples(0, highest, 6):
        y = place(1, value)[1]
        draw.line([(LEFT, y), (LEFT + width, y)], LIGHT)
        draw.text((LEFT - 10, y), f"{value:.4g}", INK, letters, anchor="rm")
    for number, _ in points:
        x = place(number, 0)[0]
        draw.line([(x, TOP), (x, floor)], LIGHT)
        draw.text((x, floor + 10), str(number), INK, letters, anchor="ma")
    draw.line([(LEFT, TOP), (LEFT, floor), (LEFT + width, floor)], FAINT, 2)
    draw.line([place(*point) for point in points], LINE, 3)
    for point in points:
        draw.circle(place(*point), 5, LINE)
    draw.text((SIZE[0] / 2, 18), title, INK, letters, anchor="ma")
    draw.text((LEFT + width / 2, SIZE[1] - 10), across, INK, letters, anchor="md")
    name = upwards(up, letters, INK)
    page.paste(name, (4, (TOP + floor - name.height) // 2))
    write_picture(page, file, force=True)
