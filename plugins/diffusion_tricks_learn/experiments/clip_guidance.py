"""eps = w eps_cond + (1 - w) eps_uncond,   w = softmax(scores / tau)_cond,   score_i = cos(CLIP(x0_i), CLIP(prompt))

The trick `clip-guidance`, which the midterm proposes, beside what it is made of and beside plain guidance,
arXiv:2207.12598.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean
from typing import Any

from PIL.Image import Image

from diffusion_tricks import Recipe, Result, TrickEntry, UsageError
from diffusion_tricks_learn.figures import chart, grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.session import Session

QUICK_STEPS = 15
SCALE, STRAWBERRY = 7.0, "a strawberry"
Found = list[dict[str, Any]]  # weight and scores of every step, of one picture


@dataclass(frozen=True)
class Way:
    """One way to combine both candidates, the pictures that it made, and how CLIP scores them."""

    label: str
    results: list[Result]
    scores: list[float]

    @property
    def steps(self) -> Found:
        """Of the first picture; empty for ways without weights."""
        found: Found = self.results[0].facts.get("clip_guidance", [])
        return found

    @property
    def row(self) -> Row:
        """What was measured; calls and seconds are of one picture."""
        weights = [one["weight"] for result in self.results for one in result.facts.get("clip_guidance", ())]
        facts = self.results[0].facts
        return {
            "way": self.label.replace("\n", ", "), "clip_score": mean(self.scores),
            "mean_weight": mean(weights) if weights else "", "denoiser_calls": facts["rows_total"],
            "seconds": facts["seconds"],
        }  # fmt: skip


def ways(temperature: float | None, scale: float) -> list[tuple[str, TrickEntry]]:
    """What is compared: neither, both plain ways, and both with weights."""
    weighted = {} if temperature is None else {"temperature": temperature}
    return [
        ("unconditional\nw = 0", TrickEntry(trick="guidance", scale=0)),
        ("conditional\nw = 1", TrickEntry(trick="guidance", scale=1)),
        ("weighted\nw by CLIP", TrickEntry(trick="clip-guidance", **weighted)),
        (f"plain guidance\ns = {scale:g}", TrickEntry(trick="guidance", scale=scale)),
        (f"weighted guidance\ns = {scale:g} w", TrickEntry(trick="clip-guidance", scale=scale, **weighted)),
    ]


def clip_guidance(
    session: Session, prompt: str | None = None, temperature: float | None = None, scale: float = SCALE
) -> Iterator[Findings]:
    """One prompt, the same noise each way. temperature: tau; None is CLIP's own. scale: of both guidances.

    Raises UsageError for a model that takes no text, as CLIP can only look for words.
    """
    model, prompt = session.load(), prompt or STRAWBERRY
    if getattr(model.family, "classes", None) is not None:
        raise UsageError(f"expected a model that takes a text, for CLIP to look for, and {model.name!r} takes none")
    count = session.either(1, 3)
    steps = session.either(min(QUICK_STEPS, model.defaults.steps), model.defaults.steps)
    compared = ways(temperature, scale)
    session.clock.expect(steps * len(compared))
    tau = session.scorer.temperature if temperature is None else temperature
    tried = list[Way]()
    for label, trick in compared:
        results = session.make(Recipe(prompt=prompt, count=count, steps=steps, tricks=[trick]))
        scores = session.clip_scores([result.image for result in results], [prompt] * count)
        tried.append(Way(label, results, scores))
        yield found(session, prompt, tau, list(tried), len(tried) / len(compared))


def found(session: Session, prompt: str, tau: float, tried: list[Way], done: float) -> Findings:
    """What is known once these ways were tried."""
    weighted = [way for way in tried if way.steps]
    numbers = {
        "temperature": tau, "clip_scores": {way.row["way"]: way.scores for way in tried},
        "steps": {way.row["way"]: [result.facts["clip_guidance"] for result in way.results] for way in weighted},
    }  # fmt: skip
    steps = tried[0].results[0].facts["steps"]
    title = f'CLIP weighs the candidates: {session.name()}, "{prompt}", {steps} steps, tau = {tau:.3g}'

    def figure() -> Image:
        count = len(tried[0].results)
        tiles = [[way.results[i].image for way in tried] for i in range(count)]
        captions = [[f"score {way.scores[i]:.2f}" for way in tried] for i in range(count)]
        rows = [f"seed {result.seed}" for result in tried[0].results]
        pictures = grid(
            tiles, captions=captions, columns=[way.label for way in tried], rows=rows, title=title, tile=150
        )
        if not weighted:
            return pictures
        return stacked(pictures, chart(lambda axes: _weights(axes, weighted), lambda axes: _scores(axes, weighted),
                                       width=max(1000, pictures.width), height=400))  # fmt: skip

    return Findings(figure, [way.row for way in tried], numbers, said(tried), done=done)


def _weights(axes: Any, weighted: list[Way]) -> None:
    for way in weighted:
        axes.plot([one["weight"] for one in way.steps], label=way.label.replace("\n", ", "))
    axes.axhline(0.5, color="gray", linestyle="--", label="both alike")
    axes.set(xlabel="step", ylabel="weight w of the conditional estimate", ylim=(0, 1.03))
    axes.legend(loc="lower left", frameon=False)


def _scores(axes: Any, weighted: list[Way]) -> None:
    for way, colour in zip(weighted, ("tab:blue", "tab:orange"), strict=False):
        label = way.label.partition("\n")[0]
        axes.plot([one["score_cond"] for one in way.steps], color=colour, label=f"{label}: with the prompt")
        axes.plot([one["score_uncond"] for one in way.steps], color=colour, linestyle=":", label=f"{label}: without")
    axes.set(xlabel="step", ylabel="CLIP score of the clean estimate")
    axes.legend(frameon=False)


def said(tried: list[Way]) -> list[str]:
    """Whether the weights were worth it, and how they went."""
    if len(tried) < 2:
        return []
    best = max(tried, key=lambda way: mean(way.scores))
    says = [f"By CLIP the best is: {best.row['way']} ({mean(best.scores):.2f})."]
    for way in tried:
        if way.steps and way.steps[0]["weight"] > way.steps[-1]["weight"]:
            first, last = way.steps[0]["weight"], way.steps[-1]["weight"]
            says.append(
                f"{way.row['way']}: the weight falls from {first:.2f} to {last:.2f}; both candidates start from the "
                "same x_t, which shows more and more of the prompt itself, so that CLIP finds it in either."
            )
    if best.label.startswith("plain"):
        says.append("A blend of both candidates cannot go beyond the conditional one, as guidance does.")
    by_label = {way.label.partition("\n")[0]: mean(way.scores) for way in tried}
    if by_label.get("weighted guidance", 0) > by_label.get("plain guidance", 1):
        says.append("With its scale turned down where CLIP finds the prompt in both, guidance spoils less.")
    says.append("CLIP judges here what CLIP has chosen: ask another judge before you believe it.")
    return says
