"""One picture in components, each of which shows a thing of its own.

    eps = sum_i f_i( eps(x, prompt_i) )   with   sum_i f_i = 1        Factorized Diffusion, arXiv:2404.11615

The components are those of a split: bands of a pyramid or a wavelet, a blur of any direction and its rest, motion,
gray or lightness and colour, shares, or what is inside a mask; see `splits`. A linear split acts on the prediction in
the model's own parametrisation, any other on the clean pictures, as does one of colours where latents have none.
Where the gray or the lightness is that of a given picture, colours are weakened until they fit it, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
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
from diffusion_tricks_plugins.in_places import check_whole
from diffusion_tricks_plugins.masks import mask_paths
from diffusion_tricks_plugins.picture import given, is_nested, note_kept
from diffusion_tricks_plugins.pixel_space import Space, recombined
from diffusion_tricks_plugins.split import Canvas, canvas_of
from diffusion_tricks_plugins.splits import split_named

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Run, Step
    from diffusion_tricks_plugins.filters import Filter

TOLERANCE = 1e-4  # of the sum of the components in float32, on noise of spread 1
LARGEST = 2.0  # of that noise, beyond which Lab rounds the more


class ComponentsOptions(TrickOptions):
    """A prompt for each component; `picture:photo.png` in its place keeps that of a picture."""

    parts: list[Prompted] = option(..., "what a component shows, the coarsest first; once for each", flag="part")
    split: str = option(
        "pyramid", "what the components are: pyramid or wavelet:db2, bands of as many as there are parts; gaussian:2"
        " or gaussian:4,across=1,angle=30, blurred and the rest; line:7,angle=45, moving and still; gray or lab,"
        " and colour; scale:2/1, shares; mask, inside and outside",
    )  # fmt: skip
    mask: str | None = option(
        None, "the inside of split mask: a file (white, or gray for softly), box:x0,y0,x1,y1 or ellipse:... in percent",
        path=mask_paths, needs=("split",),
    )  # fmt: skip
    space: Space = option(
        "auto", "where the split acts: on the latents as they are, or on the decoded picture; auto is latent, but for"
        " lab, and for gray of a model whose latents have no colours",
    )  # fmt: skip

    @model_validator(mode="after")
    def _whole(self) -> ComponentsOptions:
        if (self.split == "mask") != (self.mask is not None):
            raise ValueError('`mask` says what is inside for `split="mask"`; give both, or neither')
        if len(self.parts) < 2:
            raise ValueError(f"expected two parts or more, got {len(self.parts)}")
        split = split_named(self.split, self.mask)
        if split.parts not in {None, len(self.parts)}:
            raise ValueError(f"split {self.split!r} has {split.parts} parts, got {len(self.parts)}")
        return self


@dataclass
class Notes:
    """Of a run: what takes each component, and where it acts."""

    bands: list[Filter] = field(default_factory=list)
    space: Literal["latent", "pixel"] = "latent"


class Components(Trick[ComponentsOptions]):
    """eps = sum_i f_i( eps(x, prompt_i) )"""

    name = "components"
    brings_prompts = True

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.split = split_named(self.options.split, self.options.mask)
        self.count = len(self.options.parts)

    def asks(self) -> list[tuple[str, Prompted]]:
        """What each component shows."""
        return list(zip(self.split.names(self.count), self.options.parts, strict=True))

    def parameters(self) -> dict[str, Any]:
        """What the components show."""
        return {"Prompt": prompts_of(self.options.parts)}

    def views_of(self, image: Image) -> list[Shown]:
        """What is seen of a picture where each component is looked for."""
        from diffusion_tricks.plugin import to_images, to_tensor

        x, canvas = to_tensor(image), canvas_of(image)
        looks = zip(self.asks(), self.split.seen(self.count, canvas), self.split.blurs(self.count, canvas), strict=True)
        shown = []
        for (name, said), look, blur in looks:
            seen = to_images(look(x))[0]
            shown += shown_by(name, seen, said, blur=blur, frame=self.split.way(image, seen))
        return shown

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Makes the components' filters for the size of this run, and measures that they add up to the identity."""
        notes = run.state(self, Notes)
        notes.space = self.space(run)
        shape = run.latent_shape if notes.space == "latent" else (3, run.size[1], run.size[0])
        notes.bands = self.split.bands(self.count, Canvas(shape, run.stages[-1].size, run.model.device))
        error = self._identity_error(notes.bands, shape, run.model.device)
        if not error <= TOLERANCE:
            raise UsageError(f"the components of {self.options.split!r} do not add up to the picture (error"
                             f" {error:.1e})")  # fmt: skip
        for facts in run.facts:
            facts.setdefault("space", notes.space)

    def _identity_error(self, bands: Sequence[Filter], shape: tuple[int, int, int], device: torch.device) -> float:
        import torch

        x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).clamp(-LARGEST, LARGEST).to(device)
        return float((self.split.whole(bands, [x] * self.count) - x).abs().max())

    def space(self, run: Run) -> Literal["latent", "pixel"]:
        """Where the split acts in a run. Raises UsageError for one that cannot act on latents, and is to."""
        apart = not self.split.linear or (self.split.coloured and (run.model.family.scale != 1 or self.keeps_first))
        if self.options.space == "latent" and apart:
            raise UsageError(f"split {self.options.split!r} acts on pictures, not on the latents of {run.model.name!r};"
                             ' use `space="pixel"`')  # fmt: skip
        if self.options.space != "auto":
            return self.options.space
        return "pixel" if apart else "latent"

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """What the components show."""
        return plain_prompts(self.options.parts)

    @hookimpl
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The sum of every prompt's component."""
        notes = step.run.state(self, Notes)
        if self.split.placed:
            check_whole(self.name, ask, step.run)
        answers: list[Estimate] = yield [ask.asking(prompt) for prompt in self.options.parts]
        if notes.space == "pixel":
            return recombined(step.run, answers, partial(self._whole, notes.bands))
        return reduce(add, [answer.map(band) for answer, band in zip(answers, notes.bands, strict=True)])

    def _whole(self, bands: Sequence[Filter], pictures: Sequence[Tensor]) -> Tensor:
        return (self.split.in_gamut if self.keeps_first else self.split.whole)(bands, pictures)

    @property
    def keeps_first(self) -> bool:
        """Whether the first component is that of a given picture."""
        return given(self.options.parts[0]) is not None

    @hookimpl
    def report(self, run: Run, image: Image, index: int) -> None:
        """Notes how well the components of given pictures were kept."""
        if not is_nested(self, run):
            note_kept(run, image, index, self.asks(), partial(self._component, canvas_of(image)))

    def _component(self, canvas: Canvas, i: int, x: Tensor) -> Tensor:
        return self.split.component(i, self.count, canvas)(x)
