"""Pictures from nothing but noise: x_T ~ N(0, I), then one denoising step after another, without guidance.

x_{t-1} = mean of q(x_{t-1} | x_t, x0_hat(x_t, t, prompt)) + sigma_t z      DDPM, arXiv:2006.11239, algorithm 2
diversity = mean over pairs of 1 - cos(CLIP(picture_i), CLIP(picture_j))
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import mean
from typing import Any

from PIL import Image
from torch import Tensor

from diffusion_tricks.plugin import diversity, to_images
from diffusion_tricks_learn.asked import QUICK_STEPS, prompt_for, quoted
from diffusion_tricks_learn.figures import grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session

SHOWN = (0, 0.25, 0.5)  # shares of the steps, at which the clean estimate is shown


def sample(session: Session, prompt: str | None = None, count: int = 5) -> Iterator[Findings]:
    """`count` pictures of one prompt from pure noise on, and what the model thinks of them on the way."""
    model = session.load()
    asked = prompt_for(model, prompt)
    total = model.defaults.steps
    total = session.either(min(QUICK_STEPS, total), total)
    session.clock.expect(total)
    rows = dict[str, list[Image.Image]]()

    def seen(latents: Tensor) -> list[Image.Image]:
        return to_images(model.decode(latents))

    for i, step in enumerate(session.steps(prompt=asked, count=count, steps=total)):
        if i == 0:
            rows["pure noise"] = seen(step.estimate.x / math.hypot(step.alpha, step.sigma))
        if i in {int(share * total) for share in SHOWN}:
            rows[f"clean estimate at t = {float(step.t):.0f}"] = seen(step.estimate.clean)
        x = step.x
    yield found(session, asked, {**rows, "picture": seen(x)}, total)


def found(session: Session, prompt: str, rows: dict[str, list[Image.Image]], steps: int) -> Findings:
    """The pictures, how well each shows the prompt, and how various they are."""
    pictures = rows["picture"]
    scores = session.clip_scores(pictures, [prompt] * len(pictures)) if prompt else []
    various = diversity(session.scorer.pictures(pictures)) if len(pictures) > 1 else 0.0
    seeds = [session.seed + i for i in range(len(pictures))]
    table: list[Row] = [{"seed": seed, **_scored(scores[i : i + 1])} for i, seed in enumerate(seeds)]
    says = [
        f"{len(pictures)} pictures of one prompt differ by {various:.2f} on average (0 would be one picture only),"
        " though nothing but their noise was different: all that is not said in the prompt is drawn by lot."
    ]
    if scores:
        says.append(
            f"CLIP scores them {min(scores):.2f} to {max(scores):.2f}, {mean(scores):.2f} on average. Nothing yet makes"
            " the model heed the prompt more than its training data did; the next lesson does."
        )
    title = f"Sampling: {session.name()}, {quoted(prompt)}, {steps} steps, no guidance"
    columns = [f"seed {seed}" + (f"\nscore {scores[i]:.2f}" if scores else "") for i, seed in enumerate(seeds)]
    return Findings(
        lambda: grid(list(rows.values()), rows=list(rows), columns=columns, title=title),
        table,
        {"prompt": prompt, "steps": steps, "diversity": various} | _scored(scores),
        says,
    )


def _scored(scores: list[float]) -> dict[str, Any]:
    return {"clip_score": mean(scores)} if scores else {}
