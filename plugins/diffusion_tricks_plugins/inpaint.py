"""Inpainting: make the masked part of a picture anew, and not one pixel more.

    x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)        RePaint, arXiv:2201.09865, equation 8;
                                                            Blended Diffusion, arXiv:2111.14818, algorithm 2

The known region is re-noised to the level just reached, with one eps for all levels; the last step pastes x0 itself.
A model that was trained to inpaint is shown mask and picture instead (`Condition`), and no step of it is touched.
The model sees only the mask's surroundings, and its picture is pasted back at the size they have in the original.
Several of it in one run are the parts of one edit, each with a mask and a prompt; the first acts for all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from diffusion_tricks.plugin import (
    Picture,
    PictureError,
    Prompted,
    Repainted,
    Shown,
    Start,
    Trick,
    UsageError,
    bring,
    changed_pixels,
    flatten,
    hookimpl,
    plain_prompts,
    prompts_of,
    shown_by,
    to_tensor,
)
from diffusion_tricks_plugins.in_places import check_whole, in_places
from diffusion_tricks_plugins.inpaint_fill import filled, matched
from diffusion_tricks_plugins.inpaint_known import Edit, condition_of, known_of, latents_made_new, shares_of
from diffusion_tricks_plugins.inpaint_options import WHOLE, InpaintOptions
from diffusion_tricks_plugins.kept import kept_hash, pixels_of, seam
from diffusion_tricks_plugins.masks import Mask, feathered, mask_for, padding_px, read_mask, region_around
from diffusion_tricks_plugins.pasting import blended, uncontaminated
from diffusion_tricks_plugins.regions import zoomed

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Asking, Estimate, Run, Step

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
        """Its part by itself, if it has its own prompt; the whole where its mask looks at the picture of before."""
        return [view for name, said in self.asks() for view in self._seen(image, name, said)]

    def _seen(self, image: Image.Image, name: str, said: Prompted) -> list[Shown]:
        options = self.options
        try:
            mask = mask_for(options.mask, image.size, fit=options.mask_fit, invert=options.invert)
        except (UsageError, PictureError):  # it looks at the original, or its file is not here
            return shown_by(name, image, said)
        way = partial(zoomed, image, mask.bounds)
        return shown_by(name, way(1.0), said, frame=way)

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
        edit = self._begun(parts, run, run.source.picture)
        run.source = run.source.on(edit.box)
        run.state(self)["edit"] = edit
        self._show(run, edit)
        if run.previous is None:
            self._note(run, edit, parts)

    def _begun(self, parts: list[Inpaint], run: Run, picture: Picture) -> Edit:
        masks = [part.mask_of(picture) for part in parts]
        soft = [feathered(mask, part.options.feather) for mask, part in zip(masks, parts, strict=True)]
        notes = tuple(dict.fromkeys(note for mask in masks for note in mask.notes))
        mask = Mask(np.maximum.reduce([mask.weights for mask in masks]), notes)
        box = region_around(mask.bounds, picture.image.size, run.size, self.options.padding)
        edit = Edit(mask, np.maximum.reduce(soft), box, masks)
        if self.options.prompt is not None:
            new = [latents_made_new(one.weights[edit.cut] > 0, run.latent_shape[1:]) for one in masks]
            edit.shares = shares_of([one.to(run.model.device) for one in new])
        return edit

    def _show(self, run: Run, edit: Edit) -> None:
        """Keeps what is known of the region for the steps, or shows it to a model that was trained to inpaint."""
        assert run.source is not None
        new = edit.mask.weights[edit.cut] > 0
        edit.seen = uncontaminated(run.source, ~new, run.size)
        pixels, inpaints = to_tensor(edit.seen), run.model.family.shape.inpaints
        if inpaints:
            run.condition = condition_of(run, pixels, new)
        by_strength = self.options.soft == "strength"
        if self.options.blend == "on" or (self.options.blend == "auto" and (by_strength or not inpaints)):
            edit.known = known_of(run, pixels, edit.weights[edit.cut], by_strength)

    def _note(self, run: Run, edit: Edit, parts: list[Inpaint]) -> None:
        notes = list(edit.mask.notes)
        if edit.weights.max() < edit.mask.weights.max():
            feather = max(part.options.feather for part in parts)
            notes.append(f"the mask is narrower than its feather of {feather:g} px: nothing is wholly new")
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
        edit, strength = self._edit(run), self.options.strength
        if edit is None or strength is None:
            return None
        index = run.first_step(strength)
        if index == len(run.timesteps) and strength:
            raise UsageError(f"inpaint: strength {strength:g} of {index} steps is less than one, so no step would be"
                             " run; raise `strength`, or `steps`")  # fmt: skip
        clean = self._filled(run, edit).expand(run.count, -1, -1, -1)
        if index == len(run.timesteps):
            return Start(clean, index)
        return Start(run.noised(clean, run.noise.draw(run.latent_shape, clean.device), index), index)

    def _filled(self, run: Run, edit: Edit) -> Tensor:
        """Latents (b c h w) of the part that the model sees, as the mask is filled."""
        new, how = edit.mask.weights[edit.cut] > 0, self.options.fill or "original"
        pixels = latents_made_new(new, (run.size[1], run.size[0]))[0, 0].numpy()
        clean = run.latents_of(to_tensor(Image.fromarray(filled(np.asarray(edit.seen), pixels, how)))).float()
        if how != "noise":
            return clean
        noise = run.noise.fork("fill").draw(run.latent_shape, clean.device)
        return noise.where(latents_made_new(new, run.latent_shape[1:]).to(clean.device), clean)

    @hookimpl
    def before_step(self, step: Step) -> None:
        """The known region at the level of the step, whatever the run started from."""
        step.x = self._kept(step, step.index)

    @hookimpl
    def after_step(self, step: Step) -> None:
        """The known region at the level just reached; and the step again, if that was asked for."""
        step.x = self._kept(step, step.index + 1)
        if self._edit(step.run) and not step.last and step.repeated + 1 < self.options.resample:
            step.repeat()

    def _kept(self, step: Step, index: int) -> Tensor:
        """The latents with the known region of level `index`, where it is kept; after the last step it is clean."""
        edit = self._edit(step.run)
        if edit is None or edit.known is None:
            return step.x
        run, known, count = step.run, edit.known, len(step.run.timesteps)
        x_known = known.clean if index == count else run.noised(known.clean, known.noise, index)
        return x_known.to(step.x.dtype).where(known.kept((index - run.first) / (count - run.first)), step.x)

    @hookimpl(tryfirst=True)  # what other tricks add belongs on the whole picture
    def finish_image(self, run: Run, image: Image.Image, index: int) -> Image.Image:
        """The original with the model's picture where the mask is, in its own mode and depth."""
        if not (edit := self._edit(run)):
            return image
        assert run.source is not None
        picture, box, weights = run.source.picture, edit.box, edit.weights[edit.cut]
        original, kept = picture.raster, edit.mask.weights == 0
        if self.options.strength == 0:
            run.repainted[index] = Repainted(original, kept)
            return picture.image.copy()
        new = image.convert("RGB").resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
        old = flatten(picture.image.crop(box))
        new = Image.fromarray(matched(np.asarray(new), np.asarray(old), weights > 0, self.options.match))
        if self.options.soft == "strength":
            weights = np.where(weights > 0, np.uint8(255), weights)
        fill = all(part.options.mask == ["alpha"] and not part.options.invert for part in self._parts(run))
        part = blended(original.samples[edit.cut], original.values_of(new), weights, original.top, fill)
        run.repainted[index] = Repainted(original.with_part(part, box[:2]), kept)
        return run.repainted[index].raster.shown()

    @hookimpl
    def report(self, run: Run, image: Image.Image, index: int) -> None:
        """Counts the pixels that changed where the mask keeps them, whichever trick changed them; and how it blends."""
        if not self._edit(run):
            return
        assert run.source is not None
        repainted, facts = run.repainted[index], run.facts[index]
        differs = changed_pixels(run.source.picture.raster, repainted.raster)
        changed = int(np.count_nonzero(differs & repainted.kept))
        after = pixels_of(repainted.raster)
        facts.update(
            changed_outside=changed, seam=seam(after, repainted.kept), kept_sha256=kept_hash(after, repainted.kept)
        )
        if changed:
            facts["notes"] = [*facts.get("notes", []), f"other tricks changed {changed} pixels outside the mask"]


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
