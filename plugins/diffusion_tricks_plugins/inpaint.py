"""Inpainting: make the masked part of a picture anew, and not one pixel more.

    x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)        RePaint, arXiv:2201.09865, equation 8;
                                                            Blended Diffusion, arXiv:2111.14818, algorithm 2

The known region is re-noised to the level just reached, with one eps for all levels; the last step pastes x0 itself.
A model that was trained to inpaint is shown mask and picture instead (`Condition`), and no step of it is touched.
The model sees only the mask's surroundings, and its picture is pasted back at the size they have in the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BeforeValidator, model_validator

from diffusion_tricks.plugin import (
    Box,
    Condition,
    Picture,
    Raster,
    Repainted,
    Source,
    Trick,
    TrickOptions,
    UsageError,
    argument,
    bring,
    changed_pixels,
    hookimpl,
    option,
    to_tensor,
)
from diffusion_tricks_plugins.masks import Mask, Weights, feathered, names_a_file, padding_px, read_mask, region_around

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Run, Step

Samples = NDArray[Any]
Shares = NDArray[np.floating[Any]]
SQUEEZED = 1.1  # the region's proportions may differ from the model's by this factor before a note says so


def _as_text(value: Any) -> Any:
    """A recipe may say padding = 40."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class InpaintOptions(TrickOptions):
    """Where the mask is 0, nothing changes; feather 0 and invert off leave the mask as it is."""

    image: str | None = argument(None, "the picture to change; may be left to a trick that brings one", path=True)
    mask: str = option(
        ..., "what to make new: a file (white = new), alpha (transparent = new), box:x0,y0,x1,y1 or ellipse:x0,y0,x1,y1"
        " in pixels or percent", path=names_a_file,
    )  # fmt: skip
    mask_fit: bool = option(False, "resize a mask file of another size to the picture's")
    invert: bool = option(False, "make new what the mask keeps, and keep the rest")
    feather: float = option(0.0, "px inside the mask's edge over which new and old blend", ge=0, le=4096)
    padding: Annotated[str | None, BeforeValidator(_as_text)] = option(
        None, "surroundings the model sees, in px or as a share of the mask (50%); default 25%, at least 32 px"
    )
    blend: Literal["auto", "on", "off"] = option(
        "auto",
        "put what is known back in at every step; auto does so unless the model was trained to inpaint and sees it",
    )

    @model_validator(mode="after")
    def _file_fits(self) -> InpaintOptions:
        if self.mask_fit and not names_a_file(self.mask):
            raise ValueError(f"mask_fit is for a mask in a file, and {self.mask!r} is none; leave it out")
        return self


@dataclass(frozen=True)
class Known:
    """What a run knows of its picture: clean latents and their noise (b c h w), and which latents are new (1 1 h w)."""

    clean: Tensor
    noise: Tensor
    new: Tensor


class Inpaint(Trick[InpaintOptions]):
    """x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)"""

    name = "inpaint"
    sums = ("changed_outside",)
    place = "inpaint"
    keeps_size = True
    edits = True
    exact = True

    def mask_of(self, picture: Picture) -> Mask:
        """What is made new of a picture: `weights` (h w), 0 where it is kept. Raises as `read_mask`."""
        return read_mask(self.options.mask, picture, fit=self.options.mask_fit, invert=self.options.invert)

    @hookimpl(trylast=True)  # another trick may bring the picture
    def prepare(self, run: Run) -> None:
        """Reads picture and mask, and turns the run to the mask's surroundings."""
        padding_px(self.options.padding, 0)
        bring(run, self.options.image)
        if run.source is None:
            raise UsageError('inpaint: a picture is missing; give the one to change, for example "inpaint photo.png"')
        picture = run.source.picture
        mask = self.mask_of(picture)
        region = region_around(mask.bounds, picture.image.size, run.size, self.options.padding)
        run.source = run.source.on(region)
        weights = feathered(mask, self.options.feather)
        run.state(self).update(mask=mask, weights=weights, region=region)
        self._show(run, run.source, mask.weights[region[1] : region[3], region[0] : region[2]] > 0)
        if run.previous is None:
            self._note(run, mask, weights, region)

    def _show(self, run: Run, source: Source, new: NDArray[np.bool_]) -> None:
        """Keeps what is known of the region for the steps, or shows it to a model that was trained to inpaint."""
        pixels, inpaints = to_tensor(uncontaminated(source, ~new, run.size)), run.model.family.shape.inpaints
        if inpaints:
            run.condition = _condition(run, pixels, new)
        if self.options.blend == "on" or (self.options.blend == "auto" and not inpaints):
            run.state(self)["known"] = _known(run, pixels, new)

    def _note(self, run: Run, mask: Mask, weights: Weights, region: Box) -> None:
        notes = list(mask.notes)
        if weights.max() < mask.weights.max():
            notes.append(f"the mask is narrower than its feather of {self.options.feather:g} px: nothing is wholly new")
        wide, high = region[2] - region[0], region[3] - region[1]
        squeezed = wide * run.size[1] / (high * run.size[0])
        if max(squeezed, 1 / squeezed) > SQUEEZED:
            notes.append(f"the model saw {wide} x {high} pixels squeezed to {run.size[0]} x {run.size[1]}; a size of"
                         " like proportions avoids that")  # fmt: skip
        for facts in run.facts:
            facts.update({"notes": [*facts.get("notes", []), *notes]} if notes else {})
            facts["mask_pixels"] = int(np.count_nonzero(mask.weights))
            facts["region"] = list(region)

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
        known: Known | None = step.run.state(self).get("known")
        if known is None:
            return step.x
        over = index == len(step.run.timesteps)
        x_known = known.clean if over else step.run.noised(known.clean, known.noise, index)
        return x_known.to(step.x.dtype).where(~known.new, step.x)

    @hookimpl(tryfirst=True)  # what other tricks add belongs on the whole picture
    def finish_image(self, run: Run, image: Image.Image, index: int) -> Image.Image:
        """The original with the model's picture where the mask is, in its own mode and depth."""
        state = run.state(self)
        assert run.source is not None
        original, (left, top, right, bottom) = run.source.picture.raster, state["region"]
        new = image.convert("RGB").resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        fill = self.options.mask == "alpha" and not self.options.invert
        place = np.s_[top:bottom, left:right]
        part = blended(original.samples[place], original.values_of(new), state["weights"][place], original.top, fill)
        raster = original.with_part(part, (left, top))
        run.repainted[index] = Repainted(raster, state["mask"].weights == 0)
        return raster.shown()

    @hookimpl
    def report(self, run: Run, image: Image.Image, index: int) -> None:
        """Counts the pixels that changed where the mask keeps them, whichever trick changed them."""
        assert run.source is not None
        repainted = run.repainted[index]
        changed = changed_outside(run.source.picture.raster, repainted.raster, repainted.kept)
        facts = run.facts[index]
        facts["changed_outside"] = changed
        if changed:
            facts["notes"] = [*facts.get("notes", []), f"other tricks changed {changed} pixels outside the mask"]


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


def uncontaminated(source: Source, kept: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    """The region at `size` (width, height), where what is kept (H W) takes no colour from what is made new.

    Plain resampling would leave a rim of the old content around the mask, for the model to continue. Each kept pixel is
    the mean over the kept pixels under the same kernel: resample(kept colour) / resample(kept).
    """
    seen = source.seen(size)
    part = source.part
    if part.size == size or not kept.any():
        return seen
    share = _resampled(kept.astype(np.float32), size)
    colour = np.asarray(part) * kept[..., None].astype(np.float32)  # (H W 3)
    mean = np.stack([_resampled(colour[..., i], size) for i in range(3)], axis=2) / np.maximum(share, 0.5)[..., None]
    mixed = (share > 0.5) & (abs(share - 1) > 1e-4)  # a kernel that lies on one side of the mask's edge mixes nothing
    return Image.fromarray(np.where(mixed[..., None], mean.round().clip(0, 255).astype(np.uint8), np.asarray(seen)))


def _resampled(values: Shares, size: tuple[int, int]) -> Shares:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.LANCZOS))


def latents_made_new(new: NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """Pixels (H W) as latents, or other pixels (1 1 h w), `shape` of them: one is new if any pixel of its area is.

    So the whole mask is made new, however small it is; what is too much is not pasted back.
    """
    import torch  # here, so that the options can be read without it
    from torch.nn import functional as F

    pixels = torch.from_numpy(new.astype(np.float32))[None, None]
    return F.adaptive_max_pool2d(pixels, shape) > 0.5


def blended(old: Samples, new: Samples, weights: Weights, top: float, fill: bool) -> Samples:
    """`old` (h w c) with the colours `new` laid on it by weights (h w) of 0..255; weight 0 keeps every bit.

    top: the value of white and of opaque. With alpha, which `old` has one channel more for, colours are blended by what
    is visible of them. fill: lay `old` on `new`, opaque, wherever there is weight: what was transparent is filled.
    """
    share = weights[..., None].astype(np.float32) / 255  # (h w 1)
    count, colour = new.shape[2], new.astype(np.float32)
    rgb: Shares = old[..., :count].astype(np.float32)
    alpha: Shares = old[..., count:].astype(np.float32) / top if old.shape[2] > count else np.ones_like(share)
    if fill:
        rgb, alpha = alpha * rgb + (1 - alpha) * colour, np.ones_like(share)
    cover = alpha * (1 - share) + share
    mixed = (rgb * alpha * (1 - share) + colour * share) / np.maximum(cover, 1e-6)
    after = np.concatenate([mixed, cover * top], axis=2)[..., : old.shape[2]]
    return np.where(share > 0, after if old.dtype.kind == "f" else after.round(), old).astype(old.dtype)


def changed_outside(original: Raster, finished: Raster, kept: NDArray[np.bool_]) -> int:
    """How many pixels that are to be kept (h w) differ between the two pictures, in colour or alpha, at full depth."""
    return int(np.count_nonzero(changed_pixels(original, finished) & kept))
