"""argmin_f E (x - f(y))^2 = E[x | y]: a network that is asked for x and punished by the square answers with the mean.

Of y = sin x on -pi/2..pi/2 there is one x for each y, arcsin y. On -pi..pi there are two, arcsin y and pi - arcsin y
(or -pi - arcsin y), and their mean is pi/2 sign y, which is neither. A denoiser in one step does the same to pictures:
x0 = E[x0 | x_t] is the mean of all that may have been there, arXiv:2206.00364, appendix B.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Recipe
from diffusion_tricks.plugin import sharpness, to_images, to_tensor
from diffusion_tricks_learn.asked import QUICK_STEPS, prompt_for, quoted
from diffusion_tricks_learn.figures import chart, grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.networks import fit, mlp
from diffusion_tricks_learn.session import Session

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANGES = {"-\u03c0/2..\u03c0/2": math.pi / 2, "-\u03c0..\u03c0": math.pi}
BATCH, WIDTH = 256, 64
TRIED = torch.linspace(-0.98, 0.98, 197)  # of y, away from the jump of the slope at its ends
PICTURES = 4
GRAY, FIT, TRUE, MEAN = "#b9bcc4", "#b23a14", "#3b6ea8", "#2a2d34"


@dataclass(frozen=True)
class Inverse:
    """A network trained on x in -half..half: data x and y (n), and its answers f (m) to TRIED."""

    name: str
    half: float
    x: Tensor
    f: Tensor

    @property
    def mean(self) -> Tensor:
        """E[x | y] (m): arcsin y, or pi/2 sign y where there are two branches."""
        return TRIED.arcsin() if self.half < 2 else math.pi / 2 * TRIED.sign()

    @property
    def row(self) -> Row:
        """Errors, root mean square: to arcsin and to the mean of the branches, in radians, and of sin f(y) to y."""
        return {
            "x_range": self.name, "rms_to_arcsin_rad": rms(self.f - TRIED.arcsin()),
            "rms_to_mean_of_branches_rad": rms(self.f - self.mean), "rms_of_sin_f_minus_y": rms(self.f.sin() - TRIED),
        }  # fmt: skip

    def draw(self, axes: Axes) -> None:
        """Data, fit, arcsin, and the mean of the branches where that is another."""
        axes.scatter(self.x.sin(), self.x, s=5, color=GRAY, linewidths=0, label="data")
        axes.plot(TRIED, TRIED.arcsin(), color=TRUE, linestyle="--", label="arcsin y")
        if self.half > 2:
            axes.plot(TRIED, self.mean, color=MEAN, linestyle=":", label="mean of the branches")
        axes.plot(TRIED, self.f, color=FIT, label="network")
        axes.set(title=f"y = sin x for x in {self.name}", xlabel="y", ylabel="x")
        axes.legend(fontsize=8, loc="upper left", frameon=False)


def invert(session: Session) -> Iterator[Findings]:
    """A network inverts the sine where it can be inverted, and averages where it cannot; so does a denoiser."""
    updates, model = session.either(1000, 5000), session.load()
    steps = session.either(QUICK_STEPS, model.defaults.steps)
    session.clock.expect(2 * updates + steps + 1)
    found = list[Inverse]()
    for name, half in RANGES.items():
        found.append(learned(session, name, half, updates))
        yield Findings(partial(charts, list(found)), [one.row for one in found], done=len(found) / 3)
    prompt = prompt_for(model, None)
    once, often = one_step_and_many(session, prompt, steps)
    sharp = {"sharpness_one_step": sharpness(once), "sharpness_many_steps": sharpness(often)}

    def figure() -> Image:
        title = f"What {session.name()} makes of pure noise: {quoted(prompt)}"
        guided = f"guidance {model.defaults.guidance:g}"
        rows = [
            f"one step: E[x0 | x_T]\nno guidance\nsharpness {sharpness(once):.2g}",
            f"{steps} steps\n{guided}\nsharpness {sharpness(often):.2g}",
        ]
        seeds = [f"seed {session.seed + i}" for i in range(PICTURES)]
        return stacked(charts(found), grid([to_images(once), to_images(often)], rows=rows, columns=seeds, title=title))

    yield Findings(figure, [one.row for one in found], sharp, said(found, sharp))


def learned(session: Session, name: str, half: float, updates: int) -> Inverse:
    """A network that was shown (sin x, x) for even x in -half..half."""
    generator = torch.Generator().manual_seed(session.seed)
    network = mlp(1, WIDTH, WIDTH, WIDTH, 1, seed=session.seed)

    def draw() -> Tensor:
        return half * (2 * torch.rand(BATCH, 1, generator=generator) - 1)

    def loss() -> Tensor:
        x = draw()
        error: Tensor = network(x.sin()) - x
        return error.square().mean()

    fit(network, loss, updates, session, rate=1e-2)
    with torch.no_grad():
        return Inverse(name, half, draw()[:, 0], network(TRIED[:, None])[:, 0])


def one_step_and_many(session: Session, prompt: str, steps: int) -> tuple[Tensor, Tensor]:
    """The clean estimate of the first step from pure noise, and pictures of all steps from it: pixels (n 3 h w)."""
    model = session.load()
    first = next(session.steps(prompt=prompt, count=PICTURES, steps=steps))
    often = session.pictures(Recipe(prompt=prompt, count=PICTURES, steps=steps))
    return model.decode(first.estimate.clean).clamp(-1, 1).cpu(), torch.cat([to_tensor(image) for image in often])


def rms(x: Tensor) -> float:
    """Root mean square."""
    return float(x.square().mean().sqrt())


def charts(found: Sequence[Inverse]) -> Image:
    """A chart for each network, and one of their errors."""

    def errors(axes: Axes) -> None:
        for one, colour in zip(found, (TRUE, FIT), strict=False):
            axes.semilogy(TRIED, (one.f - TRIED.arcsin()).abs().clamp(min=1e-5), color=colour, label=f"x in {one.name}")
        axes.set(title="error: |network - arcsin y|, radians", xlabel="y")
        axes.legend(fontsize=8, frameon=False)

    return chart(*(one.draw for one in found), errors, width=1200, height=400)


def said(found: Sequence[Inverse], sharp: Row) -> list[str]:
    """What the numbers say."""
    one, two = (inverse.row for inverse in found)
    once, often = sharp["sharpness_one_step"], sharp["sharpness_many_steps"]
    averages = two["rms_to_mean_of_branches_rad"] < two["rms_to_arcsin_rad"]
    return [
        f"Where there is one x for each y, the network is {one['rms_to_arcsin_rad']:.3f} rad from arcsin.",
        f"Where there are two, it is {two['rms_to_arcsin_rad']:.2f} rad from arcsin and"
        f" {two['rms_to_mean_of_branches_rad']:.2f} from the mean of both: it"
        f" {'averages' if averages else 'takes one'}, and sin f(y) misses y by {two['rms_of_sin_f_minus_y']:.2f}.",
        f"A denoiser is trained by the same square: its one step from noise has sharpness {once:.2g},"
        f" {'less' if once < often else 'not less'} than the {often:.2g} of many, which each decide a little.",
    ]
