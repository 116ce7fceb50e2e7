"""x0 = sum_i w_i x_i,  w = softmax_i( -|x - alpha x_i|^2 / (2 sigma^2) )     EDM, arXiv:2206.00364, appendix B.3

The best denoiser there can be of a data set of points x_i. They are pictures of one pixel with two channels here, so
that the toolkit's own loop samples them: by DDPM (arXiv:2006.11239), DDIM (arXiv:2010.02502) and a flow
(arXiv:2210.02747). Beside it stands a network that learned from the same points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Model, sample
from diffusion_tricks.testing import denoiser_model, exact_model
from diffusion_tricks_learn.figures import chart
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.plane import PointDenoiser, points
from diffusion_tricks_learn.session import Session

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAMPLERS = {
    "DDPM": DDPMScheduler(clip_sample=False),
    "DDIM": DDIMScheduler(clip_sample=False),
    "flow": FlowMatchEulerDiscreteScheduler(),
}
TITLES = {"moons": "two moons", "roll": "a swiss roll"}
DRAWN = 600  # pieces of ways, of all of them together
GRAY, WAY, END = "#b9bcc4", "#3b6ea8", "#b23a14"


@dataclass(frozen=True)
class Ways:
    """What a sampler made of points of noise with a denoiser: states (steps + 1, n, 2); known: the data (m 2)."""

    denoiser: str
    sampler: str
    states: Tensor
    known: Tensor

    @property
    def distance(self) -> float:
        """From the ends to the nearest point of the data, on average."""
        return nearest(self.states[-1], self.known)

    @property
    def detour(self) -> float:
        """The length of a way over that of the straight line between its ends: the median."""
        walked = self.states.diff(dim=0).norm(dim=2).sum(0)  # (n)
        return float((walked / (self.states[-1] - self.states[0]).norm(dim=1)).median())

    @property
    def row(self) -> Row:
        """As a line of the table."""
        return {
            "denoiser": self.denoiser, "sampler": self.sampler, "steps": len(self.states) - 1,
            "distance_to_data": self.distance, "way_over_straight_line": self.detour,
        }  # fmt: skip

    def draw(self, axes: Axes) -> None:
        """The data, some of the ways, and all of the ends."""
        scatter(axes, self.known, GRAY)
        drawn = self.states[:, : max(4, DRAWN // len(self.states))]
        axes.plot(*drawn.unbind(2), color=WAY, linewidth=0.7, alpha=0.7)
        scatter(axes, drawn[0], WAY)
        scatter(axes, self.states[-1], END)
        axes.set_title(f"{self.denoiser}, {self.sampler}, {len(self.states) - 1} steps", fontsize=10)
        axes.set_xlabel(f"{self.distance:.3f} from the data", fontsize=9)


def toy(session: Session, data: str = "moons") -> Iterator[Findings]:
    """Trajectories in the plane of three samplers, with the exact denoiser and with a trained one."""
    session.makes_its_own("a model of points")
    generator = torch.Generator().manual_seed(session.seed)
    known = points(data, session.either(500, 1000), generator)
    fresh = nearest(points(data, 500, generator), known)
    noise = torch.randn(session.either(150, 300), 2, 1, 1, generator=generator)
    steps, updates = session.either((100, 20, 20), (1000, 50, 50)), session.either(2500, 8000)
    session.clock.expect(2 * sum(steps) + updates)
    network, losses, ways = PointDenoiser(session.seed), list[float](), list[Ways]()
    for denoiser in ("exact", "trained"):
        if denoiser == "trained":
            losses = network.learn(known, updates, session)
        for (sampler, scheduler), n in zip(SAMPLERS.items(), steps, strict=True):
            exact = denoiser == "exact"
            model = (
                exact_model(known[..., None, None], scheduler)
                if exact
                else denoiser_model(network, (2, 1, 1), scheduler)
            )
            ways.append(Ways(denoiser, sampler, states(session, model, noise, n), known))
            yield Findings(
                partial(figure, f"{TITLES[data]}, seed {session.seed}", known, tuple(ways), losses),
                [one.row for one in ways], {"distance_of_fresh_points": fresh}, said(ways, fresh), done=len(ways) / 6,
            )  # fmt: skip


def states(session: Session, model: Model, noise: Tensor, steps: int) -> Tensor:
    """Where points of noise (n 2 1 1) are before the first step and after each: (steps + 1, n, 2)."""
    seen = noise.new_empty(steps + 1, *noise.shape[:2])
    seen[0] = noise.flatten(1)
    for i, step in enumerate(sample(model, latents=noise, steps=steps, seed=session.seed), start=1):
        session.clock.tick()
        seen[i] = step.x.flatten(1)
    return seen


def nearest(found: Tensor, known: Tensor) -> float:
    """How far points (n 2) are from the nearest of the known (m 2), on average."""
    return float(torch.cdist(found, known).min(1).values.mean())


def said(ways: Sequence[Ways], fresh: float) -> list[str]:
    """What the numbers say."""
    exact, trained = (max((w.distance for w in ways if w.denoiser == d), default=0.0) for d in ("exact", "trained"))
    straight = sorted((w for w in ways if w.denoiser == "exact"), key=lambda w: w.detour)
    learnt = "repeats its data: it can make nothing new" if exact < fresh / 3 else "ends beside its data"
    told = [
        f"The exact denoiser {learnt} ({exact:.3f} from the nearest point; fresh points of the shape are {fresh:.3f}).",
        "Straightest are the ways of " + ", then ".join(f"{w.sampler} ({w.detour:.2f})" for w in straight) + ".",
    ]
    if trained:
        like = (
            "about as far as fresh points are: it makes new ones"
            if trained < 3 * fresh
            else "farther than fresh points"
        )
        told.append(f"What the trained network makes is {trained:.3f} from the data, {like}.")
    return told


def figure(title: str, known: Tensor, ways: Sequence[Ways], losses: Sequence[float]) -> Image:
    """The data and the ways with the exact denoiser in a row, the training's loss and those with the network below."""

    def shown(axes: Axes) -> None:
        scatter(axes, known, GRAY)
        axes.set_title(f"data: {title}", fontsize=10)
        axes.set_xlabel("gray: data, blue: ways from noise, red: ends", fontsize=9)

    def loss(axes: Axes) -> None:
        smooth = torch.tensor(losses).unfold(0, 50, 10).mean(1)
        axes.plot(torch.arange(len(smooth)) * 10 + 50, smooth, color=WAY)
        axes.set_title("training: loss", fontsize=10)
        axes.set_xlabel("update", fontsize=9)

    draws = [shown, *(way.draw for way in ways)]
    if losses:
        draws.insert(4, loss)
    return chart(*draws, columns=4, width=1240, height=320 * -(-len(draws) // 4))


def scatter(axes: Axes, xy: Tensor, colour: str) -> None:
    """Points (n 2) in a square of the plane that holds nearly all noise."""
    x, y = xy.unbind(1)
    axes.scatter(x, y, s=3, color=colour, zorder=3 if colour == END else 1, linewidths=0)
    axes.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
