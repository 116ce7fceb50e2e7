"""The same prompts in few steps and in many, by DDPM's steps and by a solver's.

DDPM, arXiv:2006.11239, algorithm 2, in strides, arXiv:2102.09672;  DPM-Solver++, arXiv:2211.01095, algorithm 2
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from PIL import Image

from diffusion_tricks import Recipe, Result
from diffusion_tricks.plugin import sharpness, to_tensor
from diffusion_tricks_learn.asked import ddpm_or_own, prompts_for, quoted
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
    scores: list[float]  # empty for a model without prompts

    @property
    def row(self) -> Row:
        """What was measured, of one picture."""
        first, pictures = self.results[0].facts, [to_tensor(result.image) for result in self.results]
        return {
            "scheduler": self.scheduler, "steps": self.steps,
            **({"clip_score": mean(self.scores)} if self.scores else {}),
            "sharpness": mean(map(sharpness, pictures)), "denoiser_calls": first["rows_total"],
            "seconds": first["seconds"],
        }  # fmt: skip


def steps(
    session: Session, steps: Sequence[int] = (5, 10, 100), prompts: Sequence[str] = (), scheduler: Sequence[str] = ()
) -> Iterator[Findings]:
    """Three prompts at each number of steps, by DDPM and by a solver unless schedulers are named.

    A quick look leaves out the solver's longest way.
    """
    model = session.load()
    asked, own = prompts_for(model, prompts), ddpm_or_own(model)
    ways = [(name, n) for name in scheduler or ((own, SOLVER) if own else (None,)) for n in steps]
    if not (session.full or scheduler) and (SOLVER, max(steps)) in ways:
        ways.remove((SOLVER, max(steps)))
    session.clock.expect(sum(n for _, n in ways))
    tried = list[Tried]()
    for name, n in ways:
        results = session.make(Recipe(prompt=asked, steps=n, scheduler=name))
        scores = session.clip_scores([result.image for result in results], asked) if any(asked) else []
        tried.append(Tried(name or "its own", n, results, scores))
        yield found(session, asked, list(tried), len(tried) / len(ways))


def found(session: Session, asked: list[str], tried: list[Tried], done: float) -> Findings:
    """What is known once these ways were tried."""

    def figure() -> Image.Image:
        return grid(
            [[result.image for result in way.results] for way in tried],
            captions=[[f"score {score:.2f}" for score in way.scores] for way in tried if way.scores],
            rows=[f"{way.scheduler}\n{way.steps} steps" for way in tried],
            columns=list(map(quoted, asked)),
            title=f"How many steps: {session.name()}, guidance {session.load().defaults.guidance:g},"
            f" seed {session.seed} and up; CLIP score below each",
        )

    scores = {f"{way.scheduler}, {way.steps}": dict(zip(asked, way.scores, strict=False)) for way in tried}
    rows = [way.row for way in tried]
    return Findings(figure, rows, {"clip_scores": scores}, said(rows), done=done)


def said(rows: list[Row]) -> list[str]:
    """How each scheduler's pictures change with its steps, and whether a solver's fewest look like the other's most."""
    if "clip_score" not in rows[0]:
        return []
    says, names = list[str](), list(dict.fromkeys(row["scheduler"] for row in rows))
    ends = {name: _ends([row for row in rows if row["scheduler"] == name]) for name in names}
    for name, (few, many) in ends.items():
        if few is not many:
            says.append(
                f"{name}: {few['steps']} steps score {few['clip_score']:.2f} at a sharpness of {few['sharpness']:.2g},"
                f" {many['steps']} steps {many['clip_score']:.2f} at {many['sharpness']:.2g}, in"
                f" {many['seconds'] / few['seconds']:.0f} times the time."
            )
    if SOLVER in ends and names[0] != SOLVER:
        says.append(_compared(names[0], ends[names[0]], ends[SOLVER][0]))
    return says


def _compared(name: str, ends: tuple[Row, Row], solver: Row) -> str:
    """A solver's fewest steps against the fewest and the most of another scheduler."""
    few, many = ends
    looks = "look" if solver["clip_score"] > many["clip_score"] - AS_GOOD else "do not yet look"
    sharp = [f"{one['sharpness'] / many['sharpness']:.0%}" for one in (solver, few)]
    return (
        f"With a solver {solver['steps']} steps {looks} like {many['steps']} of {name}: they score"
        f" {solver['clip_score']:.2f} against {many['clip_score']:.2f}, for {solver['denoiser_calls']} calls of the"
        f" denoiser instead of {many['denoiser_calls']}, at {sharp[0]} of the sharpness ({few['steps']} of {name}:"
        f" {sharp[1]}). A solver follows the smooth path of an equation, of which a few points are enough; {name} adds"
        " fresh noise in each step, which few steps take away but roughly."
    )


def _ends(rows: list[Row]) -> tuple[Row, Row]:
    """The rows of the fewest steps and of the most."""
    return min(rows, key=lambda row: row["steps"]), max(rows, key=lambda row: row["steps"])
