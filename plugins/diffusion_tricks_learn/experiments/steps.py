"""The same prompts in few steps and in many, by DDPM's steps and by a solver's.

DDPM, arXiv:2006.11239, algorithm 2, in strides, arXiv:2102.09672;  DPM-Solver++, arXiv:2211.01095, algorithm 2
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from PIL import Image

from diffusion_tricks import Recipe, Result
from diffusion_tricks_learn.asked import ddpm_or_own, prompts_for
from diffusion_tricks_learn.figures import grid
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session

SOLVER = "dpm++2m"
AS_GOOD = 0.02  # of CLIP's cosine: two seeds of one prompt differ by more


@dataclass(frozen=True)
class Tried:
    """The pictures of all prompts by a scheduler in so many steps, and how well each shows its prompt."""

    scheduler: str
    steps: int
    results: list[Result]
    scores: list[float]

    @property
    def row(self) -> Row:
        """What was measured, of one picture."""
        first = self.results[0].facts
        return {
            "scheduler": self.scheduler, "steps": self.steps, "clip_score": mean(self.scores),
            "denoiser_calls": first["rows_total"], "seconds": first["seconds"],
        }  # fmt: skip


def steps(
    session: Session, steps: Sequence[int] = (5, 10, 100), prompts: Sequence[str] = (), scheduler: Sequence[str] = ()
) -> Iterator[Findings]:
    """Three prompts at each number of steps, by DDPM and by a solver unless schedulers are named.

    A quick look leaves out the solver's longest way.
    """
    model = session.load()
    asked, own = prompts_for(model, prompts, 3), ddpm_or_own(model)
    ways = [(name, n) for name in scheduler or ((own, SOLVER) if own else (None,)) for n in steps]
    if not (session.full or scheduler) and (SOLVER, max(steps)) in ways:
        ways.remove((SOLVER, max(steps)))
    session.clock.expect(sum(n for _, n in ways))
    tried = list[Tried]()
    for name, n in ways:
        results = session.make(Recipe(prompt=asked, steps=n, scheduler=name))
        scores = session.clip_scores([result.image for result in results], asked)
        tried.append(Tried(name or "its own", n, results, scores))
        yield found(session, asked, list(tried), len(tried) / len(ways))


def found(session: Session, asked: list[str], tried: list[Tried], done: float) -> Findings:
    """What is known once these ways were tried."""

    def figure() -> Image.Image:
        return grid(
            [[result.image for result in way.results] for way in tried],
            captions=[[f"score {score:.2f}" for score in way.scores] for way in tried],
            rows=[f"{way.scheduler}\n{way.steps} steps" for way in tried],
            columns=asked,
            title=f"How many steps: {session.name()}, guidance {session.load().defaults.guidance:g},"
            f" seed {session.seed} and up; CLIP score below each",
        )

    scores = {f"{way.scheduler}, {way.steps}": dict(zip(asked, way.scores, strict=True)) for way in tried}
    rows = [way.row for way in tried]
    return Findings(figure, rows, {"clip_scores": scores}, said(rows), done=done)


def said(rows: list[Row]) -> list[str]:
    """How each scheduler's score moves with its steps, and whether a solver's fewest look like the other's most."""
    says, names = list[str](), list(dict.fromkeys(row["scheduler"] for row in rows))
    ends = {name: _ends([row for row in rows if row["scheduler"] == name]) for name in names}
    for name, (few, many) in ends.items():
        if few is not many:
            says.append(
                f"{name}: {few['steps']} steps score {few['clip_score']:.2f}, {many['steps']} steps"
                f" {many['clip_score']:.2f}, at {many['seconds'] / few['seconds']:.0f} times the time."
            )
    if SOLVER in ends and len(names) > 1:
        few, (_, many) = ends[SOLVER][0], ends[names[0]]
        less = many["clip_score"] - few["clip_score"]
        looks = f"look like {many['steps']}" if less < AS_GOOD else f"do not yet look like {many['steps']}"
        says.append(
            f"With a solver {few['steps']} steps {looks} of {names[0]}: they score {few['clip_score']:.2f} against"
            f" {many['clip_score']:.2f}, for {few['denoiser_calls']} calls of the denoiser instead of"
            f" {many['denoiser_calls']}. A solver follows the smooth path of an equation and needs few points of it;"
            " DDPM adds fresh noise in every step, and in long steps there is too much of it left to take away."
        )
    return says


def _ends(rows: list[Row]) -> tuple[Row, Row]:
    """The rows of the fewest steps and of the most."""
    return min(rows, key=lambda row: row["steps"]), max(rows, key=lambda row: row["steps"])
