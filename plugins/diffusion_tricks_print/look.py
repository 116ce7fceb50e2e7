"""What a picture shows, as a printer sees it: the views it is looked at through, and what is left of a look's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffusion_tricks.plugin import UnknownName, UsageError, view_named
from diffusion_tricks_print.motion import Motion, is_negative, motion_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.plugin import Shown, View

Pixels = NDArray[np.uint8]  # (h w 3)
NESTED = " > "  # between the names of looks within looks


@dataclass(frozen=True)
class Look:
    """One look: its whole name, the views in it, its other part such as "far", what is seen, and through what blur."""

    name: str
    views: tuple[View, ...]
    part: str
    prompt: str
    picture: Image
    blur: float | None

    @cached_property
    def motion(self) -> Motion | None:
        """How the whole sheet is moved for it; None where the picture is changed otherwise."""
        return motion_of(self.views)

    @cached_property
    def negative(self) -> bool:
        """Whether it is the picture's negative."""
        return is_negative(self.views)

    @property
    def caption(self) -> str:
        """What is seen, after the part that it is of the picture."""
        return f"{self.part}: {self.prompt}" if self.part else self.prompt


def look_of(shown: Shown) -> Look:
    """The look that a trick says its picture has, on white where it lets through."""
    from diffusion_tricks.plugin import flatten  # here: it needs torch

    parts = [(part, _view(part)) for part in shown.name.split(NESTED)]
    views = tuple(view for _, view in parts if view)
    other = NESTED.join(part for part, view in parts if not view)
    return Look(shown.name, views, other, shown.prompt, flatten(shown.picture), shown.blur)


def _view(name: str) -> View | None:
    try:
        return view_named(name)
    except (UnknownName, UsageError):  # "far" is no view, and a trick may call its looks as it likes
        return None


def by_motion(looks: Sequence[Look]) -> list[tuple[Motion, list[Look]]]:
    """The looks for which the sheet is moved as a whole, together where it is moved in the same way."""
    moved = [(look.motion, look) for look in looks if look.motion is not None]
    motions = list(dict.fromkeys(motion for motion, _ in moved))
    return [(motion, [look for one, look in moved if one == motion]) for motion in motions]


def in_layers(image: Image, looks: Sequence[Look]) -> list[tuple[Motion, list[Look]]]:
    """The looks of `by_motion` that are ever more of the same picture, the last of them all of it, as it is moved.

    image: RGB, as it is. The parts of a hybrid are, from the farthest on; places on a picture, each alone, are not.
    """
    return [(motion, parts) for motion, parts in by_motion(looks) if _build_up(_moved(image, motion), parts)]


def _build_up(whole: Pixels, parts: Sequence[Look]) -> bool:
    *coarser, last = (np.asarray(look.picture) for look in parts)
    return len(coarser) > 0 and np.array_equal(last, whole) and not any(np.array_equal(one, whole) for one in coarser)


def _moved(image: Image, motion: Motion) -> Pixels:
    pixels = np.asarray(image)
    return np.rot90(pixels[:, ::-1] if motion.mirrored else pixels, motion.degrees // 90)
