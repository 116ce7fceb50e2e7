"""How a film goes from a hybrid as it is to what is seen of it from afar, without colour, or in motion.

From afar a picture is small, and there the sharp one and the blurred one look the same (Hybrid Images, Oliva et al.
2006): so it shrinks as it is, and grows again as what is left of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from PIL import Image

from diffusion_tricks.plugin import flatten, to_images, to_tensor
from diffusion_tricks_plugins.filters import MOTION, gray, motion

FAR = 5  # times as far as at first, where it turns back
SHAKES, REACH = 4, 1 / 16  # there and back along the diagonal; share of the side

Way = Callable[[float], Image.Image]  # share 0..1 -> picture
Between = Callable[[Image.Image, Image.Image, float], Image.Image]  # the picture, what is seen of it, share


def way_to(split: Literal["frequency", "color", "motion"], image: Image.Image, seen: Image.Image) -> Way:
    """The frames from a picture to what is seen of it: at share 0 the picture, at 1 exactly `seen`."""
    between = {"frequency": shrunk, "color": faded, "motion": shaken}[split]
    return way_through(image, seen, between)


def way_through(image: Image.Image, seen: Image.Image, between: Between) -> Way:
    """The frames that `between` gives, but at share 0 the picture, and at 1 exactly `seen`."""
    ends = {0.0: flatten(image), 1.0: seen}
    return lambda share: ends.get(min(max(share, 0.0), 1.0)) or between(ends[0.0], seen, share)


def fading(image: Image.Image, seen: Image.Image, share: float) -> Image.Image:
    """The one fades into the other."""
    return Image.blend(image, seen, share)


def shrunk(image: Image.Image, seen: Image.Image, share: float) -> Image.Image:
    """Farther away up to half of the way, and nearer again as what was seen there; on white."""
    scale = FAR ** (-2 * min(share, 1 - share))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    page = Image.new("RGB", image.size, "white")
    small = (image if share < 1 / 2 else seen).resize(size, Image.Resampling.LANCZOS)
    page.paste(small, ((page.width - size[0]) // 2, (page.height - size[1]) // 2))
    return page


def faded(image: Image.Image, seen: Image.Image, share: float) -> Image.Image:
    """The colours fade: x + share (gray x - x)."""
    x = to_tensor(image)
    return to_images(x.lerp(gray(x), share))[0]


def shaken(image: Image.Image, seen: Image.Image, share: float) -> Image.Image:
    """Shaken along the diagonal, ever more smeared."""
    side = min(image.size)
    x = motion(MOTION * share, side)(to_tensor(image))
    reach = int(REACH * side)
    by = reach + round(reach * math.sin(2 * math.pi * SHAKES * share))
    around = F.pad(x, (reach,) * 4, mode="reflect")
    return to_images(around[..., by : by + image.height, by : by + image.width])[0]


def swung(angle: float, image: Image.Image, seen: Image.Image, share: float) -> Image.Image:
    """Shaken along an angle, counter-clockwise from the right, while it becomes what is seen of it."""
    reach, turn = int(REACH * min(image.size)), math.radians(angle)
    by = reach * math.sin(2 * math.pi * SHAKES * share)
    right, down = reach + round(by * math.cos(turn)), reach - round(by * math.sin(turn))
    around = F.pad(to_tensor(fading(image, seen, share)), (reach,) * 4, mode="reflect")
    return to_images(around[..., down : down + image.height, right : right + image.width])[0]
