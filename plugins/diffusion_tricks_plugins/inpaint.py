"""Inpainting: make the masked part of a picture anew, and not one pixel more.

    x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)        RePaint, arXiv:2201.09865, equation 8; see `repainting`

The model sees only the mask's surroundings, and its picture is pasted back at the size they have in the original.
Several of it in one run are the parts of one edit, each with a mask and a prompt; the first acts for all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from diffusion_tricks.plugin import (
    DiffusionTricksError,
    Picture,
    PictureError,
    Prompted,
    Repainted,
    Shown,
    Start,
    Trick,
    UsageError,
    bring,
    hookimpl,
    plain_prompts,
    prompts_of,
    read_picture,
    shown_by,
)
from diffusion_tricks_plugins.in_places import check_whole, in_places
from diffusion_tricks_plugins.inpaint_known import latents_made_new, shares_of
from diffusion_tricks_plugins.inpaint_options import WHOLE, InpaintOptions
from diffusion_tricks_plugins.masks import Mask, feathered, mask_for, padding_px, read_mask, region_around
from diffusion_tricks_plugins.regions import zoomed
from diffusion_tricks_plugins.repainting import Edit, report_kept

if TYPE_CHECKING:
    from diffusion_tricks.plugin import Ask, Asking, Estimate, Run, Step

SQUARE = 1, 1  # what scorers look at
SQUEEZED = 1.1  # the region's proportions may differ from the model's by this factor before a note says so


class Inpaint(Trick[InpaintOptions]):
    """x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)"""

    name = "inpaint"
    sums = ("changed_outside",)
    keeps_size = True
    edits = True
    exact = True
    joins: ClassVar[bool] = True

    @property
    def place(self) -> str | None:  # type: ignore[override]
        """It starts a run itself where it is to be of some strength."""
        return None if self.options.strength is None else "start"

    @property
    def brings_prompts(self) -> bool:  # type: ignore[override]
        """Where its part of the picture has a prompt of its own."""
        return self.options.prompt is not None

    def asks(self) -> list[tuple[str, Prompted]]:
        """What is made in its part."""
        return [] if self.options.prompt is None else [(" + ".join(self.options.mask), self.options.prompt)]

    def parameters(self) -> dict[str, Any]:
        """What is made in its part, and with what strength."""
        prompt = None if self.options.prompt is None else prompts_of([self.options.prompt])
        return {"Prompt": prompt, "Denoising strength": self.options.strength}

    def views_of(self, image: Image.Image) -> list[Shown]:
        """Its part by itself, with some surroundings; without a prompt of its own it shows that of the run.

        The whole where its mask looks at the picture of before, and that is not here.
        """
        mask = self._mask_on(image)
        if mask is None:
            return [view for name, said in self.asks() for view in shown_by(name, image, said)]
        if (own := self.asks()) and (way := partial(zoomed, image, mask.bounds)):
            return [view for name, said in own for view in shown_by(name, way(1.0), said, frame=way)]
        around = region_around(mask.bounds, image.size, SQUARE, None)
        return [Shown("region", image.crop(around), "", own=False)]

    def _mask_on(self, image: Image.Image) -> Mask | None:
        """The mask on what was made; None where it looks at a picture of before that is not here."""
        options = self.options
        try:
            return mask_for(options.mask, image.size, fit=options.mask_fit, invert=options.invert)
        except (UsageError, PictureError):  # it looks at the original, or its file is not here
            pass
        try:
            mask = self.mask_of(read_picture(options.image)) if options.image and options.image != "-" else None
        except DiffusionTricksError:
            return None
        return mask if mask is not None and mask.weights.shape == image.size[::-1] else None

    def mask_of(self, picture: Picture) -> Mask:
        """What is made new of a picture: `weights` (h w), 0 where it is kept. Raises as `read_mask`."""
        options = self.options
        return read_mask(
            options.mask, picture, fit=options.mask_fit, invert=options.invert, segmenter=options.segmenter
        )

    def _parts(self, run: Run) -> list[Inpaint]:
        """All parts of the edit, if this is the first of them, which acts for all; else none."""
        parts = [trick for trick in run.tricks if isinstance(trick, Inpaint)]
        return parts if parts[0] is self else []

    def _edit(self, run: Run) -> Edit | None:
        """The edit, for the part that acts for all."""
        return run.state(self).get("edit")

    @hookimpl(trylast=True)  # another trick may bring the picture
    def prepare(self, run: Run) -> None:
        """Reads picture and masks, and turns the run to the masks' surroundings."""
        padding_px(self.options.padding, 0)
        if not (parts := self._parts(run)):
            return
        _check_together(parts)
        for part in parts:
            bring(run, part.options.image)
        if run.source is None:
            raise UsageError('inpaint: a picture is missing; give the one to change, for example "inpaint photo.png"')
        edit = run.state(self)["edit"] = self._begun(parts, run, run.source.picture)
        edit.show(run)
        if run.previous is None:
            self._note(run, edit, parts)

    def _begun(self, parts: list[Inpaint], run: Run, picture: Picture) -> Edit:
        masks, options = [part.mask_of(picture) for part in parts], self.options
        soft = [feathered(mask, part.options.feather) for mask, part in zip(masks, parts, strict=True)]
        notes = tuple(dict.fromkeys(note for mask in masks for note in mask.notes))
        mask = Mask(np.maximum.reduce([mask.weights for mask in masks]), notes)
        box = region_around(mask.bounds, picture.image.size, run.size, options.padding)
        edit = Edit(self.name, options, options.fill or "original", mask, np.maximum.reduce(soft), box, masks)
        edit.by_strength = options.soft == "strength"
        if options.prompt is not None:
            new = [latents_made_new(one.weights[edit.cut] > 0, run.latent_shape[1:]) for one in masks]
            edit.shares = shares_of([one.to(run.model.device) for one in new])
        return edit

    def _note(self, run: Run, edit: Edit, parts: list[Inpaint]) -> None:
        notes = list(edit.mask.notes)
        if edit.weights.max() < edit.mask.weights.max():
            feather = max(part.options.feather for part in parts)
            notes.append(f"the mask is narrower than its feather of {feather:g} px: nothing is wholly new")
        if self.options.keep_alpha and run.source is not None and not run.source.picture.raster.alpha:
            notes.append(f"{run.source.picture.path} has no alpha that `keep_alpha` could leave as it is")
        wide, high = edit.box[2] - edit.box[0], edit.box[3] - edit.box[1]
        squeezed = wide * run.size[1] / (high * run.size[0])
        if max(squeezed, 1 / squeezed) > SQUEEZED:
            notes.append(f"the model saw {wide} x {high} pixels squeezed to {run.size[0]} x {run.size[1]}; a size of"
                         " like proportions avoids that")  # fmt: skip
        for facts in run.facts:
            facts.update({"notes": [*facts.get("notes", []), *notes]} if notes else {})
            facts["mask_pixels"] = int(np.count_nonzero(edit.mask.weights))
            facts["region"] = list(edit.box)
            if len(parts) > 1:
                facts["parts"] = [
                    {"mask": part.options.mask, "box": list(mask.bounds), "mask_pixels": int((mask.weights > 0).sum())}
                    for part, mask in zip(parts, edit.parts, strict=True)
                ]

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """What is made in its part."""
        return [] if self.options.prompt is None else plain_prompts([self.options.prompt])

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """What each part's prompt says of its part, put together."""
        edit = self._edit(step.run)
        if edit is None or not edit.shares:
            answers: list[Estimate] = yield [ask]
            return answers[0]
        check_whole(self.name, ask, step.run)
        answers = yield [ask.asking(part.options.prompt) for part in self._parts(step.run)]
        return in_places(answers, edit.shares, ask.x)

    @hookimpl
    def start(self, run: Run) -> Start | None:
        """The picture, with what fills the mask, at the level of the first step that is run."""
        return edit.start(run) if (edit := self._edit(run)) else None

    @hookimpl
    def before_step(self, step: Step) -> None:
        """The known region at the level of the step, whatever the run started from."""
        if edit := self._edit(step.run):
            edit.before(step)

    @hookimpl
    def after_step(self, step: Step) -> None:
        """The known region at the level just reached; and steps again, if that was asked for."""
        if edit := self._edit(step.run):
            edit.after(step)

    @hookimpl(tryfirst=True)  # what other tricks add belongs on the whole picture
    def finish_image(self, run: Run, image: Image.Image, index: int) -> Image.Image:
        """The original with the model's picture where the mask is, in its own mode and depth."""
        if not (edit := self._edit(run)):
            return image
        assert run.source is not None
        picture = run.source.picture
        if self.options.strength == 0:
            run.repainted[index] = Repainted(picture.raster, edit.mask.weights == 0)
            return picture.image.copy()
        fill = all(part.options.mask == ["alpha"] and not part.options.invert for part in self._parts(run))
        run.repainted[index] = edit.laid(run, image, fill, self.options.keep_alpha)
        return run.repainted[index].raster.shown()

    @hookimpl
    def report(self, run: Run, image: Image.Image, index: int) -> None:
        """Counts the pixels that changed where the mask keeps them, whichever trick changed them; and how it blends."""
        if self._edit(run):
            report_kept(run, index)


def _check_together(parts: list[Inpaint]) -> None:
    """Raises UsageError for parts of one edit that do not go together."""
    prompted = [part for part in parts if part.options.prompt is not None]
    if 0 < len(prompted) < len(parts):
        raise UsageError(f"{len(prompted)} of {len(parts)} inpaint tricks says what to make in its part; give each a"
                         " prompt, or one prompt to the whole run")  # fmt: skip
    for name in WHOLE:
        told = {getattr(part.options, name) for part in parts if name in part.options.model_fields_set}
        if len(told - {getattr(parts[0].options, name)}) > 0:
            raise UsageError(f"`{name}` holds for the whole edit and is told differently by its parts; give it to the"
                             " first inpaint trick alone")  # fmt: skip
