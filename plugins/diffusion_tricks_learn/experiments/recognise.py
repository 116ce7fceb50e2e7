"""When is it recognised?   share(s) = 1/n sum_i [ argmax_k judge(picture_i after a share s of the steps) = class_i ]

Asked of the noisy picture x_t / sqrt(alpha^2 + sigma^2), and of the clean estimate x0_hat, DDPM, arXiv:2006.11239,
equation 15. A picture is recognised from the first step on from which it is never again taken for something else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from diffusion_tricks import Step, TrickEntry
from diffusion_tricks.plugin import to_images
from diffusion_tricks_learn.figures import chart, grid, stacked
from diffusion_tricks_learn.findings import Findings, Row
from diffusion_tricks_learn.judges import Digits, Judge, indices, judge_for, names_for
from diffusion_tricks_learn.session import Session

KINDS = {"noisy": "noisy picture", "clean": "clean estimate"}
MIDTERM = 0.7  # of the steps, as the midterm found
TILE = 128  # pixels
SHOWN = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # shares of the steps at which one picture is shown
QUICK_STEPS = 25


@dataclass
class Seen:
    """After each step: the class as which each picture of one kind is read (b), and the first picture of each class."""

    reads: list[Tensor] = field(default_factory=list)
    tiles: list[list[Image]] = field(default_factory=list)


def recognise(session: Session, prompts: Sequence[str] = (), count: int | None = None) -> Iterator[Findings]:
    """`count` pictures of each class, judged after every step, noisy and as the clean estimate."""
    model = session.load("digits")
    names = names_for(model, prompts)
    judge = judge_for(session, names)
    asked = [name for name in names for _ in range(count or session.either(2, 10))]
    steps = session.either(min(QUICK_STEPS, model.defaults.steps), model.defaults.steps)
    guidance = TrickEntry(trick="guidance", scale=model.defaults.guidance).build()
    session.clock.expect(steps)
    seen = {kind: Seen() for kind in KINDS}
    for step in session.steps("digits", prompt=asked, count=len(asked), steps=steps, tricks=[guidance]):
        for kind, latents in latents_of(step).items():
            pictures = model.decode(latents.to(model.dtype)).float()
            seen[kind].reads.append(judge.scores(pictures).argmax(1))
            seen[kind].tiles.append(thumbnails(pictures[[asked.index(name) for name in names]]))
    yield found(session, judge, names, asked, seen)


def latents_of(step: Step) -> dict[str, Tensor]:
    """Both kinds (b c h w) after a step; the noisy ones at variance 1, whatever the scheduler makes of them."""
    level = step.next_level
    return {"noisy": step.x / math.hypot(level.alpha, level.sigma), "clean": step.estimate.clean}


def thumbnails(pictures: Tensor) -> list[Image]:
    """Pictures (b c h w) no larger than a figure shows them."""
    images = to_images(pictures)
    for image in images:
        image.thumbnail((TILE, TILE))
    return images


def recognised_at(hits: Tensor) -> Tensor:
    """The share of the steps, 1/n..1, after which each picture stays recognised (b); NaN for never. hits: (n b)."""
    n = len(hits)
    kept = hits.int().flip(0).cumprod(0).sum(0)  # steps, from the end back, in which it was (b)
    return torch.where(kept > 0, (n - kept + 1) / n, math.nan)


def found(session: Session, judge: Judge, names: list[str], asked: list[str], seen: dict[str, Seen]) -> Findings:
    """The curve, and mean and spread for each class."""
    hits = {kind: torch.stack(one.reads) == indices(judge, asked) for kind, one in seen.items()}  # (n b)
    at = {kind: recognised_at(one) for kind, one in hits.items()}  # (b)
    own = {name: torch.tensor([one == name for one in asked]) for name in names}
    table = [_row(name, {kind: one[own[name]] for kind, one in at.items()}) for name in names]
    numbers: dict[str, Any] = {
        "share_of_steps": [(i + 1) / len(hits["clean"]) for i in range(len(hits["clean"]))],
        **{f"{kind}_share_right": one.float().mean(1).tolist() for kind, one in hits.items()},
        **{f"{kind}_mean_share": mean(one) for kind, one in at.items()},
        **{f"{kind}_sd_share": spread(one) for kind, one in at.items()},
        "judge": judge.label, "pictures": len(asked),
    }  # fmt: skip
    how = f"guidance {session.load('digits').defaults.guidance:g}, seed {session.seed}"
    title = f"When is it recognised? {session.name('digits')}, {how}, judged by {judge.label}"
    per_class = {kind: torch.stack([one[:, own[name]].float().mean(1) for name in names]) for kind, one in hits.items()}

    def figure() -> Image:
        strip = _strip(seen, judge, typical(at["noisy"][[asked.index(name) for name in names]]), names, title)
        width = max(1000, strip.width)
        return stacked(
            chart(lambda axes: _curve(axes, per_class), lambda axes: _classes(axes, table), width=width), strip
        )

    return Findings(figure, table, numbers, said(numbers))


def _row(name: str, at: dict[str, Tensor]) -> Row:
    row: Row = {"class": name}
    for kind, one in at.items():
        row |= {f"{kind}_mean_share": mean(one), f"{kind}_sd_share": spread(one)}
    return row | {"share_never": float(at["clean"].isnan().float().mean())}


def mean(at: Tensor) -> float:
    """Of the shares that are known; NaN where none is."""
    return float(at.nanmean())


def spread(at: Tensor) -> float:
    """The standard deviation of the shares that are known; NaN where none is."""
    known = at[~at.isnan()]
    return float(known.std(correction=0)) if len(known) else math.nan


def said(numbers: dict[str, Any]) -> list[str]:
    """Where both curves stand, against the midterm's."""
    noisy, clean = numbers["noisy_mean_share"], numbers["clean_mean_share"]
    sd = {kind: numbers[f"{kind}_sd_share"] for kind in KINDS}
    says = [
        f"The noisy picture is recognised after {noisy:.0%} of the steps on average (sd {sd['noisy']:.0%}), the clean"
        f" estimate after {clean:.0%} (sd {sd['clean']:.0%}); the midterm found about {MIDTERM:.0%}."
    ]
    if noisy < MIDTERM and numbers.get("judge") == Digits.label:
        says.append("This judge has learnt from noisy digits too, and sees through noise that an eye does not.")
    if clean < noisy:
        says.append(
            "What the picture will be is settled long before it can be seen: the noise hides what the model knows."
        )
    return says


def _curve(axes: Any, per_class: dict[str, Tensor]) -> None:
    for (kind, label), colour in zip(KINDS.items(), ("tab:blue", "tab:orange"), strict=True):
        curves = per_class[kind]  # (classes n)
        shares = [100 * (i + 1) / curves.shape[1] for i in range(curves.shape[1])]
        middle, sd = 100 * curves.mean(0), 100 * curves.std(0, correction=0)
        axes.plot(shares, middle, color=colour, label=label)
        low, high = (middle - sd).clamp(min=0), (middle + sd).clamp(max=100)
        axes.fill_between(shares, low, high, color=colour, alpha=0.15)
    axes.axvline(100 * MIDTERM, color="gray", linestyle="--", label="midterm: about 70 %")
    axes.set(xlabel="steps done, %", ylabel="recognised, % (band: sd over classes)", ylim=(0, 103), xlim=(0, 100))
    axes.legend(loc="best", edgecolor="none", framealpha=0.9)


def _classes(axes: Any, table: list[Row]) -> None:
    for i, (kind, colour) in enumerate(zip(KINDS, ("tab:blue", "tab:orange"), strict=True)):
        places = [place + 0.3 * i for place in range(len(table))]
        means = [100 * row[f"{kind}_mean_share"] for row in table]
        axes.errorbar(means, places, xerr=[100 * row[f"{kind}_sd_share"] for row in table], fmt="o", color=colour,
                      capsize=3, label=KINDS[kind])  # fmt: skip
    axes.set_yticks([place + 0.15 for place in range(len(table))], [row["class"] for row in table])
    axes.axvline(100 * MIDTERM, color="gray", linestyle="--")
    axes.set(xlabel="recognised after % of the steps, mean and sd", xlim=(0, 103))
    axes.invert_yaxis()


def typical(at: Tensor) -> int:
    """The place of the picture that is recognised when most are; the first where none is. at: shares (k)."""
    distance = (at - at.nanmedian()).abs()
    return int(distance.nan_to_num(math.inf).argmin())


def _strip(seen: dict[str, Seen], judge: Judge, place: int, names: list[str], title: str) -> Image:
    steps = len(seen["clean"].tiles)
    shown = [max(round(share * steps), 1) - 1 for share in SHOWN]
    row = place * (len(seen["clean"].reads[0]) // len(names))  # of the first picture of that class
    tiles = [[seen[kind].tiles[i][place] for i in shown] for kind in KINDS]
    captions = [[f"read as {judge.names[int(seen[kind].reads[i][row])]}" for i in shown] for kind in KINDS]
    return grid(tiles, captions=captions, rows=list(KINDS.values()), title=f'{title}; below: "{names[place]}"',
                columns=[f"{100 * (i + 1) / steps:.0f} % of steps" for i in shown])  # fmt: skip
