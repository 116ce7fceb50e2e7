"""Inpainting: make the masked part of a picture anew, and not one pixel more.

    x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)        RePaint, arXiv:2201.09865, equation 8;
                                                            Blended Diffusion, arXiv:2111.14818, algorithm 2
    eps = sum_i m_i eps(x, prompt_i) / sum_i m_i            MultiDiffusion, arXiv:2302.08113, equation 5

The known region is re-noised to the level just reached, with one eps for all levels; the last step pastes x0 itself.
A model that was trained to inpaint is shown mask and picture instead (`Condition`), and no step of it is touched.
The model sees only the mask's surroundings, and its picture is pasted back at the size they have in the original.
Several of it in one run are the parts of one edit, each with a mask and a prompt; the first acts for all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BeforeValidator, model_validator

from diffusion_tricks.plugin import (
    Box,
    Condition,
    Picture,
    Prompted,
    Trick,
    TrickOptions,
    UsageError,
    argument,
    bring,
    hookimpl,
    option,
    plain_prompts,
    prompts_of,
    to_tensor,
)
from diffusion_tricks_plugins.kept import changed_outside, kept_hash, seam
from diffusion_tricks_plugins.masks import (
    Mask,
    Weights,
    feathered,
    files_in,
    mask_paths,
    padding_px,
    read_mask,
    region_around,
)
from diffusion_tricks_plugins.pasting import blended, uncontaminated

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Asking, Estimate, Run, Step

SQUEEZED = 1.1  # the region's proportions may differ from the model's by this factor before a note says so
WHOLE = ("padding", "blend")  # options that hold for all parts of an edit


def _as_text(value: Any) -> Any:
    """A recipe may say padding = 40."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _listed(value: Any) -> Any:
    """One mask may stand for a list of one."""
    masks = [value] if isinstance(value, str | os.PathLike) else value
    return [os.fspath(one) if isinstance(one, os.PathLike) else one for one in masks]


class InpaintOptions(TrickOptions):
    """Where the mask is 0, nothing changes; feather 0 and invert off leave the mask as it is."""

    image: str | None = argument(None, "the picture to change; may be left to a trick that brings one", path=True)
    mask: Annotated[list[str], BeforeValidator(_listed)] = option(
        ..., "what to make new: a file (white = new), alpha (transparent = new), box:x0,y0,x1,y1 or ellipse:x0,y0,x1,y1"
        " in pixels or percent, and more, see mask --help; several are their union", path=mask_paths, min_length=1,
    )  # fmt: skip
    prompt: Prompted | None = option(None, "what to make there, where parts of a picture have prompts of their own")
    mask_fit: bool = option(False, "resize a mask file of another size to the picture's")
    invert: bool = option(False, "make new what the mask keeps, and keep the rest")
    feather: float = option(0.0, "px inside the mask's edge over which new and old blend", ge=0, le=4096)
    segmenter: str | None = option(
        None, "another CLIPSeg to find what words: name in a mask: a directory or a hub name", path="model"
    )
    padding: Annotated[str | None, BeforeValidator(_as_text)] = option(
        None, "surroundings the model sees, in px or as a share of the mask (50%); default 25%, at least 32 px"
    )
    blend: Literal["auto", "on", "off"] = option(
        "auto",
        "put what is known back in at every step; auto does so unless the model was trained to inpaint and sees it",
    )

    @model_validator(mode="after")
    def _heeded_by_masks(self) -> InpaintOptions:
        named = [name for one in self.mask for name in files_in(one)]  # a text that is no mask is told of here
        if self.mask_fit and not named:
            raise ValueError(f"mask_fit is for a mask in a file, and {' + '.join(self.mask)!r} is none; leave it out")
        if self.segmenter is not None and not any("words:" in one for one in self.mask):
            raise ValueError('segmenter finds what words name, as in mask words:"the hat"; leave it out')
        return self


@dataclass(frozen=True)
class Known:
    """What a run knows of its picture: clean latents and their noise (b c h w), and which latents are new (1 1 h w)."""

    clean: Tensor
    noise: Tensor
    new: Tensor


@dataclass
class Edit:
    """What is made new in a run: all parts of it as one, and each apart.

    mask: of all parts. weights: with their soft edges (h w). box: the part of the picture that the model sees. parts:
    one mask for each. shares: how much each part's prompt says of each latent (1 1 h w), where they have prompts.
    """

    mask: Mask
    weights: Weights
    box: Box
    parts: list[Mask]
    known: Known | None = None
    shares: list[Tensor] = field(default_factory=list)

    @property
    def cut(self) -> tuple[slice, slice]:
        """The rows and columns of an array (h w) that the model sees."""
        left, top, right, bottom = self.box
        return slice(top, bottom), slice(left, right)


class Inpaint(Trick[InpaintOptions]):
    """x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)"""

    name = "inpaint"
    sums = ("changed_outside",)
    keeps_size = True
    joins: ClassVar[bool] = True

    @property
    def brings_prompts(self) -> bool:  # type: ignore[override]
        """Where its part of the picture has a prompt of its own."""
        return self.options.prompt is not None

    def asks(self) -> list[tuple[str, Prompted]]:
        """What is made in its part."""
        return [] if self.options.prompt is None else [(" + ".join(self.options.mask), self.options.prompt)]

    def parameters(self) -> dict[str, Any]:
        """What is made in its part."""
        return {} if self.options.prompt is None else {"Prompt": prompts_of([self.options.prompt])}

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
        pixels, inpaints = to_tensor(uncontaminated(run.source, ~new, run.size)), run.model.family.shape.inpaints
        if inpaints:
            run.condition = _condition(run, pixels, new)
        if self.options.blend == "on" or (self.options.blend == "auto" and not inpaints):
            edit.known = _known(run, pixels, new)

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
        answers = yield [ask.asking(part.options.prompt) for part in self._parts(step.run)]
        return sum((answer * share for answer, share in zip(answers[1:], edit.shares[1:], strict=True)),
                   answers[0] * edit.shares[0])  # fmt: skip

    @hookimpl
    def before_step(self, step: Step) -> None:
        """The known region at the level of the step, whatever the run started from."""
        step.x = self._kept(step, step.index)

    @hookimpl
    def after_step(self, step: Step) -> None:
        """The known region at the level just reached."""
        step.x = self._kept(step, step.index + 1)

    def _kept(self, step: Step, index: int) -> Tensor:
        """The latents with the known region of level `index`, where it is kept; after the last step it is clean."""
        edit = self._edit(step.run)
        if edit is None or edit.known is None:
            return step.x
        known, over = edit.known, index == len(step.run.timesteps)
        x_known = known.clean if over else step.run.noised(known.clean, known.noise, index)
        return x_known.to(step.x.dtype).where(~known.new, step.x)

    @hookimpl(tryfirst=True)  # what other tricks add belongs on the whole picture
    def finish_image(self, run: Run, image: Image.Image, index: int) -> Image.Image:
        """The original with the model's picture where the mask is."""
        if not (edit := self._edit(run)):
            return image
        assert run.source is not None
        original, box = run.source.picture.image, edit.box
        new = image.convert("RGB").resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
        fill = all(part.options.mask == ["alpha"] and not part.options.invert for part in self._parts(run))
        finished = original.copy()
        finished.paste(blended(original.crop(box), new, edit.weights[edit.cut], fill), box[:2])
        return finished

    @hookimpl
    def report(self, run: Run, image: Image.Image, index: int) -> None:
        """Counts the pixels that changed where the mask keeps them, whichever trick changed them; and how it blends."""
        if not (edit := self._edit(run)):
            return
        assert run.source is not None
        before, after = np.asarray(run.source.picture.image), np.asarray(image)
        kept, facts = edit.mask.weights == 0, run.facts[index]
        changed = changed_outside(before, after, kept)
        facts.update(changed_outside=changed, seam=seam(after, kept), kept_sha256=kept_hash(after, kept))
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


def shares_of(new: list[Tensor]) -> list[Tensor]:
    """How much each part says of each latent (1 1 h w), of which latents are new in it: they add up to 1 everywhere.

    Where several parts lie over one another, and outside all, they say equally much.
    """
    weights = [one.float() for one in new]
    total = sum(weights[1:], weights[0])
    return [(one / total.clamp(min=1)).where(total > 0, 1 / len(new)) for one in weights]


def _known(run: Run, pixels: Tensor, new: NDArray[np.bool_]) -> Known:
    """The noise is the run's own for this purpose, so that the sampler's stream is the same with and without a mask."""
    clean = run.latents_of(pixels).float()
    noise = run.noise.fork("inpaint").draw(run.latent_shape, clean.device)
    return Known(clean, noise, latents_made_new(new, run.latent_shape[1:]).to(clean.device))


def _condition(run: Run, pixels: Tensor, new: NDArray[np.bool_]) -> Condition:
    """The picture (1 3 H W), gray where it is to be made new."""
    mask = latents_made_new(new, (run.size[1], run.size[0])).to(pixels)
    device, dtype = run.model.device, run.model.dtype
    return Condition((pixels * (1 - mask)).to(device, dtype), mask.to(device, dtype))


def latents_made_new(new: NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """Pixels (H W) as latents, or other pixels (1 1 h w), `shape` of them: one is new if any pixel of its area is.

    So the whole mask is made new, however small it is; what is too much is not pasted back.
    """
    import torch  # here, so that the options can be read without it
    from torch.nn import functional as F

    pixels = torch.from_numpy(new.astype(np.float32))[None, None]
    return F.adaptive_max_pool2d(pixels, shape) > 0.5
