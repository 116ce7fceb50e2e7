"""Regions: each part of the picture shows its own prompt.

    eps(p) = sum_i m_i(p) eps( x, prompt_i )(p),  sum_i m_i = 1        MultiDiffusion, arXiv:2302.08113, section 4.2

m_i: the masks, divided by their sum where they overlap beyond 1. What they leave shows the run's own prompt. With
`bootstrap` the first steps see each region before a plain background of random colour, noised to their level, so that
what it shows begins inside it (section 4.2, "bootstrapping").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pydantic import model_validator

from diffusion_tricks.plugin import (
    Asking,
    Prompted,
    Shown,
    Trick,
    TrickOptions,
    hookimpl,
    option,
    plain_prompts,
    shown_by,
)
from diffusion_tricks_plugins.in_places import check_whole, in_places
from diffusion_tricks_plugins.masks import FULL, Mask, mask_for, mask_paths

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Box, Estimate, Run, Step

Extent = tuple[float, float, float, float]  # left, top, right, bottom in pixels
PAPER = (255, 255, 255)  # around a region that is shown alone
BOOTSTRAPPED = 0.2  # of the schedule
NO_BASE = "the regions cover the whole picture, so that the prompt of the run is not asked"


class RegionsOptions(TrickOptions):
    """A region is a mask and what is shown there."""

    regions: list[tuple[str, Prompted]] = option(
        ..., "a mask, as of inpaint, and what is shown there; give it once per region", flag="region", path=mask_paths
    )
    bootstrap: bool = option(
        False, f"the first {BOOTSTRAPPED:.0%} of the steps see each region before a plain background"
    )

    @model_validator(mode="after")
    def _some(self) -> RegionsOptions:
        if not self.regions:
            raise ValueError('give at least one region, for example `regions=[("box:50%,0,100%,100%", "a rabbit")]`')
        return self


@dataclass
class Notes:
    """Of one run: what the run's own prompt weighs, and then every region (1 1 h w); and their backgrounds, clean and
    noise (b c h w)."""

    shares: list[Tensor] = field(default_factory=list)
    based: bool = True
    grounds: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class Regions(Trick[RegionsOptions]):
    """eps(p) = sum_i m_i(p) eps( x, prompt_i )(p)"""

    name = "regions"

    def asks(self) -> list[tuple[str, Prompted]]:
        """What each region shows."""
        return self.options.regions

    @property
    def said(self) -> list[Prompted]:
        """What the regions show."""
        return [said for _, said in self.options.regions]

    def masks(self, size: tuple[int, int]) -> list[Mask]:
        """The regions of a picture of that size (width, height); files are resized. Raises as `mask_for`."""
        masks = (mask_for(text, size, fit=True) for text, _ in self.options.regions)
        return [Mask(mask.weights, tuple(note for note in mask.notes if note != FULL)) for mask in masks]

    def views_of(self, image: Image) -> list[Shown]:
        """Every region by itself, as large as the picture lets it be."""
        ways = [partial(zoomed, image, mask.bounds) for mask in self.masks(image.size)]
        views = zip(self.options.regions, ways, strict=True)
        return [one for (name, said), way in views for one in shown_by(name, way(1.0), said, frame=way)]

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads the masks for the finished picture, and what they weigh in the latents of this run."""
        import torch  # here, so that the options can be read without it
        from torch.nn.functional import adaptive_avg_pool2d

        read = self.masks(run.stages[-1].size)
        pixels = torch.stack([torch.from_numpy(mask.weights / 255.0).float() for mask in read])  # (n H W)
        masks = adaptive_avg_pool2d(pixels, run.latent_shape[1:]).to(run.model.device)
        total = masks.sum(0)
        notes = run.state(self, Notes)
        notes.shares = [share[None, None] for share in ((1 - total).clamp(min=0), *(masks / total.clamp(min=1)))]
        notes.based = bool((notes.shares[0] > 0).any())
        if self.options.bootstrap:
            notes.grounds = self._grounds(run)
        told = [note for mask in read for note in mask.notes] + ([] if notes.based else [NO_BASE])
        for facts in run.facts if run.previous is None and told else []:
            facts["notes"] = [*facts.get("notes", []), *told]

    def _grounds(self, run: Run) -> list[tuple[Tensor, Tensor]]:
        """A background of random colour for every region, and its noise; the sampler's stream stays what it was."""
        random, (width, height) = run.noise.fork(f"regions {run.stage}"), run.size
        drawn = [(random.draw((3, 1, 1)), random.draw(run.latent_shape, run.model.device)) for _ in self.said]
        return [(run.latents_of(c.tanh().expand(-1, -1, height, width)).float(), noise) for c, noise in drawn]

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """What the regions show."""
        return plain_prompts(self.said)

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """Every region's own part, and the rest as it is asked."""
        notes = step.run.state(self, Notes)
        check_whole(self.name, ask, step.run)
        seen = [self._before_ground(ask, step, i) for i in range(len(self.said))]
        asks = [one.asking(said) for one, said in zip(seen, self.said, strict=True)]
        answers: list[Estimate] = yield [*([ask] if notes.based else []), *asks]
        return in_places(answers, notes.shares[0 if notes.based else 1 :], ask.x)

    def _before_ground(self, ask: Ask, step: Step, i: int) -> Ask:
        """What region i sees: the latents, in the first steps before its background."""
        notes = step.run.state(self, Notes)
        if not self.options.bootstrap or step.fraction >= BOOTSTRAPPED:
            return ask
        clean, noise = notes.grounds[i]
        ground = step.level.noised(clean, noise).to(ask.x.dtype)
        return ask.but(x=ask.x.where(notes.shares[i + 1] > 0, ground))


def around(box: Box, size: tuple[int, int]) -> Extent:
    """The smallest part of the proportions of a picture of that size that holds a box in its middle.

    It may reach over the picture's edge.
    """
    left, top, right, bottom = box
    share = max((right - left) / size[0], (bottom - top) / size[1])
    x, y, width, height = (left + right) / 2, (top + bottom) / 2, share * size[0], share * size[1]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def zoomed(image: Image, box: Box, share: float) -> Image:
    """The picture on its way to a part of it, at a share of 0 to 1, of its own size; paper takes what is around."""
    from PIL import Image

    whole, goal = (0, 0, *image.size), around(box, image.size)
    left, top, right, bottom = (a + share * (b - a) for a, b in zip(whole, goal, strict=True))
    if share <= 0:
        return image
    extent = Image.Transform.EXTENT
    seen = image.convert("RGB").transform(
        image.size, extent, (left, top, right, bottom), Image.Resampling.BICUBIC, fillcolor=PAPER
    )
    scale = image.width / (right - left)
    x0, x1 = (min(max(round((x - left) * scale), 0), image.width) for x in box[::2])
    y0, y1 = (min(max(round((y - top) * scale), 0), image.height) for y in box[1::2])
    page = Image.blend(seen, Image.new("RGB", image.size, PAPER), share)
    page.paste(seen.crop((x0, y0, x1, y1)), (x0, y0))
    return page
