"""Posterior sampling: of all pictures that the prompt may mean, one that fits what was measured of it.

dps     x_t-1 = x'_t-1 - step * grad_x || y - A(x0(x)) ||                       arXiv:2209.14687, Algorithm 1
pigdm   eps = eps - sigma * grad_x log p(y | x),  p(y | x) = N( A x0(x), r^2 A A^T + noise^2 ),
        r^2 = sigma^2 / (alpha^2 + sigma^2)                                     PiGDM, Song et al., ICLR 2023

A: what is measured, the known part of a picture, a blurred or a smaller one; y: what came of that, the picture given.
The first is written for latents of alpha^2 + sigma^2 = 1 and for 1000 steps: others are scaled to that, fewer steps
are so much larger, but none is larger than brings, by the gradient, what is measured to y. The second is exact for data
that are standard normal, and for pixels; where a network's gradient would move x0 further than y is away, it moves so
far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from diffusion_tricks.plugin import (
    Asking,
    Fit,
    Trick,
    TrickOptions,
    UsageError,
    argument,
    fit,
    flatten,
    hookimpl,
    option,
    read_picture,
)
from diffusion_tricks_plugins.masks import mask_for, mask_paths

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion_tricks.plugin import Ask, Estimate, Level, Run, Size, Step
    from diffusion_tricks_plugins.measurements import Measurement

LONG = 1000  # steps of the paper
TINY = 1e-12


class DPSOptions(TrickOptions):
    """Neutral is step 0, for rule dps."""

    image: str = argument(
        ..., "what was measured: a picture of which a part is unknown, a blurred or a small one", path=True
    )
    mask: str | None = option(None, "what of the picture is unknown, a mask as of inpaint", path=mask_paths)
    blur: float | None = option(None, "the picture is blurred so much: sigma in pixels of what is made", gt=0)
    reduce: int | None = option(None, "the picture is so many times smaller than what is made", ge=1)
    rule: Literal["dps", "pigdm"] = option("dps", "how far to go: by a step size, or by the noise of the measurement")
    step: float = option(1.0, "dps: step size of each of 1000 steps; fewer are larger; the paper has 0.3 to 1", ge=0)
    noise: float = option(0.05, "pigdm: spread of the noise in what was measured, of colours from -1 to 1", gt=0)
    fit: Fit = option("crop", "how a picture of other proportions fills the size")

    @model_validator(mode="after")
    def _one(self) -> DPSOptions:
        said = [name for name in ("mask", "blur", "reduce") if getattr(self, name) is not None]
        if len(said) > 1:
            raise ValueError(f"{' and '.join(said)} are two ways to measure; give one of them")
        return self


@dataclass
class Notes:
    """Of one run: how the picture was measured and what came of it (1 3 h w); of one step, where dps goes (b c h w)."""

    how: Measurement | None = None
    measured: Tensor | None = None
    move: Tensor | None = None


class DPS(Trick[DPSOptions]):
    """x_t-1 = x'_t-1 - step * grad_x || y - A(x0(x)) ||

    Every step goes back through the network, and through the VAE of a model that has one, which takes memory.
    """

    name = "dps"

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads what was measured. Raises UsageError for a size that cannot be measured so."""
        if run.previous is not None:
            return
        from diffusion_tricks.plugin import to_tensor  # here: it needs torch, the options do not
        from diffusion_tricks_plugins.measurements import Measurement

        options, notes = self.options, run.state(self, Notes)
        notes.how = Measurement(self._known(run.size), options.blur, options.reduce)
        if options.rule == "pigdm":
            self._check_exact(run, notes.how)
        picture = flatten(read_picture(options.image).srgb)
        notes.measured = to_tensor(fit(picture, self._size(run.size), options.fit)).to(run.model.device)
        if notes.how.known is not None:
            notes.measured = notes.how.of(notes.measured)

    def _check_exact(self, run: Run, how: Measurement) -> None:
        if run.model.family.scale != 1:
            raise UsageError(f"{run.model.name!r} makes latents, and rule pigdm is for pixels; use rule dps")
        if how.sigma is not None:
            raise UsageError("rule pigdm is for `mask` and `reduce`; use rule dps for `blur`")

    def _known(self, size: Size) -> Tensor | None:
        import torch

        if self.options.mask is None:
            return None
        unknown = mask_for(self.options.mask, size, fit=True).weights
        return 1 - torch.from_numpy(unknown / 255.0).float()[None, None]

    def _size(self, size: Size) -> Size:
        factor = self.options.reduce or 1
        if any(side % factor for side in size):
            raise UsageError(f"`reduce` {factor} does not divide the size {size[0]}x{size[1]}; make one that it does")
        return size[0] // factor, size[1] // factor

    @hookimpl(tryfirst=True)  # outermost: what was measured is not of a view
    def estimate_noise(self, ask: Ask, step: Step) -> Asking:
        """The answer, and where what it shows comes nearer to what was measured."""
        notes = step.run.state(self, Notes)
        if notes.how is None or notes.measured is None or (self.options.rule == "dps" and self.options.step == 0):
            plain: list[Estimate] = yield [ask]
            return plain[0]
        from diffusion_tricks.plugin import followed, slope

        asked = followed(ask)
        answers: list[Estimate] = yield [asked]
        pixels = step.run.model.decode(answers[0].clean, step.run.max_rows).float()
        off = (notes.measured - notes.how.of(pixels)).flatten(1)  # (b n)
        if self.options.rule == "dps":
            notes.move = self._move(step, off.norm(dim=1), asked)
            return answers[0].detached()
        towards = slope(step.run, -off.square().sum(1) / (2 * self._variance(step.level, notes.how)), asked)
        return moved(answers[0].detached(), towards, off.detach().norm(dim=1) / notes.how.power**0.5)

    def _variance(self, level: Level, how: Measurement) -> float:
        """r^2 c + noise^2, of each value that was measured."""
        return spread(level) ** 2 * how.power + self.options.noise**2

    def _move(self, step: Step, off: Tensor, asked: Ask) -> Tensor:
        """step * grad || y - A(x0(x)) ||, in latents of size 1 (b c h w)."""
        from diffusion_tricks.plugin import slope

        way = size(step.level) * slope(step.run, off, asked)  # (b c h w)
        most = off.detach() / way.square().sum((1, 2, 3)).clamp(min=TINY)  # (b)
        return most.clamp(max=self.options.step * LONG / step.run.whole_steps)[:, None, None, None] * way

    @hookimpl
    def after_step(self, step: Step) -> None:
        """Goes there, for rule dps."""
        notes = step.run.state(self, Notes)
        if notes.move is not None:
            step.x = step.x - size(step.next_level) * notes.move
            notes.move = None


def moved(answer: Estimate, towards: Tensor, most: Tensor) -> Estimate:
    """eps - sigma towards (b c h w), but each picture's x0 no further from its own than `most` (b)."""
    level = answer.level
    far = level.sigma**2 / max(level.alpha, TINY) * towards.flatten(1).norm(dim=1)  # (b)
    share = (most / far.clamp(min=TINY)).clamp(max=1)[:, None, None, None]
    return answer.with_noise(answer.noise - level.sigma * share * towards)


def size(level: Level) -> float:
    """sqrt(alpha^2 + sigma^2): how many times larger latents are than in the paper."""
    return float((level.alpha**2 + level.sigma**2) ** 0.5)


def spread(level: Level) -> float:
    """r = sigma / sqrt(alpha^2 + sigma^2): of clean pictures, where data are standard normal, about their estimate."""
    return level.sigma / size(level)
