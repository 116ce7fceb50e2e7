"""Ten simple drawings, as a person makes them in a minute with a paint program: what SDEdit is given to redraw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw

SIDE = 256
LINE = 6  # pixels
Pen = ImageDraw.ImageDraw
Point = tuple[float, float]


def ring(centre: Point, radii: Sequence[float], turn: float = 0.0) -> list[Point]:
    """Points around a centre, evenly spread, `radii` pixels away from it in order; turn: of the first, radians."""
    angles = [turn + 2 * math.pi * i / len(radii) for i in range(len(radii))]
    return [(centre[0] + r * math.cos(a), centre[1] + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def spot(pen: Pen, centre: Point, radius: float, fill: str, outline: str | None = None) -> None:
    """A disc."""
    x, y = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=outline, width=LINE)


def house(pen: Pen) -> None:
    pen.rectangle((60, 125, 196, 225), fill="#f0d9a0", outline="black", width=LINE)
    pen.polygon([(42, 128), (128, 50), (214, 128)], fill="#c0392b", outline="black", width=LINE)
    pen.rectangle((112, 165, 145, 225), fill="#7a4a21")
    pen.rectangle((75, 145, 103, 172), fill="#9ad0f0", outline="black", width=3)
    pen.rectangle((157, 145, 185, 172), fill="#9ad0f0", outline="black", width=3)


def sun(pen: Pen) -> None:
    for inner, outer in zip(ring((128, 128), [78] * 12), ring((128, 128), [112] * 12), strict=True):
        pen.line((*inner, *outer), fill="#f5a300", width=11)
    spot(pen, (128, 128), 66, "#ffd22e", "#f5a300")


def fish(pen: Pen) -> None:
    pen.polygon([(178, 128), (232, 84), (232, 172)], fill="#2c7fb8")
    pen.ellipse((30, 80, 196, 176), fill="#41a6d9", outline="#2c7fb8", width=LINE)
    spot(pen, (70, 116), 10, "white")
    spot(pen, (68, 116), 5, "black")
    pen.arc((95, 95, 135, 161), 290, 70, fill="#2c7fb8", width=LINE)


def face(pen: Pen) -> None:
    spot(pen, (128, 128), 98, "#ffd93b", "#c79a00")
    spot(pen, (93, 104), 12, "black")
    spot(pen, (163, 104), 12, "black")
    pen.arc((74, 84, 182, 188), 20, 160, fill="black", width=9)


def tree(pen: Pen) -> None:
    pen.rectangle((112, 140, 146, 232), fill="#7a4a21")
    for centre in ((128, 82), (85, 118), (171, 118)):
        spot(pen, centre, 52, "#3d9b45")


def boat(pen: Pen) -> None:
    pen.rectangle((0, 200, SIDE, SIDE), fill="#4a90d9")
    pen.polygon([(48, 176), (208, 176), (178, 216), (78, 216)], fill="#8c4a1f")
    pen.line((124, 176, 124, 40), fill="black", width=LINE)
    pen.polygon([(130, 44), (130, 164), (202, 164)], fill="#f4f4f4", outline="black", width=3)
    pen.polygon([(116, 64), (116, 164), (62, 164)], fill="#e05045", outline="black", width=3)


def flower(pen: Pen) -> None:
    pen.line((128, 130, 128, 246), fill="#3d9b45", width=11)
    pen.ellipse((130, 180, 186, 208), fill="#3d9b45")
    for petal in ring((128, 100), [46] * 10):
        spot(pen, petal, 23, "#ffc61a")
    spot(pen, (128, 100), 34, "#6b3e12")


def mushroom(pen: Pen) -> None:
    pen.rectangle((100, 130, 156, 226), fill="#f3e3c3")
    pen.pieslice((36, 40, 220, 224), 180, 360, fill="#d5332e")
    for centre, radius in (((88, 100), 14), ((132, 70), 17), ((176, 104), 12)):
        spot(pen, centre, radius, "white")


def snowman(pen: Pen) -> None:
    pen.rectangle((0, 0, SIDE, SIDE), fill="#bcdcf5")
    spot(pen, (128, 182), 60, "white", "#8899aa")
    spot(pen, (128, 88), 42, "white", "#8899aa")
    for centre in ((112, 78), (144, 78), (128, 160), (128, 190)):
        spot(pen, centre, 5, "black")
    pen.polygon([(128, 90), (128, 102), (168, 98)], fill="#f08019")
    pen.rectangle((98, 18, 158, 52), fill="#222222")


def star(pen: Pen) -> None:
    pen.polygon(ring((128, 134), [108, 44] * 5, -math.pi / 2), fill="#ffd22e", outline="#d9a400", width=LINE)


# What is drawn, by the emoji's name.
DRAWINGS: dict[str, Callable[[Pen], None]] = {
    "house": house, "sun": sun, "fish": fish, "grinning face": face, "deciduous tree": tree, "sailboat": boat,
    "sunflower": flower, "mushroom": mushroom, "snowman": snowman, "star": star,
}  # fmt: skip


def drawn(name: str) -> Image.Image:
    """One of `DRAWINGS`, 256 pixels a side, on white."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    DRAWINGS[name](ImageDraw.Draw(picture))
    return picture
