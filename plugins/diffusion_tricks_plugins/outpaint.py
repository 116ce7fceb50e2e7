"""Outpainting: a picture goes on beyond its edges, and not one pixel of it changes.

    x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)        RePaint, arXiv:2201.09865, equation 8; see `repainting`

m is 1 beyond the picture. The model sees a frame of the extended picture in its own proportions; what of the frame lies
outside is made too, and cut off. Near the old edge what is new fades into the picture's mirror image, as it is there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from pydantic import model_validator

from diffusion_tricks.plugin import (
    Box,
    Picture,
    Repainted,
    Start,
    Trick,
    UsageError,
    argument,
    bring,
    hookimpl,
    option,
    pixel_limit,
)
from diffusion_tricks_plugins.extent import Anchor, Margins, extended_by, extended_to, form_of, sides_of
from diffusion_tricks_plugins.inpaint_fill import Fill
from diffusion_tricks_plugins.masks import Mask, feathered, padding_px, region_around
from diffusion_tricks_plugins.repainting import Edit, RepaintOptions, report_kept

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Run, Step

FADE = 2  # of the model's pixels, over which new and old blend where nothing else is said


class OutpaintOptions(RepaintOptions):
    """The old picture stays as it is; what is added to it is said by `extend` or by `to`."""

    image: str | None = argument(None, "the picture to extend; may be left to a trick that brings one", path=True)
    extend: str | None = option(
        None, "how far, by sides: left=200,top=10%; all=100; in pixels, or percent of width or height"
    )
    to: str | None = option(None, "what to extend it to: a ratio as 16:9, a size as 1600x900, or square")
    anchor: Anchor = option("center", "where the old picture lies in that: the other sides grow", needs=("to",))
    feather: float | None = option(
        None, "px beyond the old edge over which new and old blend; default 2 of the model's pixels", ge=0, le=4096
    )
    fill: Literal["mirror", "noise", "mean", "blur", "edge", "telea"] | None = option(
        None, "what stands there when a run of some strength starts; telea is OpenCV's; default mirror",
        needs=("strength",),
    )  # fmt: skip

    @model_validator(mode="after")
    def _how_far(self) -> OutpaintOptions:
        if (self.extend is None) == (self.to is None):
            both = "they say the same thing twice" if self.to else 'nothing says how far, as extend="left=200" does'
            raise ValueError(f"expected either `extend` or `to`: {both}")
        if self.extend is not None:
            sides_of(self.extend)
        if self.to is not None:
            form_of(self.to)
        return self


class Outpaint(Trick[OutpaintOptions]):
    """x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps), m = 1 beyond the picture"""

    name = "outpaint"
    sums = ("changed_outside",)
    keeps_size = True
    edits = True
    exact = True

    @property
    def place(self) -> str | None:  # type: ignore[override]
        """It starts a run itself where it is to be of some strength."""
        return None if self.options.strength is None else "start"

    def parameters(self) -> dict[str, Any]:
        """With what strength."""
        return {"Denoising strength": self.options.strength}

    def margins(self, size: tuple[int, int]) -> Margins:
        """What is added to a picture of `size`: nothing to one that has the form of `to`.

        Raises UsageError where `extend` adds nothing, and for more than can be read again.
        """
        options = self.options
        added = extended_to(options.to, options.anchor, size) if options.to else extended_by(str(options.extend), size)
        if options.extend and not any(added):
            raise UsageError(f"outpaint: the picture, of {size[0]} x {size[1]} pixels, is no larger by that; give more")
        wide, high = added.around(size)
        if wide * high > (most := pixel_limit()):
            raise UsageError(f"outpaint: {wide} x {high} pixels are more than the {most:,} that are read; give less, or"
                             " raise DIFFUSION_TRICKS_MAX_PIXELS")  # fmt: skip
        return added

    def _edit(self, run: Run) -> Edit | None:
        """What is made new; nothing of a picture that has its form already."""
        edit: Edit | None = run.state(self)["edit"]
        return edit

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads the picture, extends it, and turns the run to a frame of it with all that is added."""
        options = self.options
        padding_px(options.padding, 0)
        if other := next((trick for trick in run.tricks if trick.exact and trick is not self), None):
            raise UsageError(f"outpaint and {other.label()} both keep a part of the picture; make one picture, then the"
                             " next from it")  # fmt: skip
        bring(run, options.image)
        if run.source is None:
            raise UsageError('outpaint: a picture is missing; give the one to extend, as in "outpaint photo.png"')
        picture = run.source.picture
        added, size = self.margins(picture.image.size), picture.image.size
        if not any(added):
            run.state(self)["edit"] = None
            self._note_whole(run)
            return
        run.source = replace(run.source, picture=extended(picture, added))
        new = np.full(added.around(size)[::-1], 255, np.uint8)
        new[added.top : added.top + size[1], added.left : added.left + size[0]] = 0
        mask = Mask(new)
        frame = frame_around(mask.bounds, added.around(size), run.size, options.padding)
        fade = FADE * (frame[2] - frame[0]) / run.size[0] if options.feather is None else options.feather
        fill: Fill = "original" if options.fill is None or options.fill == "mirror" else options.fill
        edit = Edit(self.name, options, fill, mask, feathered(mask, fade), frame)
        run.state(self)["edit"] = edit
        edit.show(run)
        for facts in run.facts if run.previous is None else ():
            facts |= {"at": [added.left, added.top], "new_pixels": int(np.count_nonzero(new)), "region": list(frame)}

    def _note_whole(self, run: Run) -> None:
        note = f"outpaint: the picture has the form of {self.options.to} already, and is given back as it is"
        for facts in run.facts if run.previous is None else ():
            facts |= {"at": [0, 0], "new_pixels": 0, "notes": [*facts.get("notes", ()), note]}

    @hookimpl
    def start(self, run: Run) -> Start | None:
        """The picture, with what fills its surroundings, at the level of the first step that is run."""
        if edit := self._edit(run):
            return edit.start(run)
        assert run.source is not None
        clean = run.latents_of(run.source.tensor(run.size)).float()
        return Start(clean.expand(run.count, -1, -1, -1), len(run.timesteps))

    @hookimpl
    def before_step(self, step: Step) -> None:
        """The old picture at the level of the step."""
        if edit := self._edit(step.run):
            edit.before(step)

    @hookimpl
    def after_step(self, step: Step) -> None:
        """The old picture at the level just reached; and steps again, if that was asked for."""
        if edit := self._edit(step.run):
            edit.after(step)

    @hookimpl(tryfirst=True)  # what other tricks add belongs on the whole picture
    def finish_image(self, run: Run, image: Image.Image, index: int) -> Image.Image:
        """The old picture in the middle of what the model made, in its own mode and depth."""
        assert run.source is not None
        edit, old = self._edit(run), run.source.picture.raster
        run.repainted[index] = edit.laid(run, image) if edit else Repainted(old, np.ones(old.samples.shape[:2], bool))
        return run.repainted[index].raster.shown()

    @hookimpl
    def report(self, run: Run, image: Image.Image, index: int) -> None:
        """Counts the pixels of the old picture that changed, by whichever trick; and says how it blends."""
        report_kept(run, index)


def extended(picture: Picture, added: Margins) -> Picture:
    """A picture with its mirror image in the margins, in its own mode and depth, and with all that its file says."""
    raster, beside = picture.raster, ((added.top, added.bottom), (added.left, added.right), (0, 0))
    raster = replace(raster, samples=np.pad(raster.samples, beside, mode="symmetric"))
    return replace(picture, image=raster.shown(), deep=raster)


def frame_around(box: Box, picture: tuple[int, int], model: tuple[int, int], padding: str | None) -> Box:
    """The part of the picture that the model is shown, in its proportions, as `region_around` has it.

    Where the picture is too narrow for them, it goes on beyond.
    """
    left, top, right, bottom = region_around(box, picture, model, padding)
    wide, high = -(-(bottom - top) * model[0] // model[1]), -(-(right - left) * model[1] // model[0])
    across, down = max(wide - (right - left), 0), max(high - (bottom - top), 0)
    return left - across // 2, top - down // 2, right + across - across // 2, bottom + down - down // 2
