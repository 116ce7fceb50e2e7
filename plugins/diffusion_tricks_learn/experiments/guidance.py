"""eps = eps_uncond + gamma (eps_cond - eps_uncond)      Classifier-Free Diffusion Guidance, arXiv:2207.12598

gamma = 1 is no guidance;  diversity = mean over pairs of 1 - cos(CLIP(picture_i), CLIP(picture_j))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from PIL import Image

from diffusion_tricks import Recipe, Result
from diffusion_tricks.plugin import diversity
from diffusion_tricks_learn.asked import QUICK_STEPS, heeded, prompt_for, quoted
from diffusion_tricks_learn.figures import grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session


@dataclass(frozen=True)
class Guided:
    """Pictures at a scale, how well each shows the prompt, and how various they are."""

    scale: float
    results: list[Result]
    scores: list[float]
    diversity: float

    @property
    def clipped(self) -> float:
        """The share of the pixels' values that stand at an end of their range, as what lies beyond was cut off."""
        values = np.stack([np.asarray(result.image) for result in self.results])
        return float(np.mean((values == 0) | (values == 255)))

    @property
    def row(self) -> Row:
        """What was measured."""
        facts = self.results[0].facts
        return {
            "guidance": self.scale, "clip_score": mean(self.scores), "diversity": self.diversity,
            "clipped_share": self.clipped, "denoiser_calls": facts["rows_total"], "seconds": facts["seconds"],
        }  # fmt: skip


def guidance(
    session: Session, prompt: str | None = None, scales: Sequence[float] = (1, 7), count: int = 5
) -> Iterator[Findings]:
    """The same `count` seeds at each scale of guidance: score and diversity.

    Raises UsageError for a model that takes no prompt.
    """
    model = session.load()
    heeded(model, "guidance")
    asked = prompt_for(model, prompt)
    steps = session.either(min(QUICK_STEPS, model.defaults.steps), model.defaults.steps)
    session.clock.expect(steps * len(scales))
    tried = list[Guided]()
    for scale in scales:
        results = session.make(Recipe(prompt=asked, count=count, steps=steps, guidance=scale))
        pictures = [result.image for result in results]
        scores, features = session.clip_scores(pictures, [asked] * count), session.scorer.pictures(pictures)
        tried.append(Guided(scale, results, scores, diversity(features) if count > 1 else 0.0))
        yield found(session, asked, list(tried), len(tried) / len(scales))


def found(session: Session, prompt: str, tried: list[Guided], done: float) -> Findings:
    """What is known once these scales were tried."""

    def figure() -> Image.Image:
        return grid(
            [[result.image for result in one.results] for one in tried],
            captions=[[f"score {score:.2f}" for score in one.scores] for one in tried],
            rows=[
                f"gamma = {one.scale:g}\nscore {mean(one.scores):.2f}\ndiversity {one.diversity:.2f}" for one in tried
            ],
            columns=[f"seed {result.seed}" for result in tried[0].results],
            title=f"Guidance: {session.name()}, {quoted(prompt)}, {tried[0].results[0].facts['steps']} steps",
        )

    scores = {f"{one.scale:g}": one.scores for one in tried}
    return Findings(
        figure,
        [one.row for one in tried],
        {"clip_scores": scores},
        said(tried, session.load().defaults.guidance),
        done=done,
    )


def said(tried: list[Guided], own: float) -> list[str]:
    """What the largest scale does to score and diversity, against the smallest. own: the model's own scale."""
    low, high = min(tried, key=lambda one: one.scale), max(tried, key=lambda one: one.scale)
    if low is high:
        return []
    better, narrower = mean(high.scores) > mean(low.scores), high.diversity < low.diversity
    says = [
        f"From gamma = {low.scale:g} to {high.scale:g} the score {'rises' if better else 'falls'} from"
        f" {mean(low.scores):.2f} to {mean(high.scores):.2f}, and the diversity {'falls' if narrower else 'rises'} from"
        f" {low.diversity:.2f} to {high.diversity:.2f}, for {high.row['denoiser_calls']} calls of the denoiser instead"
        f" of {low.row['denoiser_calls']}."
    ]
    if better and narrower:
        says.append("Guidance buys likeness to the prompt with variety: it draws all pictures to what is typical.")
    if high.clipped > low.clipped:
        says.append(
            f"The colours are driven apart: {high.clipped:.0%} of the pixels' values stand at an end of their range,"
            f" {low.clipped:.0%} at gamma = {low.scale:g}."
        )
    if not better:
        says.append(f"By CLIP so strong a guidance is too much here; the model's own scale is {own:g}.")
    return says
