"""Panoramas: pictures longer than the model makes, in windows that overlap, all of one batch in every step.

    eps(p) = sum_i w_i(p) eps( x[window i] )(p) / sum_i w_i(p)        MultiDiffusion, arXiv:2302.08113, equation 5

The model sees windows of its own size alone. Where the picture wraps, windows go round from its last column to its
first, so that it has no seam, as a view all around has none.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic import model_validator

from diffusion_tricks.plugin import Asking, Shown, Spans, Trick, TrickOptions, UsageError, hookimpl, option
from diffusion_tricks_plugins.guidance import stages_up_to
from diffusion_tricks_plugins.windows import OVERLAP, Falloff, in_windows, latent_stride

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion_tricks.plugin import Ask, Run, Step

PAPER = (255, 255, 255)  # beyond the edge of a picture that is moved


class PanoramaOptions(TrickOptions):
    """Where the picture is no larger than a window, and does not wrap, it is the plain run."""

    overlap: float | None = option(
        None, f"share of a window that the next one covers too; default {OVERLAP}", ge=0, lt=1
    )
    stride: int | None = option(None, "pixels from one window to the next at the most, instead of overlap", ge=1)
    falloff: Falloff = option("feather", "what windows weigh where they overlap: alike, or less towards their edges")
    wrap: bool = option(False, "the last column goes on in the first, as in a view all around")
    alone: bool = option(False, "the model makes all of the size itself, in windows, where an upscaler would help")

    @model_validator(mode="after")
    def _one_step(self) -> PanoramaOptions:
        if self.overlap is not None and self.stride is not None:
            raise ValueError("`overlap` and `stride` both say how far apart windows lie; give one of them")
        return self


class Panorama(Trick[PanoramaOptions]):
    """eps(p) = sum_i w_i(p) eps( x[window i] )(p) / sum_i w_i(p)"""

    name = "panorama"

    def spans(self) -> Spans:
        """Its shorter side is held to what the model makes, or neither."""
        return "all" if self.options.alone else "longer"

    def views_of(self, image: Image) -> list[Shown]:
        """The picture moved, so that one part of it after the other is in its middle; all of them show the prompt."""
        count = -(-max(image.size) // min(image.size))
        way = partial(moved, image, wrap=self.options.wrap)
        shares = [(i + 0.5) / count - 0.5 for i in range(count)] if count > 1 else []
        return [
            Shown(f"part {i + 1} of {count}", way(share), "", frame=partial(_on_the_way, way, share), own=False)
            for i, share in enumerate(shares)
        ]

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Lays the windows' size and stride for this run. Raises UsageError for windows that do not meet."""
        first = stages_up_to(run)[0]
        width, height = first.model.family.size
        stride = self.options.stride
        if stride is not None and stride > min(width, height):
            raise UsageError(f"panorama: windows of {width}x{height} that lie {stride} apart do not meet; use a"
                             f" `stride` of at most {min(width, height)}")  # fmt: skip
        own = run.model.family.size
        run.window = min(own[0], run.size[0]), min(own[1], run.size[1])
        run.wraps = run.wraps or self.options.wrap
        overlap = OVERLAP if self.options.overlap is None else self.options.overlap
        shares = (1 - overlap,) * 2 if stride is None else (stride / width, stride / height)
        run.state(self)["stride"] = latent_stride(own, run.model.family.scale, shares)

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """Asks about every window, and joins what they say."""
        stride = step.run.state(self)["stride"]
        return (yield from in_windows(ask, step.run, stride, self.options.falloff, self.options.wrap))


def moved(image: Image, share: float, wrap: bool) -> Image:
    """A picture moved along its longer side by a share of it, so that what lay off its middle by so much is there.

    What leaves it comes back at the other end, where it wraps from right to left; else there is paper.
    """
    from PIL import Image, ImageChops

    wide = image.width >= image.height
    by = (-round(share * image.width), 0) if wide else (0, -round(share * image.height))
    if by == (0, 0):
        return image
    if wrap and wide:
        return ImageChops.offset(image, *by)
    page = Image.new("RGB", image.size, PAPER)
    page.paste(image, by)
    return page


def _on_the_way(way: partial[Image], share: float, t: float) -> Image:
    return way(share * t)
