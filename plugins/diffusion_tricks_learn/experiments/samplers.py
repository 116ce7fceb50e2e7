"""The same model by several samplers: what they cost, and how near they come to what the model learnt.

DDPM, arXiv:2006.11239, algorithm 2;  DDIM, arXiv:2010.02502, equation 12;  DPM-Solver++ 2M, arXiv:2211.01095
d^2 = |mu_x - mu_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^1/2)      Frechet distance, arXiv:1706.08500, equation 6
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Recipe, Result
from diffusion_tricks.plugin import frechet_distance
from diffusion_tricks_learn.figures import chart, grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.judges import DIGITS, Judge, judge_for, names_for, pixels, right
from diffusion_tricks_learn.session import Session

SAMPLERS = (("ddpm", 100), ("ddim", 20), ("ddim", 50), ("dpm++2m", 20))
OTHER_SEEDS = 1_000_000  # from the session's on: of pictures that stand for the data


@dataclass(frozen=True)
class Tried:
    """What one sampler made."""

    scheduler: str
    steps: int
    results: list[Result]
    right: float
    distance: float

    @property
    def row(self) -> Row:
        """What was measured; calls and seconds are of one picture."""
        facts = self.results[0].facts
        return {
            "sampler": self.scheduler, "steps": self.steps, "denoiser_calls": facts["rows_total"],
            "seconds": facts["seconds"], "share_right": self.right, "frechet_distance": self.distance,
        }  # fmt: skip

    @property
    def label(self) -> str:
        """For the figure."""
        row = self.row
        return (f"{self.scheduler}, {self.steps} steps\n{row['denoiser_calls']} calls, {row['seconds']:.2f} s\n"
                f"right {self.right:.0%}\nFrechet {self.distance:.3g}")  # fmt: skip


def samplers(
    session: Session, prompts: Sequence[str] = (), count: int | None = None, guidance: float = 1.0
) -> Iterator[Findings]:
    """Each sampler draws `count` pictures of every class, from the same noise.

    guidance: 1 is none; large ones drive large steps too far, so that they say more of guidance than of samplers.
    """
    model = session.load("digits")
    names = names_for(model, prompts)
    judge = judge_for(session, names)
    asked = [name for _ in range(count or session.either(2, 10)) for name in names]
    session.clock.expect(sum(steps for _, steps in SAMPLERS) * -(-len(asked) // 8))
    target, of = features_of_data(session, judge, asked, guidance)
    tried = list[Tried]()
    for scheduler, steps in SAMPLERS:
        results = session.make(_recipe(asked, scheduler, steps, guidance), "digits")
        seen = pixels([result.image for result in results])
        distance = frechet_distance(judge.features(seen), target)
        tried.append(Tried(scheduler, steps, results, float(right(judge, seen, asked).float().mean()), distance))
        yield found(session, judge, names, tried, f"guidance {guidance:g}; Frechet distance to {of}")


def features_of_data(session: Session, judge: Judge, asked: list[str], guidance: float) -> tuple[Tensor, str]:
    """What the judge sees in pictures that stand for the data (n d), and whose they are: digits, as many of each.

    Of other models the data is not at hand: the slowest sampler's pictures from other noise stand for it.
    """
    if set(judge.names) == set(DIGITS):
        from diffusion_tricks.training import open_source

        source = open_source("digits", size=28, channels=1, held_out=True)
        places = range(max(10 * len(asked), 200))
        return judge.features(source.draw(places, np.random.default_rng(session.seed)).pictures), "held-out digits"
    scheduler, steps = SAMPLERS[0]
    recipe = _recipe(asked, scheduler, steps, guidance).model_copy(update={"seed": session.seed + OTHER_SEEDS})
    return judge.features(pixels(session.pictures(recipe, "digits"))), f"pictures by {scheduler} from other noise"


def _recipe(asked: list[str], scheduler: str, steps: int, guidance: float) -> Recipe:
    return Recipe(prompt=asked, count=len(asked), scheduler=scheduler, steps=steps, guidance=guidance)


def found(session: Session, judge: Judge, names: list[str], tried: list[Tried], how: str) -> Findings:
    """What is known once these samplers were tried."""
    table, tried = [one.row for one in tried], list(tried)
    title = f"Samplers: {session.name('digits')}, seed {session.seed}, {how}"

    def figure() -> Image:
        tiles = [[result.image for result in one.results[: len(names)]] for one in tried]
        pictures = grid(tiles, columns=names, rows=[one.label for one in tried], title=title)
        return stacked(pictures, chart(lambda axes: _costs(axes, tried), width=max(900, pictures.width), height=380))

    numbers = {"pictures_each": len(tried[0].results), "how": how, "judge": judge.label}
    return Findings(figure, table, numbers, said(tried), done=len(tried) / len(SAMPLERS))


def _costs(axes: Any, tried: list[Tried]) -> None:
    for one in tried:
        axes.plot(
            one.row["denoiser_calls"], one.distance, "o", markersize=9, label=f"{one.scheduler}, {one.steps} steps"
        )
    axes.set(xlabel="calls of the denoiser for a picture", ylabel="Frechet distance (less is better)")
    axes.margins(0.1)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def said(tried: list[Tried]) -> list[str]:
    """What speed costs."""
    near, fast = min(tried, key=lambda one: one.distance), min(tried, key=lambda one: one.row["denoiser_calls"])
    slow = tried[0]
    count = len(slow.results)
    says = [
        f"Nearest comes {near.scheduler} in {near.steps} steps (Frechet distance {near.distance:.2f}); the cheapest, "
        f"{fast.scheduler} in {fast.steps}, has {fast.distance:.2f}, for {fast.row['denoiser_calls']} calls of the "
        f"denoiser instead of {slow.row['denoiser_calls']}."
    ]
    if count < 200:
        says.append(f"A Frechet distance of {count} pictures is far too large by itself, and noisy: it orders only "
                    "what differs much. The papers take 50,000.")  # fmt: skip
    return says
