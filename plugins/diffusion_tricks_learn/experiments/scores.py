"""score = cos( CLIP(picture), CLIP(prompt) )        CLIP, arXiv:2103.00020; CLIPScore, arXiv:2104.08718, equation 1

Of a model of digits: the probability that the digit classifier gives to the digit that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, pstdev
from typing import Any

import torch
from PIL.Image import Image

from diffusion_tricks import Recipe
from diffusion_tricks_learn.figures import chart, grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.judges import Judge, indices, judge_for, names_for, pixels
from diffusion_tricks_learn.session import Session

QUICK_STEPS = 10
SHOWN = 10  # classes whose pictures are shown


@dataclass(frozen=True)
class Scored:
    """The pictures of a class, their scores, whether each is read as it, and their seeds."""

    name: str
    pictures: list[Image]
    scores: list[float]
    right: float
    seeds: list[int]

    @property
    def mean(self) -> float:
        """Over the pictures."""
        return mean(self.scores)

    def extreme(self, best: bool) -> int:
        """The place of the best picture, or of the worst."""
        return (max if best else min)(range(len(self.scores)), key=lambda i: self.scores[i])

    def row(self, unit: str) -> Row:
        """What was measured."""
        best, worst = self.extreme(True), self.extreme(False)
        return {
            "class": self.name, f"{unit}_mean": self.mean, f"{unit}_sd": pstdev(self.scores),
            f"{unit}_best": self.scores[best], f"{unit}_worst": self.scores[worst], "seed_best": self.seeds[best],
            "seed_worst": self.seeds[worst], "share_right": self.right,
        }  # fmt: skip


def scores(session: Session, prompts: Sequence[str] = (), count: int | None = None) -> Iterator[Findings]:
    """`count` pictures of each class, and how well each shows it."""
    model = session.load()
    names = names_for(model, prompts)
    judge = judge_for(session, names)
    count = count or session.either(2, 8)
    steps = session.either(min(QUICK_STEPS, model.defaults.steps), model.defaults.steps)
    session.clock.expect(steps * len(names))
    tried = list[Scored]()
    for name in names:
        results = session.make(Recipe(prompt=name, count=count, steps=steps))
        seen = judge.scores(pixels([result.image for result in results]))  # (b k)
        own = indices(judge, [name] * count)
        right = float((seen.argmax(1) == own).float().mean())
        images, seeds = [result.image for result in results], [result.recipe.seeds[0] for result in results]
        tried.append(Scored(name, images, seen[torch.arange(count), own].tolist(), right, seeds))
        yield found(session, judge, sorted(tried, key=lambda one: -one.mean), len(tried) / len(names))


def found(session: Session, judge: Judge, tried: list[Scored], done: float) -> Findings:
    """What is known of these classes, the best first."""
    best, worst = tried[0], tried[-1]
    title = f"{session.name()}, judged by {judge.label}, {len(best.pictures)} pictures each, seeds from {session.seed}"
    numbers = {
        "best_class": best.name, "worst_class": worst.name, f"{judge.unit}_mean": mean(one.mean for one in tried),
        "share_right": mean(one.right for one in tried), "judge": judge.label,
    }  # fmt: skip
    says = [
        f"{judge.label[:1].upper()}{judge.label[1:]} finds {best.name!r} best ({best.mean:.2f} on average) and "
        f"{worst.name!r} worst ({worst.mean:.2f}); {numbers['share_right']:.0%} of all pictures are read as "
        "what was asked."
    ]
    if judge.unit == "clip_score":
        says.append(
            "A cosine is no mark: what is high differs from text to text, so compare pictures of one text first."
        )

    def figure() -> Image:
        pictures = _pictures(tried, title)
        bars = chart(
            lambda axes: _bars(axes, tried, judge), width=max(900, pictures.width), height=120 + 34 * len(tried)
        )
        return stacked(bars, pictures)

    return Findings(figure, [one.row(judge.unit) for one in tried], numbers, says, done=done)


def _bars(axes: Any, tried: list[Scored], judge: Judge) -> None:
    labels = [f"{one.name} (right {one.right:.0%})" for one in tried]
    axes.barh(labels, [one.mean for one in tried], xerr=[pstdev(one.scores) for one in tried],
              color="tab:blue", alpha=0.7, capsize=3)  # fmt: skip
    for place, one in enumerate(tried):
        axes.plot(one.scores, [place] * len(one.scores), "k.", markersize=4)
    axes.set(xlabel=f"{judge.unit.replace('_', ' ')}: mean, sd, and each picture")
    axes.invert_yaxis()


def _pictures(tried: list[Scored], title: str) -> Image:
    half = SHOWN // 2
    shown = tried if len(tried) <= SHOWN else [*tried[:half], *tried[-half:]]
    rows = [[one.extreme(best) for one in shown] for best in (True, False)]
    tiles = [[one.pictures[i] for one, i in zip(shown, places, strict=True)] for places in rows]
    captions = [
        [f"{one.scores[i]:.2f}, seed {one.seeds[i]}" for one, i in zip(shown, row, strict=True)] for row in rows
    ]
    return grid(
        tiles, captions=captions, columns=[one.name for one in shown], rows=["its best", "its worst"], title=title
    )
