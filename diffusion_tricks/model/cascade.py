"""Larger pictures in several stages: which stages make a size, and how each takes over from the one before it.

A model makes pictures up to `REACH` times its own size by itself; what is larger, its upscaler makes of a picture of
the first stage, and what stands behind that in turn. All are runs of the same loop, with the same tricks and the same
generators: DeepFloyd IF makes 64 pixels, its second stage 256 of them, Stable Diffusion's x4 upscaler 1024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lcm
from typing import TYPE_CHECKING, cast

from diffusion_tricks.errors import UsageError
from diffusion_tricks.families.shapes import Shape, check_size
from diffusion_tricks.types import Size, Spans

if TYPE_CHECKING:
    from diffusion_tricks.families.upscaler import UpscalingFamily
    from diffusion_tricks.model.model import Model

REACH = 2  # times a model's own size: beyond, a network repeats what it knows instead of drawing it larger


@dataclass(frozen=True)
class Link:
    """What of a stage decides about sizes.

    factor: how many times it enlarges the stage before it. followed: whether an upscaler may stand behind it. spans:
    which sides are made in windows, so that its own size does not limit them.
    """

    name: str
    shape: Shape
    factor: int = 1
    followed: bool = False
    spans: Spans = "none"

    def needs_upscaling(self, size: Size) -> bool:
        """Whether a size is larger than it makes by itself; one of latents is held to that only by an upscaler."""
        if self.shape.scale > 1 and not self.followed:
            return False
        beyond = [side > REACH * own for side, own in zip(size, self.shape.size, strict=True)]
        return {"none": any(beyond), "longer": all(beyond), "all": False}[self.spans]

    def makes(self, size: Size) -> bool:
        """Whether it makes pictures of that size by itself."""
        return min(size) > 0 and not any(side % self.shape.multiple for side in size) and not self.needs_upscaling(size)

    @property
    def most(self) -> int | None:
        """The longest side that it makes by itself, in pixels."""
        held = self.shape.scale == 1 or self.followed  # see `needs_upscaling`
        limits = (REACH * max(self.shape.size) if held else None, self.shape.largest)
        return min((limit for limit in limits if limit is not None), default=None)


def link(model: Model, spans: Spans = "none") -> Link:
    """What of a model decides about sizes; spans: see `Link`."""
    factor = getattr(model.family, "factor", 1)
    return Link(model.name, model.family.shape, factor, model.second is not None, spans)


def needs_upscaling(model: Model, size: Size | None, spans: Spans = "none") -> bool:
    """Whether a size is larger than a model makes by itself."""
    return size is not None and link(model, spans).needs_upscaling(size)


def stages(model: Model, size: Size, noise_level: int | None = None, spans: Spans = "none") -> list[tuple[Model, Size]]:
    """The models that make a picture of `size` one after another, and the size that each makes; often just the one.

    noise_level: of the stages behind the first; None is their default. spans: see `Link`. Raises UsageError for a size
    that no stages make, naming those that can be made.
    """
    chain = [model]
    while needs_upscaling(chain[-1], size, spans) and chain[-1].second is not None:
        chain.append(chain[-1].second.behind(chain[-1], noise_level))
    links = [link(one, spans) for one in chain]
    if len(chain) == 1 and not needs_upscaling(model, size, spans):
        shape = model.family.shape
        check_size(shape if spans == "none" else replace(shape, largest=None), size)
    sizes = _sizes(links, size)
    if not all(one.makes(its) for one, its in zip(links, sizes, strict=True)):
        raise UsageError(_cannot(links, size))
    return list(zip(chain, sizes, strict=True))


def _sizes(chain: Sequence[Link], size: Size) -> list[Size]:
    """What each of the stages makes; (0, 0) for one that would have to make a fraction."""
    sizes = [size]
    for later in chain[:0:-1]:
        whole = not any(side % later.factor for side in sizes[0])
        sizes.insert(0, (sizes[0][0] // later.factor, sizes[0][1] // later.factor) if whole else (0, 0))
    return sizes


def _cannot(chain: Sequence[Link], size: Size) -> str:
    """What the stages can make, where `size` is not of it."""
    alone, *_, most = 2 * reaches(chain)
    text = f"{chain[0].name!r} makes {alone}"
    if len(chain) == 1:
        return f"{text}, got {_text(size)}; `enlarge` makes them larger"
    by = "its upscaler" if len(chain) == 2 else "its upscalers"
    return f"{text}, and with {by} {most}, in multiples of {most.multiple}; got {_text(size)}"


@dataclass(frozen=True)
class Reach:
    """The sizes that a model makes, alone or with upscalers: its own, and any in multiples of `multiple`, in pixels.

    most: the longest side, None where the model sets no limit.
    """

    size: Size
    most: int | None
    multiple: int

    def __str__(self) -> str:
        return f"{_text(self.size)} pixels" + ("" if self.most is None else f", or sides up to {self.most}")


def reaches(chain: Sequence[Link]) -> list[Reach]:
    """What the first of `chain` makes alone, and then with each of the stages behind it."""
    first = chain[0]
    found = [Reach(first.shape.size, first.most, first.shape.multiple)]
    for later in chain[1:]:
        before, factor = found[-1], later.factor
        limits = [limit for limit in (before.most and before.most * factor, later.most) if limit is not None]
        size = before.size[0] * factor, before.size[1] * factor
        found.append(Reach(size, min(limits, default=None), lcm(factor * before.multiple, later.shape.multiple)))
    return found


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def nothing_upscaled(size: Size) -> UsageError:
    """The error to raise where something says how to upscale, and the size takes no second stage."""
    return UsageError(f"nothing is upscaled at size {_text(size)}; ask for a larger `size`, or do not say how")


def upscaling(model: Model) -> UpscalingFamily:
    """The family of a model that enlarges what the one before it makes."""
    return cast("UpscalingFamily", model.family)
