"""A picture hidden in another by the phases of its waves, with no network but the model.

    x' = F^-1( |F x| e^(i phi) ),   phi = arg F x + s wrap( arg F r - arg F x )      PTDiffusion, arXiv:2503.06186
    s = strength up to `until`, then strength (1 - w^0.5), w from 0 to 1 over `fade`, then 0       (its section 3.4)

F is the Fourier transform of each channel: phases say where things are, magnitudes how much of each wave there is. x
are the latents after a step, r those of the picture to hide at that level, or `ahead` steps further on (section 3.5).
The way between two phases is the shorter one, where the paper's own mean of angles may go the longer.
r comes of DDIM inversion (arXiv:2105.05233, appendix F), from the picture up to noise, asked without a prompt:

    r_N = x0,   r_i = alpha_i x0_hat + sigma_i eps_hat,   both hats the model's answer about r_(i+1)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from diffusion_tricks.plugin import (
    Fit,
    Share,
    Shown,
    Trick,
    TrickOptions,
    answered_at,
    argument,
    fit,
    flatten,
    hookimpl,
    option,
    read_picture,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from diffusion_tricks.plugin import Run, Step

EXPONENT = 0.5  # of the decay, as in the authors' code
SIGMA = 2.0  # of the blur through which the hidden picture is looked for, in pixels of a 64-pixel picture
TAPS = 33
LEAST = 1e-5  # of the strongest wave, below which rounding makes the phase


class PhaseOptions(TrickOptions):
    """Neutral is strength 0, or until and fade 0: nothing is hidden, and nothing more is computed."""

    image: str = argument(..., "the picture to hide", path=True)
    strength: Share = option(1.0, "how much of its phases is taken: 0 none, 1 all")
    until: Share = option(0.3, "share of the schedule by the end of which they are no longer taken in full")
    fade: Share = option(0.2, "share of the schedule over which they then fade out")
    ahead: int = option(0, "steps that the picture is ahead of what is made; more makes it plainer", ge=0, le=1000)
    fit: Fit = option("crop", "how a picture of other proportions fills the size")

    @property
    def neutral(self) -> bool:
        """Whether nothing is hidden."""
        return not self.strength or not (self.until or self.fade)


@dataclass
class Notes:
    """Of a run: the picture's clean latents, and those at each level (b c h w), the noisiest first."""

    clean: Tensor | None = None
    inverted: list[Tensor] = field(default_factory=list)


class Phase(Trick[PhaseOptions]):
    """x' = F^-1( |F x| e^(i phi) ), with phases phi on the way from those of x to those of the picture"""

    name = "phase"

    def views_of(self, image: Image) -> list[Shown]:
        """From afar, where what is hidden is looked for."""
        if self.options.neutral:
            return []
        from diffusion_tricks.plugin import to_images, to_tensor
        from diffusion_tricks_plugins.filters import REFERENCE_SIDE, blur
        from diffusion_tricks_plugins.hybrid_frames import shrunk, way_through

        seen = to_images(blur(SIGMA, TAPS, min(image.size))(to_tensor(image)))[0]
        called, way = Path(self.options.image).stem, way_through(image, seen, shrunk)
        return [Shown("from afar", seen, called, SIGMA / REFERENCE_SIDE, way, said=False)]

    @hookimpl
    def prepare(self, run: Run) -> None:
        """Reads the picture. A second stage goes without: it sees the picture made with it."""
        if self.options.neutral or run.stage > 1:
            return
        from diffusion_tricks.plugin import to_tensor

        picture = fit(flatten(read_picture(self.options.image).srgb), run.size, self.options.fit)
        run.state(self, Notes).clean = run.latents_of(to_tensor(picture)).float()

    @hookimpl
    def prompts(self, run: Run) -> list[str | None]:
        """The unconditional, for the inversion."""
        return [] if self.options.neutral or run.stage > 1 else [None]

    @hookimpl
    def before_step(self, step: Step) -> None:
        """Inverts the picture, before the first step."""
        notes = step.run.state(self, Notes)
        if notes.clean is not None and not notes.inverted:
            notes.inverted = inverted(step, notes.clean)

    @hookimpl
    def after_step(self, step: Step) -> None:
        """Takes over phases of the picture."""
        notes, strength = step.run.state(self, Notes), self.strength_at(step)
        if not notes.inverted or not strength:
            return
        at = min(step.index + 1 + self.options.ahead, len(notes.inverted) - 1)
        step.x = transferred(step.x, notes.inverted[at], strength)

    def strength_at(self, step: Step) -> float:
        """s of a step."""
        options = self.options
        if step.fraction < options.until:
            return options.strength
        w = (step.fraction - options.until) / options.fade if options.fade else 1.0
        return float(options.strength * (1 - min(w, 1.0) ** EXPONENT))


def inverted(step: Step, clean: Tensor) -> list[Tensor]:
    """The latents at every level of a step's run, the last of them `clean`, by DDIM inversion; one row a level."""
    levels, last = step.run.levels, len(step.run.timesteps)
    found = [clean]
    for i in range(last - 1, -1, -1):
        if levels[i] == levels[min(i + 1, last)]:
            found.append(found[-1])
            continue
        answer = answered_at(step, found[-1].to(step.x.dtype), min(i + 1, last - 1))
        x0 = clean if i == last - 1 else answer.clean
        found.append(levels[i].noised(x0, answer.noise))
    return found[::-1]


def transferred(x: Tensor, reference: Tensor, strength: float) -> Tensor:
    """x (b c h w) with its phases taken the share `strength` of the way to those of `reference` (1 c h w).

    A wave that the reference has nothing of has no phase there, and keeps its own.
    """
    import torch

    spectrum = torch.fft.fft2(x.float())
    wanted = torch.fft.fft2(reference.float())
    there = wanted.abs() > LEAST * wanted.abs().amax((2, 3), keepdim=True)
    turn = (wanted * spectrum.conj()).angle() * there  # -pi..pi
    turned = spectrum * torch.polar(torch.ones_like(turn), strength * turn)
    hidden: Tensor = torch.fft.ifft2(turned).real.to(x.dtype)
    return hidden
