"""What inpainting and outpainting do in a run: show the model its part, keep what is known, lay what was made back in.

    x_t = m x_t + (1 - m) (alpha_t x0 + sigma_t eps)        RePaint, arXiv:2201.09865, equation 8;
                                                            Blended Diffusion, arXiv:2111.14818, algorithm 2
    back from x_t to x_(t+j), r - 1 times at each t = 0, j, 2j, ... below T - j          RePaint, section 4.2

The known region is re-noised to the level just reached, with one eps for all levels; the last step pastes x0 itself.
A model that was trained to inpaint is shown mask and picture instead (`Condition`), and no step of it is touched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BeforeValidator

from diffusion_tricks.plugin import (
    Box,
    Repainted,
    Share,
    Start,
    TrickOptions,
    UsageError,
    changed_pixels,
    flatten,
    option,
    to_tensor,
)
from diffusion_tricks_plugins.inpaint_fill import Fill, Match, check_at_hand, filled, matched
from diffusion_tricks_plugins.inpaint_known import Known, condition_of, known_of, latents_made_new
from diffusion_tricks_plugins.kept import kept_hash, pixels_of, seam
from diffusion_tricks_plugins.masks import Mask, Weights
from diffusion_tricks_plugins.pasting import blended, uncontaminated

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Raster, Run, Step


def _as_text(value: Any) -> Any:
    """A recipe may say padding = 40."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class RepaintOptions(TrickOptions):
    """How a part of a picture is made anew; they hold for the whole of an edit."""

    padding: Annotated[str | None, BeforeValidator(_as_text, json_schema_input_type=str | float | None)] = option(
        None, "surroundings the model sees, in px or as a share of what is new (50%); default 25%, at least 32 px"
    )
    blend: Literal["auto", "on", "off"] = option(
        "auto",
        "put what is known back in at every step; auto does so unless the model was trained to inpaint and sees it",
    )
    strength: Share | None = option(
        None, "start from the picture, and run this share of the schedule: 0 keeps it; default: start from pure noise"
    )
    resample: int = option(1, "how often each step is made, so that new and known agree (RePaint)", ge=1, le=100)
    jump: int = option(
        1, "how many steps each resampling goes back (RePaint; the paper has 10 of 250)", ge=1, le=1000,
        needs=("resample",),
    )  # fmt: skip
    match: Match = option(
        "off", "bring colours to those around what is new: mean and spread, or by edges, poisson and mixed (OpenCV)"
    )


@dataclass
class Edit:
    """What is made new of a picture in a run.

    name: of the trick, for messages. options: how it is done. fill: what stands there when a run of some strength
    starts. mask: what is made new. weights: with soft edges (h w). box: the part of the picture that the model sees,
    which may leave the picture; seen: as it is shown, at the model's size. parts, shares: of several prompts, a mask
    for each, and how much it says of each latent (1 1 h w). by_strength: see `known_of`. back: from the last step of
    each jump to its first.
    """

    name: str
    options: RepaintOptions
    fill: Fill
    mask: Mask
    weights: Weights
    box: Box
    parts: list[Mask] = field(default_factory=list)
    shares: list[Tensor] = field(default_factory=list)
    by_strength: bool = False
    seen: Image.Image | None = None
    known: Known | None = None
    back: dict[int, int] | None = None

    @property
    def inside(self) -> Box:
        """What of the model's part lies within the picture."""
        (left, top, right, bottom), (height, width) = self.box, self.mask.weights.shape
        return max(left, 0), max(top, 0), min(right, width), min(bottom, height)

    @property
    def cut(self) -> tuple[slice, slice]:
        """The rows and columns of an array (h w) that lie in the model's part."""
        left, top, right, bottom = self.inside
        return slice(top, bottom), slice(left, right)

    @property
    def unmatched(self) -> str | None:
        """Why the colours of what is new cannot be brought to those around it, where that was asked for."""
        how = self.options.match
        if how == "off" or not (self.framed(self.weights) > 0).all():
            return None
        if (self.weights > 0).all():
            return f"`match` {how} had no effect: nothing of the picture is kept whose colours it could match"
        if how != "mean":  # the others look at what was there before
            return None
        return (
            "`match` mean had no effect: the model saw nothing of what is kept; give more `padding`, or `match` mixed"
        )

    def framed(self, weights: Weights) -> Weights:
        """The model's part (h' w') of weights (h w); what lies beyond the picture is new."""
        (left, top, right, bottom), inside = self.box, self.inside
        over = inside[0] - left, inside[1] - top, right - inside[2], bottom - inside[3]
        if not any(over):
            return weights[self.cut]
        return np.pad(weights[self.cut], ((over[1], over[3]), (over[0], over[2])), constant_values=255)

    def show(self, run: Run) -> None:
        """Keeps what is known of the region for the steps, or shows it to a model that was trained to inpaint."""
        assert run.source is not None
        check_at_hand(self.options.match)
        for facts in run.facts if self.unmatched and run.previous is None else ():
            facts["notes"] = [*facts.get("notes", ()), self.unmatched]
        run.source = run.source.on(self.box)
        weights = self.framed(self.weights)
        new = self.framed(self.mask.weights) > 0
        seen = uncontaminated(run.source, ~new, run.size)
        if self.inside != self.box:
            beyond = self.framed(np.zeros_like(self.mask.weights)) > 0
            seen = Image.fromarray(filled(np.asarray(seen), at_size(beyond, run.size), "edge"))
        self.seen = seen
        pixels, inpaints = to_tensor(seen), run.model.family.shape.inpaints
        if inpaints:
            run.condition = condition_of(run, pixels, new)
        if self.options.blend == "on" or (self.options.blend == "auto" and (self.by_strength or not inpaints)):
            self.known = known_of(run, pixels, weights, self.by_strength)

    def start(self, run: Run) -> Start | None:
        """The picture, with what fills it, at the level of the first step that is run; None: pure noise."""
        strength = self.options.strength
        if strength is None:
            return None
        index = run.first_step(strength)
        if index == len(run.timesteps) and strength:
            raise UsageError(f"{self.name}: strength {strength:g} of {index} steps is less than one, so no step would"
                             " be run; raise `strength`, or `steps`")  # fmt: skip
        clean = self._filled(run).expand(run.count, -1, -1, -1)
        if index == len(run.timesteps):
            return Start(clean, index)
        return Start(run.noised(clean, run.noise.draw(run.latent_shape, clean.device), index), index)

    def _filled(self, run: Run) -> Tensor:
        """Latents (b c h w) of the part that the model sees, as what is new is filled."""
        new = self.framed(self.mask.weights) > 0
        colours = filled(np.asarray(self.seen), at_size(new, run.size), self.fill)
        clean = run.latents_of(to_tensor(Image.fromarray(colours))).float()
        if self.fill != "noise":
            return clean
        noise = run.noise.fork("fill").draw(run.latent_shape, clean.device)
        return noise.where(latents_made_new(new, run.latent_shape[1:]).to(clean.device), clean)

    def before(self, step: Step) -> None:
        """The known region at the level of the step, whatever the run started from."""
        if self.back is None:
            self.back = self._jumps(step.run)
        step.x = self._kept(step, step.index)

    def after(self, step: Step) -> None:
        """The known region at the level just reached; and back, if the steps to there are to be made again."""
        step.x = self._kept(step, step.index + 1)
        first = (self.back or {}).get(step.index)
        if first is not None and step.repeated + 1 < self.options.resample:
            step.go_back(first)

    def _jumps(self, run: Run) -> dict[int, int]:
        options, count = self.options, len(run.timesteps)
        if options.resample == 1:
            return {}
        back = jumps(count, options.jump, run.first, run.substeps)
        if not back and options.jump > 1:
            raise UsageError(f"{self.name}: `jump={options.jump}` goes back further than the run comes before its last"
                             f" step, of {-(-(count - run.first) // run.substeps)}; give a shorter one, or more"
                             " `steps`")  # fmt: skip
        begun = {last: max(run.beginning(first), run.first) for last, first in back.items()}
        return {last: first for last, first in begun.items() if first <= last}

    def _kept(self, step: Step, index: int) -> Tensor:
        """The latents with the known region of level `index`, where it is kept; after the last step it is clean."""
        if self.known is None:
            return step.x
        run, known, count = step.run, self.known, len(step.run.timesteps)
        x_known = known.clean if index == count else run.noised(known.clean, known.noise, index)
        return x_known.to(step.x.dtype).where(known.kept((index - run.first) / (count - run.first)), step.x)

    def laid(self, run: Run, image: Image.Image, fill: bool = False, keep_alpha: bool = False) -> Repainted:
        """The picture with what the model made of its part, in the picture's own mode and depth.

        fill, keep_alpha: see `blended`.
        """
        assert run.source is not None
        picture, box, inside = run.source.picture, self.box, self.inside
        original, weights = picture.raster, self.framed(self.weights)
        new = image.convert("RGB").resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
        if self.options.match != "off" and self.unmatched is None:
            old = flatten(picture.image.crop(box))
            new = Image.fromarray(matched(np.asarray(new), np.asarray(old), weights > 0, self.options.match))
        new = new.crop((inside[0] - box[0], inside[1] - box[1], inside[2] - box[0], inside[3] - box[1]))
        weights = self.weights[self.cut]
        if self.by_strength:
            weights = np.where(weights > 0, np.uint8(255), weights)
        part = blended(original.samples[self.cut], original.values_of(new), weights, original.top, fill, keep_alpha)
        return Repainted(original.with_part(part, inside[:2]), self.mask.weights == 0)


def report_kept(run: Run, index: int) -> None:
    """Counts the pixels that changed where they were to be kept, by whichever trick; and says how it blends."""
    assert run.source is not None
    repainted, facts = run.repainted[index], run.facts[index]
    differs = changed_pixels(run.source.picture.raster, repainted.raster)
    changed = int(np.count_nonzero(differs & repainted.kept))
    facts.update(changed_outside=changed, **marks(repainted.raster, repainted.kept))
    if changed:
        facts["notes"] = [*facts.get("notes", []), f"other tricks changed {changed} pixels outside the mask"]


def jumps(count: int, length: int, first: int = 0, substeps: int = 1) -> dict[int, int]:
    """From the last evaluation of each jump to its first, of `count`, `substeps` in each whole step.

    length: whole steps that it goes back. first: the evaluation that the run begins with. After RePaint's
    `get_schedule_jump`: no jump goes back from the clean picture, and their ends lie `length` apart.
    """
    whole, begun = -(-count // substeps), -(-first // substeps)
    ends = range(whole - 1, begun + length - 1, -length)
    return {end * substeps - 1: (end - length) * substeps for end in ends}


def at_size(places: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Places (h w) in a picture of another size (width, height): all that any of them lies in."""
    return np.asarray(latents_made_new(places, (size[1], size[0]))[0, 0].numpy())


def marks(raster: Raster, kept: NDArray[np.bool_]) -> dict[str, Any]:
    """What tells of a picture how it was kept (h w), and how roughly it goes on: `kept_sha256` and `seam`."""
    pixels = pixels_of(raster)
    return {"seam": seam(pixels, kept), "kept_sha256": kept_hash(pixels, kept)}
