"""Hybrid images: one picture that shows one thing from afar and another from near.

    eps = sum_i  f_i( eps(x, prompt_i) )   with   sum_i f_i = 1        Factorized Diffusion, arXiv:2404.11615

The components f_i are low and high frequencies (Hybrid Images, Oliva et al. 2006), gray and colour, or a motion blur
and what it leaves. As they add up to the identity, they act on the prediction in the model's own parametrisation. In
pixel space they act on the decoded clean pictures, which have colours where latents have none: see `pixel_space`.
More bands, and other components, are those of `components`; a given picture may stand in the place of a prompt.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from diffusion_tricks.plugin import (
    Asking,
    Prompted,
    Shown,
    Trick,
    TrickOptions,
    UsageError,
    hookimpl,
    option,
    plain_prompts,
    prompts_of,
    shown_by,
)
from diffusion_tricks_plugins.picture import is_nested, note_kept
from diffusion_tricks_plugins.pixel_space import Space, recombined

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step
    from diffusion_tricks_plugins.filters import Filter

TAPS, TRIPLE_TAPS = 33, 25  # of the Gaussians at 64 pixels
TOLERANCE = 1e-4  # of the sum of the components in float32, on noise of spread 1

SIGMA = 2.0  # in pixels of a 64-pixel picture


class HybridOptions(TrickOptions):
    """Lengths hold for 64 pixels and scale with the size of what is filtered, picture or latents: the same share."""

    far: Prompted = option(..., "what is seen from afar; with --split color in gray, with --split motion in motion")
    near: Prompted = option(..., "what is seen from near; with --split color in colour, with --split motion at rest")
    mid: Prompted | None = option(None, "what is seen from halfway, between far and near")
    split: Literal["frequency", "color", "motion"] = option("frequency", "what tells far from near")
    sigma: float = option(SIGMA, "blur that far is seen through, in pixels of a 64-pixel picture", gt=0)
    mid_sigma: float = option(1.0, "blur that mid is seen through, in the same pixels", needs=["mid"], gt=0)
    space: Space = option(
        "auto", "where filters act: on the latents as they are, or on the decoded picture; auto is latent, but for the"
        " colours of a model whose latents have none",
    )  # fmt: skip

    @model_validator(mode="after")
    def _whole(self) -> HybridOptions:
        if self.mid is not None and self.split != "frequency":
            raise ValueError(f"mid is a band of frequencies, there is none with split {self.split!r}; leave one out")
        if self.sigma != SIGMA and self.split != "frequency":
            raise ValueError(f"sigma is of bands of frequencies, not of split {self.split!r}; leave one out")
        return self


class Hybrid(Trick[HybridOptions]):
    """eps = lowpass(eps_far) + highpass(eps_near)"""

    name = "hybrid"
    brings_prompts = True

    def asks(self) -> list[tuple[str, Prompted]]:
        """What is seen, the farthest first."""
        options = self.options
        named = (("far", options.far), ("mid", options.mid), ("near", options.near))
        return [(name, prompt) for name, prompt in named if prompt is not None]

    def parameters(self) -> dict[str, Any]:
        """What is seen from afar, and nearer."""
        return {"Prompt": prompts_of(self.seen)}

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Makes the components' filters for the size of this run, and measures that they add up to the identity."""
        space = self.space(run)
        from diffusion_tricks_plugins.filters import identity_error  # here: it needs torch, the options do not

        shape = run.latent_shape if space == "latent" else (3, run.size[1], run.size[0])
        bands = self.bands(min(shape[1:]), run.model.device)
        error = identity_error(bands, shape, run.model.device)
        if not error <= TOLERANCE:
            raise UsageError(f"the components of hybrid do not add up to the picture (error {error:.1e})")
        run.state(self).update(bands=bands, space=space)
        for facts in run.facts:
            facts.setdefault("space", space)

    def space(self, run: Run) -> Literal["latent", "pixel"]:
        """Where the filters of a run act. Raises UsageError for colours that are to be those of latents."""
        colourless = self.options.split == "color" and run.model.family.scale != 1
        if self.options.space == "latent" and colourless:
            raise UsageError(f"split 'color': the latents of {run.model.name!r} hold no colours; use `space=\"pixel\"`")
        if self.options.space != "auto":
            return self.options.space
        return "pixel" if colourless else "latent"

    def bands(self, side: int, device: torch.device | str = "cpu") -> list[Filter]:
        """One filter for each of `prompts`, in their order, for what has that shorter side."""
        from diffusion_tricks_plugins.filters import MOTION, blur, gray, motion, three_bands, two_bands

        options = self.options
        if options.split == "color":
            return two_bands(gray)
        if options.split == "motion":
            return two_bands(motion(MOTION, side))
        if options.mid is None:
            return two_bands(blur(options.sigma, TAPS, side, device))
        fine, coarse = (blur(sigma, TRIPLE_TAPS, side, device) for sigma in (options.mid_sigma, options.sigma))
        return three_bands(fine, coarse)

    def views_of(self, image: Image) -> list[Shown]:
        """The picture as the filters of far and mid leave it, and as it is for near."""
        from diffusion_tricks.plugin import to_images, to_tensor
        from diffusion_tricks_plugins.hybrid_frames import way_to

        x = to_tensor(image)
        pictures = [*(to_images(low(x))[0] for low in self.distances(min(image.size))), image]
        ways = [way_to(self.options.split, image, seen) for seen in pictures[:-1]]
        views = zip(self.asks(), pictures, self.blurs(), [*ways, lambda share: image], strict=True)
        return [
            one for (name, said), seen, blur, way in views for one in shown_by(name, seen, said, blur=blur, frame=way)
        ]

    def blurs(self) -> list[float | None]:
        """The sigma through which each of `asks` is seen, as a share of the shorter side; None where nothing blurs."""
        from diffusion_tricks_plugins.filters import REFERENCE_SIDE

        options = self.options
        if options.split != "frequency":
            return [None, None]
        fine, coarse = options.mid_sigma / REFERENCE_SIDE, options.sigma / REFERENCE_SIDE
        return [coarse, None] if options.mid is None else [math.hypot(fine, coarse), fine, None]

    def distances(self, side: int) -> list[Filter]:
        """What takes a picture of that shorter side away, the farthest first; from near all is seen."""
        from diffusion_tricks_plugins.filters import MOTION, blur, gray, motion

        options = self.options
        if options.split != "frequency":
            return [gray if options.split == "color" else motion(MOTION, side)]
        if options.mid is None:
            return [blur(options.sigma, TAPS, side)]
        fine, coarse = (blur(sigma, TRIPLE_TAPS, side) for sigma in (options.mid_sigma, options.sigma))
        return [lambda x: coarse(fine(x)), fine]

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """What is seen, the farthest first."""
        return plain_prompts(self.seen)

    @property
    def seen(self) -> list[Prompted]:
        """The prompts of the components, the farthest first."""
        return [prompt for _, prompt in self.asks()]

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The sum of every prompt's component."""
        state = step.run.state(self)
        bands: list[Filter] = state["bands"]
        answers: list[Estimate] = yield [ask.asking(prompt) for prompt in self.seen]
        if state["space"] == "pixel":
            return recombined(step.run, answers, partial(summed, bands))
        return reduce(operator.add, [answer.map(band) for answer, band in zip(answers, bands, strict=True)])

    @hookimpl
    def report(self, run: Run, image: Image, index: int) -> None:
        """Notes how well the components of given pictures were kept."""
        if not is_nested(self, run):
            bands = self.bands(min(image.size))
            note_kept(run, image, index, self.asks(), lambda i, x: bands[i](x))


def summed(bands: Sequence[Filter], pictures: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of every picture's own component."""
    return reduce(operator.add, [band(picture) for band, picture in zip(bands, pictures, strict=True)])
